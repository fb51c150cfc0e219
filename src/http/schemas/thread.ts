import { z } from 'zod';

/** One line of a header (RFC 5322, section 2.1.1) without its leading space. */
const MAX_ID_LENGTH = 997;
/**
 * Threads rarely have more. With 100 ids of maximum length the headers stay within the 500 KB that
 * Gmail accepts.
 */
const MAX_REFERENCES = 100;
const MAX_HEADER_LENGTH = 128 * 1024;

const ONE_MESSAGE_ID = `one Message-ID in angle brackets, such as "<1234@example.com>": visible ASCII without spaces, at most ${MAX_ID_LENGTH} characters`;

/**
 * Parses the Message-ID of a message from another program, and returns it in one pair of angle
 * brackets. Many of these ids violate RFC 5322, section 3.6.4, but a reply joins its thread only by
 * the exact id. So any visible ASCII is accepted; returns null for anything else.
 */
function parseMessageId(text: string): string | null {
  let start = 0;
  let end = text.length;
  while (' \t<'.includes(text.charAt(start)) && start < end) start++;
  while (' \t>'.includes(text.charAt(end - 1)) && start < end) end--;
  const length = end - start;
  if (length === 0 || length + 2 > MAX_ID_LENGTH) return null;
  const id = text.slice(start, end);
  return /^[!-~]+$/.test(id) ? `<${id}>` : null;
}

export const messageId = z
  .string()
  .transform((text, context) => {
    const id = parseMessageId(text);
    if (id !== null) return id;
    context.addIssue({
      code: 'custom',
      message: `Must be ${ONE_MESSAGE_ID}.`,
      params: { code: 'invalid_format' },
    });
    return z.NEVER;
  })
  .meta({ examples: ['<1234@example.com>'] });

/**
 * A References header as copied from a message: ids separated by spaces, possibly folded (RFC 5322,
 * section 2.2.3).
 */
const referencesHeader = z
  .string()
  .max(MAX_HEADER_LENGTH)
  .transform((text, context) => {
    const ids = shorten(text.trim().split(/(?:\r?\n)?[ \t]+/)).map(parseMessageId);
    if (ids.every((id) => id !== null)) return ids;
    const message = `Must be a list of ids separated by spaces, each of them ${ONE_MESSAGE_ID}.`;
    context.addIssue({ code: 'custom', message, params: { code: 'invalid_format' } });
    return z.NEVER;
  })
  .meta({
    description: 'Message-IDs separated by spaces, as in the References header.',
    examples: ['<1@example.com> <2@example.com>'],
  });

/** The Message-IDs of a thread, oldest first. */
export const references = z.union([z.array(messageId).transform(shorten), referencesHeader], {
  error: ({ input }) =>
    input === undefined
      ? undefined
      : 'Must be a list of Message-IDs, or a string of Message-IDs separated by spaces.',
});

/**
 * Keeps the first message of a long thread and the latest ones, which mail programs need to find
 * the thread.
 */
function shorten(ids: string[]): string[] {
  return ids.length > MAX_REFERENCES ? [...ids.slice(0, 1), ...ids.slice(1 - MAX_REFERENCES)] : ids;
}
