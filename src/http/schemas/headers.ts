import { z } from 'zod';
import { line } from './text.ts';

/** Headers that change nothing of who gets the mail, who sent it, or how it is read. */
const ALLOWED_HEADERS = [
  'Auto-Submitted',
  'Comments',
  'Feedback-ID',
  'Importance',
  'Keywords',
  'List-ID',
  'Organization',
  'Precedence',
  'Sensitivity',
] as const;

const ALLOWED: ReadonlySet<string> = new Set(ALLOWED_HEADERS.map((name) => name.toLowerCase()));

/** Made of tokens, where Gmail refuses encoded words (550 5.7.1), which is what other characters would become. */
const ASCII_ONLY: ReadonlySet<string> = new Set([
  'auto-submitted',
  'feedback-id',
  'importance',
  'precedence',
  'sensitivity',
]);

/** Headers that have a field of their own. */
const FIELDS: ReadonlyMap<string, string> = new Map([
  ['from', 'from'],
  ['to', 'to'],
  ['cc', 'cc'],
  ['bcc', 'bcc'],
  ['reply-to', 'reply_to'],
  ['subject', 'subject'],
  ['in-reply-to', 'in_reply_to'],
  ['references', 'references'],
  ['list-unsubscribe', 'unsubscribe'],
  ['list-unsubscribe-post', 'unsubscribe'],
]);

const MAX_HEADERS = 50;
const MAX_NAME_LENGTH = 76;
/** Leaves room for the name on the line. */
const MAX_VALUE_LENGTH = 900;
/**
 * Names and values in all. Gmail takes 500 KB of headers (https://support.google.com/a/answer/14016360): this leaves room for encoded words
 * and for the longest that the other fields may become.
 */
const MAX_TOTAL_BYTES = 64 * 1024;

const headerName = z
  .string()
  .max(MAX_NAME_LENGTH)
  .refine((name) => /^x-[\w.-]+$/i.test(name) || ALLOWED.has(name.toLowerCase()), {
    error: ({ input }) => {
      const field = FIELDS.get(String(input).toLowerCase());
      if (field === 'from')
        return 'This header cannot be set here: use the field "from". Gmail takes one From.';
      if (field !== undefined) return `This header cannot be set here: use the field "${field}".`;
      return `Only X-… headers and ${ALLOWED_HEADERS.join(', ')} may be set.`;
    },
    params: { code: 'header_not_allowed' },
  });

/** Header names do not mind case: the same name twice would be two headers. */
function hasTwins(headers: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(headers);
  return new Set(names.map((name) => name.toLowerCase())).size < names.length;
}

function totalBytes(headers: Readonly<Record<string, string>>): number {
  return Object.entries(headers).reduce(
    (sum, [name, value]) => sum + name.length + Buffer.byteLength(value),
    0,
  );
}

export const headers = z
  .record(headerName, line(MAX_VALUE_LENGTH))
  .refine((map) => Object.keys(map).length <= MAX_HEADERS, {
    error: `Must have at most ${MAX_HEADERS} entries.`,
    params: { code: 'too_many' },
  })
  .refine((map) => !hasTwins(map), {
    error: 'Has one header twice, in different case: give it once.',
    params: { code: 'duplicate_header' },
  })
  .refine((map) => totalBytes(map) <= MAX_TOTAL_BYTES, {
    error: `Must have at most ${MAX_TOTAL_BYTES} bytes in all, names and values: Gmail refuses mail with very large headers.`,
    params: { code: 'too_long' },
  })
  .superRefine((map, context) => {
    for (const [name, value] of Object.entries(map)) {
      if (!ASCII_ONLY.has(name.toLowerCase()) || (/^[\x20-\x7e]*$/.test(value) && !value.includes('=?')))
        continue;
      const message = 'Must be plain ASCII: Gmail refuses encoded words in this header.';
      context.addIssue({ code: 'custom', path: [name], message, params: { code: 'header_not_ascii' } });
    }
  })
  .meta({
    description: `Headers to add: X-… and ${ALLOWED_HEADERS.join(', ')}. Everything else has a field of its own or is Outtray's to set.`,
    examples: [{ 'X-Entity-Ref': '42' }],
  });
