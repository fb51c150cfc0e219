import type { ErrorCode } from '../errors.ts';
import type { Content, Envelope } from '../message/message.ts';
import type { DeliveryError, SmtpReply } from './delivery.ts';

/** What one attempt needs, as plain data that could cross a thread. */
export interface Job {
  readonly id: string;
  readonly messageId: string;
  /** Epoch ms, becomes the Date header: fixed, so that attempts are byte-identical. */
  readonly date: number;
  readonly envelope: Envelope;
  readonly content: Content;
  /** Who RCPT TO names this time: those of the envelope that are still pending. */
  readonly recipients: readonly string[];
}

/** What went wrong in an attempt, and what follows from it. */
export interface Fault {
  readonly error: DeliveryError;
  /** Whose fault: `account` pauses the sender and fails nothing; `connection` says nothing about the message. */
  readonly scope: 'message' | 'recipient' | 'connection' | 'account';
  readonly retryable: boolean;
  /** How long to wait before the 1st, 2nd, … retry (ms, the last one repeats). Null: the usual back-off. */
  readonly backoffMs: readonly number[] | null;
  /** False if the server may have taken the message all the same. */
  readonly certain: boolean;
  /** Too many recipients for one transaction: fewer at a time may do. */
  readonly splits?: true;
  /**
   * No server can be reached, or a new session broke before the server wanted the message. Any other message would fare alike, so the account is
   * paused: one probe finds out for all. Unlike a fault of the account it costs the probing message an attempt, and all of them RETRY_FOR.
   */
  readonly noSession?: true;
}

/** How one attempt ended, as plain data. */
export interface Outcome {
  /** Whom the final 250 speaks for. Empty unless `fault` is null. */
  readonly accepted: readonly string[];
  /** Who was refused at RCPT, and why. */
  readonly refused: readonly { readonly email: string; readonly fault: Fault }[];
  /** The reply that decided the attempt: the final 250, or the one the fault speaks of. */
  readonly reply: SmtpReply | null;
  /** Null if the server answered 250 for at least one recipient. */
  readonly fault: Fault | null;
  /** `host:port` of the server that was tried last. */
  readonly server: string;
}

/** Codes of faults in which no server could be reached: nothing was sent, and another server may succeed. */
export const UNREACHABLE_CODES: readonly ErrorCode[] = ['dns_failed', 'connect_failed', 'connect_timeout'];
