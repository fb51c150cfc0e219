import type { Delivery, DeliveryError, SmtpReply, Status } from './delivery.ts';
import type { ErrorCode } from './errors.ts';
import type { Attachment, Content, Envelope, Priority, TemplateUse } from './message.ts';

/**
 * Holds ids that are due, or will be. Knows nothing of messages.
 *
 * - Ids stand in channels, one for each sending account: what one cannot send now never holds up another. An id stands in one channel at a time.
 * - `push` is idempotent by id. An id that is taken when it is pushed is due again once it is done.
 * - `take` hides an id from everybody until `done` or `retry`; aborting it never loses one.
 * - Of the ids that are due in a channel, `high` goes first, then the one that has been due longest, then the one pushed first.
 * - Delays are measured on a monotonic clock.
 * - An id taken and not settled before a crash, or by another instance that has died, is due again.
 */
export interface Queue {
  push(id: string, options: { channel: string; afterMs: number; priority: Priority }): Promise<void>;
  /** Waits for the channel's next due id. Rejects with the signal's reason once that is aborted. */
  take(channel: string, signal: AbortSignal): Promise<string>;
  /** The id is settled: forget it. */
  done(id: string, channel: string): Promise<void>;
  /** Give a taken id back, due again after `afterMs`; in another channel, if `to` names one. */
  retry(id: string, channel: string, afterMs: number, to?: string): Promise<void>;
  /** An id that waits is due after `afterMs` in place of when it was. Ignored if it is unknown or taken. */
  reschedule(id: string, channel: string, afterMs: number): Promise<void>;
  /** An id that waits is due after `afterMs` at the latest. Ignored if it is unknown, taken, or due sooner. */
  hasten(id: string, channel: string, afterMs: number): Promise<void>;
}

/**
 * Keeps deliveries by id.
 *
 * - Bounded: `insert` refuses with AppError `queue_full` when the unsettled deliveries would exceed QUEUE_MAX_MESSAGES or QUEUE_MAX_BYTES.
 *   Nothing refused is kept.
 * - What cannot be kept or read now is refused with AppError `queue_unavailable`.
 * - What `insert` and `update` have resolved is as durable as the backend's `durability` says; nobody is ever shown what is not.
 * - Settled deliveries stay readable for RETAIN, then go.
 * - What is kept and due gets into the queue, also if its `push` is prevented: by a crash, say.
 */
export interface Store {
  /** Answers what is kept from now on: the delivery; or, if it was inserted before, what has become of it. */
  insert(delivery: Delivery): Promise<Delivery>;
  get(id: string): Promise<Delivery | null>;
  /** Returns what is still known of a settled delivery that was dropped before RETAIN, to keep memory flat. */
  tombstone(id: string): Promise<Tombstone | null>;
  /**
   * Puts `to` in the place of `from`, unless what is kept is another revision by now, or gone: then nothing changes, and it answers false.
   * Of any number of callers with the same `from`, one succeeds.
   */
  update(from: Delivery, to: Delivery): Promise<boolean>;
  /** Newest first, by `createdAt` and then by `id`. Without content: that of a page might not fit into memory. */
  list(query: DeliveryQuery): Promise<readonly Delivery[]>;
  /** Every delivery that is not settled: to wake what waits for an account or for the wall clock, and for the farewell at shutdown. */
  unsettled(): AsyncIterable<Unsettled>;
  /** Why `insert` would be refused now, if it would: cheap enough to ask on every request. */
  refusal(): 'queue_full' | 'queue_unavailable' | null;
  /** Bytes that QUEUE_MAX_BYTES has left, as far as this instance knows. Negative if it was lowered. As cheap as `refusal`. */
  freeBytes(): number;
  /** Checks what `refusal` is too cheap to check. Returns what is wrong and how to fix it, fit for any client, or null if `refusal` says it all. */
  trouble?(): string | null;
  /** Calls the listener when another instance has settled or deferred a delivery. */
  onChangeElsewhere(listener: (id: string) => void): void;
}

/** What a store remembers of a delivery that it had to drop. */
export type Tombstone = Pick<Delivery, 'id' | 'status' | 'finishedAt'>;

/** What can be said of a delivery without reading what it says. */
export type Unsettled = Pick<Delivery, 'id' | 'account' | 'status' | 'error' | 'scheduledAt' | 'expiresAt'>;

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

/** What a request came to: small, and enough to respond to it again when its answer is not stored. */
export interface Receipt {
  /** The ids of the messages that were accepted, in the order of the request. */
  readonly ids: readonly string[];
  /** The messages that were refused, by their index in the request. */
  readonly refused: readonly { readonly index: number; readonly code: ErrorCode }[];
}

