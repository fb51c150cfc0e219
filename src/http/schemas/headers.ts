import { z } from 'zod';
import { line } from './text.ts';

/** Headers that do not affect the recipients, the sender or how the content is read. */
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

/**
 * Headers that consist of tokens. Other characters would become encoded words, which Gmail refuses
 * there (550 5.7.1).
 */
const ASCII_ONLY: ReadonlySet<string> = new Set([
  'auto-submitted',
  'feedback-id',
  'importance',
  'precedence',
  'sensitivity',
]);

/** Headers that have their own field in a request. */
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
/** Leaves room for the name on the same line. */
const MAX_VALUE_LENGTH = 900;
/**
 * Total of all names and values. Gmail accepts 500 KB of headers
 * (https://support.google.com/a/answer/14016360). This limit leaves room for encoded words and for
 * the longest values of the other fields.
 */
const MAX_TOTAL_BYTES = 64 * 1024;

const headerName = z
  .string()
  .max(MAX_NAME_LENGTH)
  .refine((name) => /^x-[\w.-]+$/i.test(name) || ALLOWED.has(name.toLowerCase()), {
    error: ({ input }) => {
      const field = FIELDS.get(String(input).toLowerCase());
      if (field === 'from')
        return 'This header cannot be set here: use the field "from". Gmail accepts only one From.';
      if (field !== undefined) return `This header cannot be set here: use the field "${field}".`;
      return `Only X-… headers and ${ALLOWED_HEADERS.join(', ')} can be set.`;
    },
    params: { code: 'header_not_allowed' },
  });

/** Header names are case-insensitive: two spellings of one name would become two headers. */
function hasDuplicates(headers: Readonly<Record<string, string>>): boolean {
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
  .refine((map) => !hasDuplicates(map), {
    error: 'Has one header twice, in different case: remove one of them.',
    params: { code: 'duplicate_header' },
  })
  .refine((map) => totalBytes(map) <= MAX_TOTAL_BYTES, {
    error: `Must have at most ${MAX_TOTAL_BYTES} bytes of names and values in total: Gmail refuses mail with very large headers.`,
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
    description: `Additional headers: X-… and ${ALLOWED_HEADERS.join(', ')}. All other headers have their own field or are set by Outtray.`,
    examples: [{ 'X-Entity-Ref': '42' }],
  });
