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

const headerName = z
  .string()
  .max(MAX_NAME_LENGTH)
  .refine((name) => /^x-[\w.-]+$/i.test(name) || ALLOWED.has(name.toLowerCase()), {
    error: ({ input }) => {
      const field = FIELDS.get(String(input).toLowerCase());
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
  .meta({
    description: `Headers to add: X-… and ${ALLOWED_HEADERS.join(', ')}. Everything else has a field of its own or is Outtray's to set.`,
    examples: [{ 'X-Entity-Ref': '42' }],
  });
