import { z } from 'zod';
import { blockedExtensionOf } from '../../core/intake/blocked-attachments.ts';
import { decodeBase64 } from '../validation/json-values.ts';
import { optional } from '../validation/leniency.ts';
import { strictObject } from '../validation/validation.ts';
import { line } from './text.ts';

const MAX_NAME_LENGTH = 255;

const filename = line(MAX_NAME_LENGTH)
  .refine((name) => !/[/\\]/.test(name), {
    error: 'Must be a name without a path: no / and no \\.',
    params: { code: 'invalid_filename' },
  })
  .refine((name) => blockedExtensionOf(name) === null, {
    error: ({ input }) =>
      `Gmail does not carry ".${blockedExtensionOf(String(input))}" files, so "${input}" cannot be attached, also not in an archive: link to it.`,
    params: { code: 'attachment_blocked' },
  });

function explainBase64(text: string): string {
  if (text.startsWith('data:')) return 'Must be base64 alone: remove the "data:…;base64," before it.';
  if (/[^\S\r\n]/.test(text))
    return 'Must be base64 without spaces: only line breaks may stand in it. Has each + become a space on its way?';
  if (/[-_]/.test(text)) return 'Must be base64 in the standard alphabet, with + and / in place of - and _.';
  if (text.replace(/[\r\n]/g, '').length % 4 !== 0)
    return 'Must be complete base64: its length must be a multiple of four, padded with =.';
  return 'Must be base64 (RFC 4648, section 4).';
}

/** Text as callers write it, or bytes that were decoded with the body. */
const content = z.unknown().transform((value, context): Uint8Array => {
  if (value instanceof Uint8Array) return value;
  if (typeof value !== 'string') {
    context.addIssue({ code: 'invalid_type', expected: 'string', input: value });
    return z.NEVER;
  }
  const bytes = decodeBase64(value);
  if (bytes !== null) return bytes;
  context.addIssue({ code: 'custom', message: explainBase64(value), params: { code: 'invalid_base64' } });
  return z.NEVER;
});

const TOKEN = "[\\w!#$%&'*+.^`|~-]+";
/** RFC 2045, section 5.1. A multipart of its own would have to be unencoded and bring its boundary. */
const MEDIA_TYPE = new RegExp(
  `^(?!multipart/)${TOKEN}/${TOKEN}(?: ?; ?${TOKEN}=(?:${TOKEN}|"[^"\\\\]*"))*$`,
  'i',
);

export const attachment = strictObject({
  filename: filename.meta({ examples: ['invoice.pdf'] }),
  content: content.meta({
    description: 'The bytes of the file, as base64. Line breaks in it are ignored.',
    type: 'string',
    contentEncoding: 'base64',
    examples: ['JVBERi0xLjcK'],
  }),
  content_type: optional(
    line(MAX_NAME_LENGTH).regex(MEDIA_TYPE, {
      error: 'Must be a media type such as "application/pdf", and not a multipart.',
    }),
  ).meta({ description: 'Found from the filename if absent.', examples: ['application/pdf'] }),
  content_id: optional(
    line(MAX_NAME_LENGTH).regex(/^[\w.!#$%&'*+/=?^`{|}~@-]+$/, {
      error: 'Must be letters, digits and . _ - @ without angle brackets, such as "logo".',
    }),
  ).meta({
    description: 'Makes it an inline image, which the HTML names as cid:<content_id>.',
    examples: ['logo'],
  }),
});
