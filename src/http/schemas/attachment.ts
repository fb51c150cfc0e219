import { z } from 'zod';
import { blockedExtensionOf } from '../../core/intake/blocked-attachments.ts';
import { decodeBase64 } from '../validation/json-values.ts';
import { optional } from '../validation/leniency.ts';
import { strictObject } from '../validation/validation.ts';
import { line } from './text.ts';

const MAX_NAME_LENGTH = 255;

const filename = line(MAX_NAME_LENGTH)
  .refine((name) => !/[/\\]/.test(name), {
    error: 'Must be a name without a path: remove / and \\.',
    params: { code: 'invalid_filename' },
  })
  .refine((name) => blockedExtensionOf(name) === null, {
    error: ({ input }) =>
      `Gmail does not carry ".${blockedExtensionOf(String(input))}" files, so "${input}" cannot be attached, not even inside an archive: link to the file instead.`,
    params: { code: 'attachment_blocked' },
  });

function explainBase64(text: string): string {
  if (text.startsWith('data:')) return 'Must be base64 only: remove the "data:…;base64," prefix.';
  if (/[^\S\r\n]/.test(text))
    return 'Must be base64 without spaces; only line breaks are allowed. Check whether each + was decoded as a space.';
  if (/[-_]/.test(text)) return 'Must be base64 in the standard alphabet, with + and / instead of - and _.';
  if (text.replace(/[\r\n]/g, '').length % 4 !== 0)
    return 'Must be complete base64, padded with = to a multiple of four characters.';
  return 'Must be base64 (RFC 4648, section 4).';
}

/** Base64 text, or bytes that were already decoded with the body. */
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
/** RFC 2045, section 5.1. A multipart would have to be unencoded and include its boundary. */
const MEDIA_TYPE = new RegExp(
  `^(?!multipart/)${TOKEN}/${TOKEN}(?: ?; ?${TOKEN}=(?:${TOKEN}|"[^"\\\\]*"))*$`,
  'i',
);

export const attachment = strictObject({
  filename: filename.meta({ examples: ['invoice.pdf'] }),
  content: content.meta({
    description: 'The content of the file as base64. Line breaks are ignored.',
    type: 'string',
    contentEncoding: 'base64',
    examples: ['JVBERi0xLjcK'],
  }),
  content_type: optional(
    line(MAX_NAME_LENGTH).regex(MEDIA_TYPE, {
      error: 'Must be a media type such as "application/pdf", but not a multipart.',
    }),
  ).meta({
    description: 'The default depends on the extension of `filename`.',
    examples: ['application/pdf'],
  }),
  content_id: optional(
    line(MAX_NAME_LENGTH).regex(/^[\w.!#$%&'*+/=?^`{|}~@-]+$/, {
      error: 'Must consist of letters, digits and . _ - @ without angle brackets, such as "logo".',
    }),
  ).meta({
    description: 'Makes the file an inline image, which `html` refers to as `cid:<content_id>`.',
    examples: ['logo'],
  }),
});
