import { toMailboxKey } from '../message/address.ts';
import { bounceClassOf } from './bounce-class.ts';
import type { IgnoreReason, InboundDecision, ReportedRecipient } from './decision.ts';
import type { InboundMail, RecipientReport } from './inbound-mail.ts';
import { isFromGmail, isFromServerOf } from './trust.ts';

/** The message that a mail refers to, as far as the decision needs it. */
export interface ReferredMessage {
  readonly messageId: string;
  readonly recipients: readonly string[];
  /** Addresses that the account sends from: From of the message, the login and the aliases. */
  readonly senders: readonly string[];
}

export interface IgnoredMail {
  readonly kind: 'ignored';
  readonly reason: IgnoreReason;
}

/** What a mail changes: two things if some recipients of a report failed and others wait. */
export interface DecidedInbound {
  readonly kind: 'decided';
  /** Never empty. Each has another kind. */
  readonly decisions: readonly InboundDecision[];
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
): DecidedInbound | IgnoredMail {
  if (mail.kind === 'other') return ignore('unrelated');
  if (mail.candidates.length === 0) return ignore('no_reference');
  if (message === null || !mail.candidates.includes(message.messageId)) return ignore('unknown_message');
  if (mail.kind === 'report') return decideReport(mail, message, at);
  // The search of all mail finds sent mail too.
  if (isOwn(mail, message)) return ignore('own_mail');
  const kind = mail.kind === 'reply' ? 'replied' : 'auto_replied';
  const common = { at, from: mail.from ?? '', mailId: mail.mailId };
  return { kind: 'decided', decisions: [{ ...common, kind, recipients: [], unverified: false }] };
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

function decideReport(mail: InboundMail, message: ReferredMessage, at: number): DecidedInbound | IgnoredMail {
  const reported = matchRecipients(mail.recipients, message.recipients);
  if (reported.size === 0) return ignore('unknown_recipient');
  const isVerified = isFromGmail(mail);
  const believed = [...reported].filter(([email]) => isVerified || isFromServerOf(email, mail));
  if (believed.length === 0) return ignore('untrusted');

  const decisions = (['failed', 'delayed'] as const).flatMap((action): InboundDecision[] => {
    const recipients = believed
      .filter(([, statement]) => statement.action === action)
      .map(([email, statement]) => toReported(email, statement, mail, isVerified));
    if (recipients.length === 0) return [];
    const kind = action === 'failed' ? 'bounced' : 'delayed';
    return [{ kind, at, from: mail.from ?? '', mailId: mail.mailId, recipients, unverified: !isVerified }];
  });
  return { kind: 'decided', decisions };
}

/** If an address to which a recipient forwards does not exist, the recipient itself does. */
function toReported(
  email: string,
  { addresses: [finalRecipient = email], action, smtp, diagnostic, status }: RecipientReport,
  { isEmptyReport, reportingMta }: InboundMail,
  isVerified: boolean,
): ReportedRecipient {
  const bounceClass = isEmptyReport ? 'policy' : bounceClassOf(status);
  const isCertain = isVerified || status === UNVERIFIED_SUPPRESSES;
  const isFinal = toMailboxKey(finalRecipient) === toMailboxKey(email);
  const suppress = action === 'failed' && bounceClass === 'hard' && isCertain && isFinal;
  return { email, class: bounceClass, smtp, diagnostic, reportingMta, suppress };
}

/**
 * Returns what is reported of each recipient of a message. Of several statements about one, a failure
 * counts before a delay, and the first counts.
 */
function matchRecipients(
  reported: readonly RecipientReport[],
  recipients: readonly string[],
): Map<string, RecipientReport> {
  const byKey = new Map(recipients.map((email) => [toMailboxKey(email), email]));
  const matched = new Map<string, RecipientReport>();
  const failedFirst = Object.groupBy(reported, ({ action }) => action);
  for (const statement of [...(failedFirst.failed ?? []), ...(failedFirst.delayed ?? [])]) {
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
