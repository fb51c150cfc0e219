import { hash } from 'node:crypto';
import type { SmtpReply } from '../delivery/delivery.ts';
import type { AuthenticationResults } from './authentication-results.ts';

/**
 * What a received mail is. `bounce`: at least one recipient failed. `delay`: the server still
 * tries. `other`: it changes nothing, such as a read receipt or a report of success.
 */
export type InboundKind = 'bounce' | 'delay' | 'reply' | 'auto_reply' | 'other';

/** What a report states about one recipient. */
export interface RecipientReport {
  /**
   * Final and original recipient, in canonical form. Empty: the report names none, so it can only
   * be about a message with one recipient.
   */
  readonly addresses: readonly string[];
  readonly action: 'failed' | 'delayed';
  /** The most specific enhanced code (RFC 3463) of the report. */
  readonly status: string | null;
  /** The reply of the server that refused the message. */
  readonly smtp: SmtpReply | null;
  /** Reason on one line, if it is no SMTP reply. */
  readonly diagnostic: string | null;
}

/** A received mail, as far as it can concern a message of ours. Its content is not kept. */
export interface InboundMail {
  readonly kind: InboundKind;
  /** Its Message-ID, or an id that is the same whenever the mail is read again. */
  readonly mailId: string;
  /** The mailbox in From, in canonical form. Null: none, several, or invalid. */
  readonly from: string | null;
  /** The first Authentication-Results field. Null: there is none, or it names no server. */
  readonly authentication: AuthenticationResults | null;
  /** Message-IDs in our form that it refers to, the most reliable first. */
  readonly candidates: readonly string[];
  /** Empty unless it is a bounce or a delay. */
  readonly recipients: readonly RecipientReport[];
  readonly reportingMta: string | null;
  /** The status part is empty. Gmail sends this if "Send mail as" is misconfigured. */
  readonly isEmptyReport: boolean;
}

/**
 * Returns the same text whenever a mail is read again, and another for each other mail that matters.
 * Programs exist that use one Message-ID for several mails.
 */
export function digestOf({ mailId, kind, from, candidates, recipients }: InboundMail): string {
  return hash('sha256', JSON.stringify([mailId, kind, from, candidates, recipients]), 'base64url');
}

/** Our Message-IDs contain 128 random bits, so only a recipient of a message can know its id. */
const OUR_MESSAGE_ID = /<(msg_[0-9a-f]{32}@[^\s<>@]{1,255})>/g;

/** Returns the Message-IDs in a text that have our form, with angle brackets, in their order. */
export function findOurMessageIds(text: string): string[] {
  return text.match(OUR_MESSAGE_ID) ?? [];
}
