import type { Delivery, DeliveryError, SmtpReply, Status } from './delivery.ts';
import type { Attachment, Content, Envelope, Priority, TemplateUse } from './message.ts';

/**
 * Holds ids that are due, or will be. Knows nothing of messages.
 *
 * - Ids stand in channels, one for each sending account: what one cannot send now never holds up another.
 * - `push` is idempotent by id. An id that is taken when it is pushed is due again once it is done.
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
  /**
   * Puts `to` in the place of `from`, unless what is kept is another revision by now, or gone: then nothing changes, and it answers false.
   * Of any number of callers with the same `from`, one succeeds.
   */
  update(from: Delivery, to: Delivery): Promise<boolean>;
  /** Newest first, by `createdAt` and then by `id`. */
  list(query: DeliveryQuery): Promise<readonly Delivery[]>;
  /** Every delivery that is not settled: for recovery at boot and the farewell at shutdown. */
  unsettled(): AsyncIterable<Delivery>;
  /** Whether `insert` would find room now: cheap enough to ask on every request. */
  hasRoom(): boolean;
}

/** Which deliveries to list. Null: any. */
export interface DeliveryQuery {
  readonly owner: string | null;
  readonly statuses: readonly Status[] | null;
  /** The name of a tag, or `name:value`. */
  readonly tag: string | null;
  /** Somebody it is addressed to, as {@link toMailboxKey} has it. */
  readonly recipient: string | null;
  /** At this time or later, and before that one. */
  readonly createdAfter: number | null;
  readonly createdBefore: number | null;
  readonly limit: number;
  /** Only what comes after this place in the list. */
  readonly after: Place | null;
}

/** A place in the list of all deliveries, that stays right while deliveries come and go. */
export interface Place {
  readonly createdAt: number;
  readonly id: string;
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

/** An address that mail is not sent to. */
export interface Suppression {
  readonly email: string;
  /** `refused`: Gmail refused it for good. `manual`: somebody entered it. */
  readonly reason: 'refused' | 'manual';
  /** The accounts that do not send to it; null: none does. */
  readonly accounts: readonly string[] | null;
  /** What Gmail said. */
  readonly smtp: SmtpReply | null;
  /** The id of the message that Gmail refused. */
  readonly messageId: string | null;
  /** What the person who entered it wrote. */
  readonly note: string | null;
  readonly createdAt: number;
}

/**
 * Keeps suppressions, one for each mailbox: addresses are compared by {@link toMailboxKey}.
 *
 * - In memory it is bounded: past that, the oldest that Gmail refused go first.
 */
export interface SuppressionStore {
  get(email: string): Promise<Suppression | null>;
  /** Replaces what there is for the same mailbox. */
  put(suppression: Suppression): Promise<void>;
  /** Answers whether there was one. */
  remove(email: string): Promise<boolean>;
  /** By address, in code unit order of their mailbox keys; only those after that one, if there is one. */
  list(query: { readonly limit: number; readonly after: string | null }): Promise<readonly Suppression[]>;
}

/** An event that an endpoint is still to be told of. */
export interface Notice {
  /** `evt_…`, the same for every attempt and every endpoint. */
  readonly eventId: string;
  /** Of this notice. */
  readonly id: string;
  readonly url: string;
  /** `message.sent`, … */
  readonly type: string;
  /** The id of the message, or the account. */
  readonly about: string;
  /** JSON. */
  readonly body: string;
  readonly createdAt: number;
  readonly failures: number;
  /** How much of the day of retries is spent, counted in waits. */
  readonly retriedForMs: number;
}

/**
 * Keeps notices until they are delivered or given up. When they are due is the queue's business.
 *
 * - Bounded. One endpoint that is down never takes all the room: the more it holds, the more must be free for it to get another.
 */
export interface Outbox {
  /** Adds or replaces. Answers false, and keeps nothing, when there is no room for another. To replace there always is. */
  put(notice: Notice): Promise<boolean>;
  get(id: string): Promise<Notice | null>;
  remove(id: string): Promise<void>;
  /** All there are: for recovery at boot and the farewell at shutdown. */
  pending(): AsyncIterable<Notice>;
}

/** One way to keep things: memory, a file, Redis. */
export interface Backend {
  readonly durability: 'memory' | 'disk' | 'redis';
  readonly queue: Queue;
  readonly store: Store;
  readonly idempotency: IdempotencyLedger;
  readonly suppressions: SuppressionStore;
  readonly outbox: Outbox;
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

/** What there is to fill in. */
export interface TemplateInfo {
  readonly id: string;
  /** Which of its parts it has. */
  readonly subject: boolean;
  readonly html: boolean;
  readonly text: boolean;
  readonly variables: readonly { readonly name: string; readonly required: boolean }[];
}

/** What a template became; null for a part that it does not have. */
export interface Rendered {
  readonly subject: string | null;
  readonly html: string | null;
  readonly text: string | null;
}

/** The operator's templates. */
export interface Templates {
  list(): readonly TemplateInfo[];
  /** @throws {AppError} `template_not_found`, `template_failed` */
  render(use: TemplateUse): Rendered;
}

/** One POST to an endpoint. */
export interface WebhookCall {
  readonly url: string;
  /** `webhook-id`. */
  readonly id: string;
  /** Epoch ms, becomes `webhook-timestamp`. */
  readonly sentAt: number;
  readonly body: string;
}

export type WebhookAnswer =
  | { readonly kind: 'taken' }
  /** 410: the endpoint wants no more, ever. */
  | { readonly kind: 'gone' }
  /** `reason` is fit for a log: it holds no part of the URL's path or query, and nothing of the answer's body. */
  | { readonly kind: 'failed'; readonly reason: string; readonly retryAfterMs: number | null };

/** Calls endpoints, signed. */
export interface WebhookSender {
  /** One attempt, with a deadline of its own. Never rejects. */
  post(call: WebhookCall): Promise<WebhookAnswer>;
  /** Ends calls under way (they have failed) and closes idle connections. */
  close(): Promise<void>;
}
