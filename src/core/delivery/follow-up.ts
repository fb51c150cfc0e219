import type { Delivery, SmtpReply } from './delivery.ts';

/**
 * Classes of a bounce:
 *
 * - `hard`: the address does not exist;
 * - `soft`: a temporary condition lasted too long, such as a full mailbox;
 * - `blocked`: the receiving server refuses the sender;
 * - `policy`: the receiving server refuses the message.
 */
export const BOUNCE_CLASSES = ['hard', 'soft', 'blocked', 'policy'] as const;
export type BounceClass = (typeof BOUNCE_CLASSES)[number];

/**
 * Kinds of mail that follows a message:
 *
 * - `bounced`: a report that recipients do not get it;
 * - `delayed`: a report that delivery to recipients is still being tried;
 * - `replied`: a reply by a person;
 * - `auto_replied`: an automatic reply, such as an out-of-office notice.
 */
export const FOLLOW_UP_KINDS = ['bounced', 'delayed', 'replied', 'auto_replied'] as const;
export type FollowUpKind = (typeof FOLLOW_UP_KINDS)[number];

/** Facts of a report about a recipient that bounced. */
export interface Bounce {
  /** When the report arrived, in epoch ms. */
  readonly at: number;
  readonly class: BounceClass;
  /** The reply of the receiving server. Null if the report does not quote it. */
  readonly smtp: SmtpReply | null;
  /** The reason that the report states if it quotes no reply. Absent in older records. */
  readonly diagnostic?: string | null;
  /** The server that reports. Null if the report does not name it. */
  readonly reportingMta: string | null;
  /** Whether the report is believed although Gmail did not write it. */
  readonly unverified: boolean;
}

/** A recipient that has bounced. */
export interface BouncedRecipient {
  readonly email: string;
  readonly bounce: Bounce;
}

/** A mail that followed a message into the inbox of its account. */
export interface FollowUp {
  readonly kind: FollowUpKind;
  /** When the mail arrived, in epoch ms. */
  readonly at: number;
  /** The address in its From header. */
  readonly from: string;
  /** Its id, by which a mail that is read again is recognized. */
  readonly mailId: string;
  /** The recipients that it reports as bounced or delayed. Empty for replies. */
  readonly recipients: readonly string[];
}

/** Returns the recipients that a mail reports as bounced. Empty for any other mail. */
export function bouncedIn({ kind, recipients }: FollowUp, delivery: Delivery): BouncedRecipient[] {
  if (kind !== 'bounced') return [];
  return delivery.recipients.flatMap(({ email, bounce }) =>
    bounce && recipients.includes(email) ? [{ email, bounce }] : [],
  );
}

/** Estimates the memory of the mails that followed a delivery, in bytes. */
export function followUpBytes({ followUps, recipients }: Delivery): number {
  if (followUps.length === 0) return 0;
  return JSON.stringify([followUps, recipients.map(({ bounce }) => bounce)]).length;
}
