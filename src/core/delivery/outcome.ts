import type { ErrorCode } from '../errors.ts';
import type { Content, Envelope } from '../message/message.ts';
import { type Delivery, type DeliveryError, firstDueAt, type SmtpReply } from './delivery.ts';

/** What one attempt needs, as plain data that could cross a thread. */
export interface Job {
  readonly id: string;
  readonly messageId: string;
  /**
   * When the message was due for the first time, as epoch ms: the Date header. The same for all
   * attempts, so that they are byte-identical.
   */
  readonly date: number;
  readonly envelope: Envelope;
  readonly content: Content;
  /** The recipients that RCPT TO names: those of the envelope that are still pending. */
  readonly recipients: readonly string[];
}

/**
 * Makes the job of a delivery.
 *
 * @param recipients of the envelope, those that RCPT TO is to name
 */
export function toJob(delivery: Delivery, content: Content, recipients: readonly string[]): Job {
  const { id, messageId, envelope } = delivery;
  return { id, messageId, date: firstDueAt(delivery), envelope, content, recipients };
}

/** Why an attempt failed, and what follows. */
export interface Fault {
  readonly error: DeliveryError;
  /**
   * `account` pauses the account and fails no message. `connection` is unrelated to the message.
   */
  readonly scope: 'message' | 'recipient' | 'connection' | 'account';
  readonly retryable: boolean;
  /** Waits before the 1st, 2nd, … retry, in ms; the last one repeats. Null: the usual back-off. */
  readonly backoffMs: readonly number[] | null;
  /** False if the server may have accepted the message anyway. */
  readonly certain: boolean;
  /** Too many recipients for one transaction: fewer at a time may work. */
  readonly splits?: true;
  /**
   * No server can be reached, or a new session broke before the server asked for the message. Every
   * other message would fail the same way, so the account is paused and one probe decides for all.
   * Unlike a fault of the account, it costs the probing message an attempt, and RETRY_FOR runs for
   * all messages.
   */
  readonly noSession?: true;
}

/** How one attempt ended, as plain data. */
export interface Outcome {
  /** Recipients that the final 250 covers. Empty unless `fault` is null. */
  readonly accepted: readonly string[];
  /** Recipients refused at RCPT, each with a fault that is certain: the server replied. */
  readonly refused: readonly { readonly email: string; readonly fault: Fault }[];
  /** The reply that decided the attempt: the final 250, or the one that caused the fault. */
  readonly reply: SmtpReply | null;
  /** Null if the server replied 250 for at least one recipient. */
  readonly fault: Fault | null;
  /** `host:port` of the last server tried. */
  readonly server: string;
}

/** Codes of faults in which a server could not be reached: another server may succeed. */
export const UNREACHABLE_CODES: readonly ErrorCode[] = ['dns_failed', 'connect_failed', 'connect_timeout'];

/** Codes of a message that waits until a connection works, and is sent as soon as one does. */
export const CONNECTION_FAILURE_CODES: readonly ErrorCode[] = [...UNREACHABLE_CODES, 'connection_lost'];
