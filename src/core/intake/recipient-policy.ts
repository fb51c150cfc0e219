import type { Caller } from '../auth/caller.ts';
import { AppError, type FieldError, joinWithin, MAX_LIST_LENGTH, summarize } from '../errors.ts';
import { toMailboxKey } from '../message/address.ts';
import type { Message } from '../message/message.ts';

const FIELDS = ['to', 'cc', 'bcc'] as const;

/**
 * Refuses a message if its sender or a recipient is not allowed, by the API key or by
 * ALLOWED_RECIPIENTS.
 *
 * @param allowedRecipients Addresses and `@domains`; null: any.
 * @throws {AppError} `sender_not_allowed`; `recipient_not_allowed` with an error for each refused
 *   recipient
 */
export function checkRecipientPolicy(
  { envelope }: Message,
  caller: Caller,
  allowedRecipients: readonly string[] | null,
): void {
  const { email } = envelope.from;
  if (caller.allowedFrom !== null && !toMatcher(caller.allowedFrom)(email))
    throw senderNotAllowed(email, caller.allowedFrom);

  if (caller.allowedRecipients === null && allowedRecipients === null) return;
  const keyAllows = toMatcher(caller.allowedRecipients);
  const serviceAllows = toMatcher(allowedRecipients);
  const errors = FIELDS.flatMap((field) =>
    envelope[field].flatMap((recipient, i): FieldError[] => {
      const keyRefuses = !keyAllows(recipient.email);
      if (!keyRefuses && serviceAllows(recipient.email)) return [];
      const reason = keyRefuses ? NOT_ALLOWED_BY_KEY : NOT_ALLOWED_BY_SERVICE;
      const detail = `${recipient.email} ${reason}`;
      return [{ pointer: `/${field}/${i}`, code: 'recipient_not_allowed', detail }];
    }),
  );
  if (errors.length > 0) throw new AppError('recipient_not_allowed', { detail: summarize(errors), errors });
}

const NOT_ALLOWED_BY_KEY = 'is not in the allowed_recipients of this key.';
const NOT_ALLOWED_BY_SERVICE = 'is not in ALLOWED_RECIPIENTS.';

function senderNotAllowed(email: string, allowedFrom: readonly string[]): AppError {
  const detail = `This key may not send from ${email}. Its allowed_from: ${joinWithin(allowedFrom, MAX_LIST_LENGTH)}.`;
  return new AppError('sender_not_allowed', {
    detail,
    errors: [{ pointer: '/from', code: 'sender_not_allowed', detail }],
  });
}

/** Returns a test for addresses: listed, or in a listed `@domain`. Subdomains do not match. */
function toMatcher(patterns: readonly string[] | null): (email: string) => boolean {
  if (patterns === null) return () => true;
  const keys = new Set(patterns.map(toMailboxKey));
  return (email) => {
    const key = toMailboxKey(email);
    return keys.has(key) || keys.has(key.slice(key.lastIndexOf('@')));
  };
}
