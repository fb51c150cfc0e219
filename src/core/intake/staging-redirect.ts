import { joinWithin, MAX_LIST_LENGTH } from '../errors.ts';
import { type Message, recipientsOf } from '../message/message.ts';

const ORIGINAL_TO = 'X-Original-To';

/**
 * Replaces all recipients with the address `to` and lists the original ones in X-Original-To.
 * Without `to` nothing changes.
 */
export function redirectRecipients(message: Message, to: string | null): Message {
  if (to === null) return message;
  const { envelope, content } = message;
  const headers = Object.entries(content.headers).filter(
    ([name]) => name.toLowerCase() !== ORIGINAL_TO.toLowerCase(),
  );
  return {
    ...message,
    envelope: { ...envelope, to: [{ email: to, name: null }], cc: [], bcc: [] },
    content: {
      ...content,
      headers: {
        ...Object.fromEntries(headers),
        [ORIGINAL_TO]: joinWithin(recipientsOf(envelope), MAX_LIST_LENGTH),
      },
    },
  };
}
