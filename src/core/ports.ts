import type { Delivery, DeliveryError, SmtpReply } from './delivery.ts';
import type { Attachment, Content, Envelope, Priority } from './message.ts';

/**
 * Holds ids that are due, or will be. Knows nothing of messages.
 *
 * - Ids stand in channels, one for each sending account: what one cannot send now never holds up another.
 * - `push` is idempotent by id.
 * - `take` hides an id until `done` or `retry`; aborting it never loses one.
 * - Of the ids that are due in a channel, `high` goes first, then the one that has been due longest, then the one pushed first.
 * - Delays are measured on a monotonic clock.
 * - An id taken and not settled before a crash is due again on reopening.
 */
export interface Queue {
  push(id: string, options: { channel: string; afterMs: number; priority: Priority }): Promise<void>;
  /** Waits for the channel's next due id. Rejects with the signal's reason once that is aborted. */
  take(channel: string, signal: AbortSignal): Promise<string>;
  /** The id is settled: forget it. */
  done(id: string): Promise<void>;
  /** Give the id back, due again after `afterMs`, in another channel if one is named. */
  retry(id: string, afterMs: number, channel?: string): Promise<void>;
  /** An id that waits is due after `afterMs` in place of when it was. Ignored if it is unknown or taken. */
  reschedule(id: string, afterMs: number): Promise<void>;
}

/**
 * Keeps deliveries by id.
 *
 * - Bounded: `insert` refuses with AppError `queue_full` when the unsettled deliveries would exceed QUEUE_MAX_MESSAGES or QUEUE_MAX_BYTES,
 *   and with `queue_unavailable` when it cannot keep what it was given. Nothing refused is kept.
 * - What `insert` and `update` have resolved is as durable as the backend's `durability` says.
 * - Settled deliveries stay readable for RETAIN, then go.
 */
export interface Store {
  insert(delivery: Delivery): Promise<void>;
  get(id: string): Promise<Delivery | null>;
  /** Replaces the delivery of that id; unknown ids are ignored. */
  update(delivery: Delivery): Promise<void>;
  /** Every delivery that is not settled: for recovery at boot and the farewell at shutdown. */
  unsettled(): AsyncIterable<Delivery>;
  /** Whether `insert` would find room now: cheap enough to ask on every request. */
  hasRoom(): boolean;
}

/** An answer as it went out, to be given again word for word. */
export interface StoredAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type IdempotencyClaim =
  | { readonly kind: 'new' }
  | { readonly kind: 'in_progress' }
  | { readonly kind: 'mismatch' }
  | { readonly kind: 'answered'; readonly answer: StoredAnswer };

/**
 * Remembers which requests were made. `key` already names the API key and the route.
 *
 * - `claim` is atomic: of any number of callers, one gets `new`.
 * - A claim ends in `answer` (kept for RETAIN) or in `forget` (the next caller gets `new`).
 */
export interface IdempotencyLedger {
  claim(key: string, fingerprint: string): Promise<IdempotencyClaim>;
  answer(key: string, answer: StoredAnswer): Promise<void>;
  forget(key: string): Promise<void>;
}

/** One way to keep things: memory, a file, Redis. */
export interface Backend {
  readonly durability: 'memory' | 'disk' | 'redis';
  readonly queue: Queue;
  readonly store: Store;
  readonly idempotency: IdempotencyLedger;
  close(): Promise<void>;
}

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

/** Hears how far an attempt has come. */
export interface AttemptWatch {
  /** A session is logged in, and the message goes out now. */
  begun(): void;
  /** The server has answered to the envelope, and wants the message. */
  answered(): void;
}

/** The way out. */
export interface Transport {
  /**
   * One attempt. Never rejects: whatever happens is an Outcome. Never retries, save that a pooled connection found dead before anything
   * was read is replaced at once, and the next server is tried when one cannot be reached.
   */
  send(job: Job, watch?: AttemptWatch): Promise<Outcome>;
  /** Connects and logs in on a connection of its own, and sends nothing. Null if that worked. Never rejects. */
  verify(): Promise<Fault | null>;
  /** Ends attempts that still run (their outcome says so) and closes idle connections. */
  close(): Promise<void>;
}

/** What a message becomes on the wire, without sending it. */
export interface Composed {
  /** Bytes, with CRLF line ends. */
  readonly size: number;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

export interface Composer {
  compose(job: Job): Promise<Composed>;
}

/** What Gmail blocks, found inside an attachment. */
export interface BlockedEntry {
  /** Of the attachment, from 0. */
  readonly index: number;
  readonly filename: string;
  /** The name inside the archive, after those of the archives it lies in: `tools.zip/bin/setup.exe`. Any text at all. */
  readonly entry: string;
  /** Without its dot, in lower case. */
  readonly extension: string;
}

/** Looks into archives. */
export interface AttachmentInspector {
  /**
   * The first file in each attachment that Gmail would not carry. Bounded in time and memory whatever it is given, and never rejects: what
   * is damaged, encrypted or too large to look into is left to Gmail's own judgement.
   */
  findBlocked(attachments: readonly Attachment[]): Promise<readonly BlockedEntry[]>;
}
