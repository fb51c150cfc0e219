import type { Caller } from '../auth/caller.ts';
import { AppError, type FieldError, joinWithin, MAX_LIST_LENGTH, summarize } from '../errors.ts';
import { toMailboxKey } from '../message/address.ts';
import type { Message } from '../message/message.ts';

const FIELDS = ['to', 'cc', 'bcc'] as const;

/**
 * Refuses a message whose sender or recipients its key may not use, or whose recipients this service does not write to.
 *
 * @param allowedRecipients addresses and `@domains`; null: any
 * @throws {AppError} `sender_not_allowed`, and `recipient_not_allowed` with each recipient that is refused
 */
export function checkRecipientPolicy(
  { envelope }: Message,
  caller: Caller,
  allowedRecipients: readonly string[] | null,
): void {
  const { email } = envelope.from;
  if (caller.allowedFrom !== null && !matcherOf(caller.allowedFrom)(email))
    throw senderNotAllowed(email, caller.allowedFrom);

  if (caller.allowedRecipients === null && allowedRecipients === null) return;
  const ofKey = matcherOf(caller.allowedRecipients);
  const ofService = matcherOf(allowedRecipients);
  const errors = FIELDS.flatMap((field) =>
    envelope[field].flatMap((recipient, i): FieldError[] => {
      const refusal = !ofKey(recipient.email)
        ? NOT_OF_KEY
        : !ofService(recipient.email)
          ? NOT_OF_SERVICE
          : null;
      if (refusal === null) return [];
      return [
        { pointer: `/${field}/${i}`, code: 'recipient_not_allowed', detail: `${recipient.email} ${refusal}` },
      ];
    }),
  );
  if (errors.length > 0) throw new AppError('recipient_not_allowed', { detail: summarize(errors), errors });
}

const NOT_OF_KEY = 'is not among the allowed_recipients of this key.';

const NOT_OF_SERVICE = 'is not among the ALLOWED_RECIPIENTS of this service.';

function senderNotAllowed(email: string, allowedFrom: readonly string[]): AppError {
  const detail = `This key may not send from ${email}. Its allowed_from: ${joinWithin(allowedFrom, MAX_LIST_LENGTH)}.`;
  return new AppError('sender_not_allowed', {
    detail,
    errors: [{ pointer: '/from', code: 'sender_not_allowed', detail }],
  });
}

/** Whether an address is one of these, or in one of these domains; a domain's subdomains are others. */
function matcherOf(patterns: readonly string[] | null): (email: string) => boolean {
  if (patterns === null) return () => true;
  const keys = new Set(patterns.map(toMailboxKey));
  return (email) => {
    const key = toMailboxKey(email);
    return keys.has(key) || keys.has(key.slice(key.lastIndexOf('@')));
  };
}
