import { toMailboxKey } from '../message/address.ts';
import { bounceClassOf } from './bounce-class.ts';
import type { InboundDecision } from './decision.ts';
import type { InboundMail, RecipientReport } from './inbound-mail.ts';
import { isFromGmail, isFromServerOf } from './trust.ts';

/** The message that a mail refers to, as far as the decision needs it. */
export interface ReferredMessage {
  readonly messageId: string;
  readonly recipients: readonly string[];
  /** Addresses that the account sends from: From of the message, and the login. */
  readonly senders: readonly string[];
}

/** Why a mail changes nothing. */
export type IgnoreReason =
  | 'unrelated'
  | 'no_reference'
  | 'unknown_message'
  | 'unknown_recipient'
  | 'untrusted'
  | 'own_mail';

export interface IgnoredMail {
  readonly kind: 'ignored';
  readonly reason: IgnoreReason;
}

/** A report from elsewhere suppresses only if it states that the mailbox does not exist. */
const UNVERIFIED_SUPPRESSES = '5.1.1';

/**
 * Decides what a received mail changes. Pure: the same mail gives the same decision.
 *
 * @param message The first known one of `mail.candidates`. Null: none is known
 * @param at When the mail arrived, in epoch ms
 */
export function decideInbound(
  mail: InboundMail,
  message: ReferredMessage | null,
  at: number,
): InboundDecision | IgnoredMail {
  if (mail.kind === 'other') return ignore('unrelated');
  if (mail.candidates.length === 0) return ignore('no_reference');
  if (message === null || !mail.candidates.includes(message.messageId)) return ignore('unknown_message');
  if (mail.kind === 'bounce' || mail.kind === 'delay') return decideReport(mail, message, at);
  // The search of all mail finds sent mail too.
  if (isOwn(mail, message)) return ignore('own_mail');
  const kind = mail.kind === 'reply' ? 'replied' : 'auto_replied';
  return { kind, at, from: mail.from ?? '', mailId: mail.mailId, recipients: [], unverified: false };
}

function ignore(reason: IgnoreReason): IgnoredMail {
  return { kind: 'ignored', reason };
}

/** Whether the account wrote it, and not as a recipient of its own message. */
function isOwn({ from }: InboundMail, { senders, recipients }: ReferredMessage): boolean {
  const key = toMailboxKey(from ?? '');
  const isWriter = (email: string) => toMailboxKey(email) === key;
  return senders.some(isWriter) && !recipients.some(isWriter);
}

function decideReport(
  mail: InboundMail,
  message: ReferredMessage,
  at: number,
): InboundDecision | IgnoredMail {
  const isBounce = mail.kind === 'bounce';
  const action = isBounce ? 'failed' : 'delayed';
  const reported = matchRecipients(
    mail.recipients.filter((recipient) => recipient.action === action),
    message.recipients,
  );
  if (reported.size === 0) return ignore('unknown_recipient');
  const isVerified = isFromGmail(mail);
  const believed = [...reported].filter(([email]) => isVerified || isFromServerOf(email, mail));
  if (believed.length === 0) return ignore('untrusted');

  const recipients = believed.map(([email, { smtp, diagnostic, status }]) => {
    const bounceClass = mail.isEmptyReport ? 'policy' : bounceClassOf(status);
    const suppress = isBounce && bounceClass === 'hard' && (isVerified || status === UNVERIFIED_SUPPRESSES);
    return { email, class: bounceClass, smtp, diagnostic, reportingMta: mail.reportingMta, suppress };
  });
  return {
    kind: isBounce ? 'bounced' : 'delayed',
    at,
    from: mail.from ?? '',
    mailId: mail.mailId,
    recipients,
    unverified: !isVerified,
  };
}

/** Returns what is reported of each recipient of a message. The first statement counts. */
function matchRecipients(
  reported: readonly RecipientReport[],
  recipients: readonly string[],
): Map<string, RecipientReport> {
  const byKey = new Map(recipients.map((email) => [toMailboxKey(email), email]));
  const matched = new Map<string, RecipientReport>();
  for (const statement of reported) {
    const known = statement.addresses.map((address) => byKey.get(toMailboxKey(address)));
    const email =
      statement.addresses.length === 0
        ? onlyOne(recipients)
        : known.find((candidate) => candidate !== undefined);
    if (email !== undefined && !matched.has(email)) matched.set(email, statement);
  }
  return matched;
}

function onlyOne(recipients: readonly string[]): string | undefined {
  return recipients.length === 1 ? recipients[0] : undefined;
}
