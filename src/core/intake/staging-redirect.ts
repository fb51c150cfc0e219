import { joinWithin, MAX_LIST_LENGTH } from '../errors.ts';
import { type Message, recipientsOf } from '../message/message.ts';

const ORIGINAL_TO = 'X-Original-To';

/** The same message to this address in place of its recipients, whom it names in X-Original-To. */
export function redirectRecipients({ envelope, content, ...rest }: Message, to: string): Message {
  const headers = Object.entries(content.headers).filter(
    ([name]) => name.toLowerCase() !== ORIGINAL_TO.toLowerCase(),
  );
  return {
    ...rest,
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