export type IdempotencyClaim =
  /** `seed`: at least 128 random bits, the same whenever this request is taken up again. What it makes gets its ids from it, and so is made once. */
  | { readonly kind: 'new'; readonly seed: string }
  | { readonly kind: 'in_progress' }
  | { readonly kind: 'mismatch' }
  /** `answer`: null if none was stored, or the stored one was dropped. */
  | { readonly kind: 'accepted'; readonly receipt: Receipt; readonly answer: StoredAnswer | null }
  /** Written by a former version, which stored no receipt. */
  | { readonly kind: 'answered'; readonly answer: StoredAnswer };

/**
 * Remembers which requests were made. `key` already names the API key and the route; `owner` is the API key alone.
 *
 * - `claim` is atomic: of any number of callers, one gets `new`.
 * - A claim ends in `accept`, in `forget` (the next caller gets `new`, with another seed), or in `suspend`.
 * - An accepted claim is kept for RETAIN, counted from the first `accept`. A later `accept`, by any instance, adds or replaces the answer.
 * - A claim that was suspended, or whose instance died before it ended, is taken up by the next caller with the same fingerprint, who gets `new`
 *   with the same seed.
 * - In memory it is bounded. The owner with the most claims loses its oldest first, so that one owner never costs another its claims. Answers
 *   are bounded apart from claims, in the same way.
 */
export interface IdempotencyLedger {
  claim(key: string, fingerprint: string, owner: string): Promise<IdempotencyClaim>;
  /** @param answer null if none is to be stored yet */
  accept(key: string, receipt: Receipt, answer: StoredAnswer | null): Promise<void>;
  forget(key: string): Promise<void>;
  /** What came of it is not known. */
  suspend(key: string): Promise<void>;
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
  /**
   * Puts `to` in the place of `from` (null: of none), for the same mailbox, unless something else is kept by now: then nothing changes, and it
   * answers false.
   *
   * @throws {AppError} `queue_full` when there is no room for another, `queue_unavailable`
   */
  replace(from: Suppression | null, to: Suppression): Promise<boolean>;
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
  /** When its endpoint is called next, in epoch ms by the clock of the books. */
  readonly dueAt: number;
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

/** A value that is kept, and that all instances share: plain JSON. */
export interface Book<Value> {
  /** As it was when it was last read or changed here: another instance may have changed it since. Not to be changed. */
  readonly current: Value;
  /** `current`, once it has been read anew. */
  read(): Promise<Value>;
  /**
   * Changes the value, one at a time, whoever asks. `edit` changes what it is given, and may be called again, on what another instance has made
   * of the value meanwhile: it must do nothing else. What it answered last is the result. It is kept by the time that anything is that is
   * written to the backend after it.
   *
   * @throws {AppError} `queue_unavailable`
   */
  change<Result>(edit: (value: Value) => Result): Promise<Result>;
}

/** Small values by name: what accounts may do and have done, what keys have used. */
export interface Books {
  /** Whether other instances may change them too. */
  readonly shared: boolean;
  /** Epoch ms by a clock that does not jump, and by which all go who share the books. */
  now(): number;
  /** @param initial what it is if it has never been */
  open<Value extends object>(name: string, initial: () => Value): Promise<Book<Value>>;
}

/** How much may be spent in each window of time. */
export interface Rate {
  readonly max: number;
  readonly windowMs: number;
}

/** A window of a rate limit, after a cost was spent or refused. */
export interface RateState {
  /** Whether the cost fitted. If not, nothing of it was spent. */
  readonly fits: boolean;
  readonly left: number;
  /** When the window ends, in ms from now. */
  readonly resetMs: number;
}

/** Counts what is spent in windows of time. A window begins with the first cost in it. */
export interface RateCounter {
  /**
   * Spends the whole cost in one step, or nothing.
   *
   * @throws {AppError} `queue_unavailable`
   */
  spend(name: string, cost: number, rate: Rate): Promise<RateState>;
}

/** Counters of API keys by name, and of client addresses. */
export interface RateCounters {
  readonly keys: RateCounter;
  readonly addresses: RateCounter;
}

/** One way to keep things: memory, a file, Redis. */
export interface Backend {
  readonly durability: 'memory' | 'disk' | 'redis';
  readonly queue: Queue;
  readonly store: Store;
  readonly idempotency: IdempotencyLedger;
  readonly suppressions: SuppressionStore;
  readonly outbox: Outbox;
  readonly books: Books;
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
  /** Ends connections that are free, until there are no more than so many in all; answers how many there are. */
  keep(atMost: number): number;
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
  /** Returns the media type that the attachment is sent with. */
  typeOf(attachment: Attachment): string;
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
