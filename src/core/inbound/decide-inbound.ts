import type { SmtpReply } from '../delivery/delivery.ts';
import { toMailboxKey } from '../message/address.ts';
import { type BounceClass, bounceClassOf } from './bounce-class.ts';
import type { InboundMail, ReportedRecipient } from './inbound-mail.ts';
import { isFromGmail, isFromServerOf } from './trust.ts';

/** The message that a mail refers to, as far as the decision needs it. */
export interface ReferredMessage {
  readonly messageId: string;
  readonly recipients: readonly string[];
  /** Addresses that the account sends from: From of the message, and the login. */
  readonly senders: readonly string[];
}

export interface BouncedRecipient {
  /** As in the message. */
  readonly email: string;
  readonly class: BounceClass;
  readonly smtp: SmtpReply | null;
  /** Reason on one line, which need not be an SMTP reply. */
  readonly diagnostic: string | null;
  /** The server that gave up. */
  readonly reportingMta: string | null;
  /** Whether the address must not be sent to again. */
  readonly suppress: boolean;
}

export interface DelayedRecipient {
  readonly email: string;
  readonly smtp: SmtpReply | null;
  readonly diagnostic: string | null;
  readonly reportingMta: string | null;
}

/** Why a mail changes nothing. */
export type IgnoreReason =
  | 'unrelated'
  | 'no_reference'
  | 'unknown_message'
  | 'unknown_recipient'
  | 'untrusted'
  | 'own_mail';

/**
 * What a received mail changes. `unverified`: the report is from the server of the recipient, and
 * not from Gmail.
 */
export type InboundDecision =
  | {
      readonly kind: 'bounced';
      readonly recipients: readonly BouncedRecipient[];
      readonly unverified: boolean;
    }
  | {
      readonly kind: 'delayed';
      readonly recipients: readonly DelayedRecipient[];
      readonly unverified: boolean;
    }
  | {
      readonly kind: 'replied' | 'auto_replied';
      /** The recipient that wrote, as in the message. Null: another address. */
      readonly recipient: string | null;
    }
  | { readonly kind: 'ignored'; readonly reason: IgnoreReason };

/** A report from elsewhere suppresses only if it states that the mailbox does not exist. */
const UNVERIFIED_SUPPRESSES = '5.1.1';

/**
 * Decides what a received mail changes. Pure: the same mail gives the same decision.
 *
 * @param message The first known one of `mail.candidates`. Null: none is known
 */
export function decideInbound(mail: InboundMail, message: ReferredMessage | null): InboundDecision {
  if (mail.kind === 'other') return ignore('unrelated');
  if (mail.candidates.length === 0) return ignore('no_reference');
  if (message === null || !mail.candidates.includes(message.messageId)) return ignore('unknown_message');
  if (mail.kind === 'bounce' || mail.kind === 'delay') return decideReport(mail, message);

  const sender = mail.from === null ? null : toMailboxKey(mail.from);
  const recipient = message.recipients.find((email) => toMailboxKey(email) === sender) ?? null;
  // The search of all mail finds sent mail too.
  if (recipient === null && message.senders.some((email) => toMailboxKey(email) === sender))
    return ignore('own_mail');
  return { kind: mail.kind === 'reply' ? 'replied' : 'auto_replied', recipient };
}

function ignore(reason: IgnoreReason): InboundDecision {
  return { kind: 'ignored', reason };
}

function decideReport(mail: InboundMail, message: ReferredMessage): InboundDecision {
  const action = mail.kind === 'bounce' ? 'failed' : 'delayed';
  const reported = matchRecipients(
    mail.recipients.filter((recipient) => recipient.action === action),
    message.recipients,
  );
  if (reported.size === 0) return ignore('unknown_recipient');
  const isVerified = isFromGmail(mail);
  const believed = [...reported].filter(([email]) => isVerified || isFromServerOf(email, mail));
  if (believed.length === 0) return ignore('untrusted');

  const { reportingMta } = mail;
  const unverified = !isVerified;
  if (action === 'delayed') {
    const recipients = believed.map(([email, { smtp, diagnostic }]) => ({
      email,
      smtp,
      diagnostic,
      reportingMta,
    }));
    return { kind: 'delayed', recipients, unverified };
  }
  const recipients = believed.map(([email, { smtp, diagnostic, status }]) => {
    const bounceClass = mail.isEmptyReport ? 'policy' : bounceClassOf(status);
    const suppress = bounceClass === 'hard' && (isVerified || status === UNVERIFIED_SUPPRESSES);
    return { email, class: bounceClass, smtp, diagnostic, reportingMta, suppress };
  });
  return { kind: 'bounced', recipients, unverified };
}

/** Returns what is reported of each recipient of a message. The first statement counts. */
function matchRecipients(
  reported: readonly ReportedRecipient[],
  recipients: readonly string[],
): Map<string, ReportedRecipient> {
  const byKey = new Map(recipients.map((email) => [toMailboxKey(email), email]));
  const matched = new Map<string, ReportedRecipient>();
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
