import type { SmtpReply } from '../delivery/delivery.ts';
import type { BounceClass, FollowUpKind } from '../delivery/follow-up.ts';

/** A recipient that a report names. */
export interface ReportedRecipient {
  /** The address of the recipient, as the message has it. */
  readonly email: string;
  readonly class: BounceClass;
  /** What the receiving server replied. Null if the report does not quote it. */
  readonly smtp: SmtpReply | null;
  /** The reason that the report states if it quotes no reply, such as a DNS error. On one line. */
  readonly diagnostic: string | null;
  /** The server that reports. Null if the report does not name it. */
  readonly reportingMta: string | null;
  /**
   * Whether the address must not be sent to again: it does not exist, and the report can be trusted
   * with that.
   */
  readonly suppress: boolean;
}

/**
 * What a mail in the inbox reports about one message of Outtray. Its texts have no control
 * characters, and 1,000 characters at most.
 */
export interface InboundDecision {
  readonly kind: FollowUpKind;
  /** When the mail arrived, in epoch ms. */
  readonly at: number;
  /** The address in its From header. */
  readonly from: string;
  /** Its Message-ID, or another id that is the same whenever the mail is read again. Never empty. */
  readonly mailId: string;
  /** Those that bounced or are delayed. Empty for replies. */
  readonly recipients: readonly ReportedRecipient[];
  /** Whether the report is believed although Gmail did not write it. */
  readonly unverified: boolean;
}

/** Why a mail is not about a message, or must not change it. */
export type IgnoreReason =
  | 'unrelated'
  | 'no_reference'
  | 'unknown_message'
  | 'unknown_recipient'
  | 'untrusted'
  | 'own_mail';

/**
 * Why a mail changed nothing. `no_change`: it was recorded before, or its message cannot change by it.
 */
export type MailReason = IgnoreReason | 'no_change' | 'unreadable';
