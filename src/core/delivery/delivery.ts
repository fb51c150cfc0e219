import type { ErrorCode } from '../errors.ts';
import type { Address } from '../message/address.ts';
import type { Content, Envelope, Priority } from '../message/message.ts';
import type { Bounce, FollowUp } from './follow-up.ts';
import type { Lookup } from './lookup.ts';
import type { TraceContext } from './trace-context.ts';

/**
 * A delivery is one accepted message and everything that has happened to it. It is an immutable
 * value: {@link advance} and {@link amend} return the next revision.
 *
 *     scheduled ─▶ queued ─▶ sending ─▶ sent | partially_sent | failed | uncertain
 *                    ▲          │
 *                    └ deferred ◀┘        canceled, expired: from scheduled, queued and deferred
 *
 * A deferred delivery also becomes failed or partially_sent if no server can be reached for
 * RETRY_FOR, and any outcome of an attempt once Sent Mail has been searched for it. An uncertain one
 * becomes sent or partially_sent if it is found there. A failed, uncertain or expired delivery is
 * queued again when a client retries it.
 */
export const STATUSES = [
  'scheduled',
  'queued',
  'sending',
  'deferred',
  'sent',
  'partially_sent',
  'failed',
  'uncertain',
  'canceled',
  'expired',
] as const;
export type Status = (typeof STATUSES)[number];

const NEXT: Readonly<Record<Status, readonly Status[]>> = {
  scheduled: ['queued', 'canceled', 'expired'],
  queued: ['sending', 'deferred', 'canceled', 'expired'],
  sending: ['sent', 'partially_sent', 'deferred', 'failed', 'uncertain'],
  deferred: ['queued', 'canceled', 'expired', 'sent', 'partially_sent', 'failed', 'uncertain'],
  sent: [],
  partially_sent: [],
  failed: ['queued'],
  uncertain: ['queued', 'sent', 'partially_sent'],
  canceled: [],
  expired: ['queued'],
};

const SETTLED: ReadonlySet<Status> = new Set([
  'sent',
  'partially_sent',
  'failed',
  'uncertain',
  'canceled',
  'expired',
]);

/** Whether a status is final: nothing more happens automatically. */
export function isSettled(status: Status): boolean {
  return SETTLED.has(status);
}

/**
 * Whether a change of a settled delivery leaves it in its status: mail that follows it is recorded.
 * It stays readable for as long as before.
 */
export function isAmended(from: Pick<Delivery, 'status'>, to: Pick<Delivery, 'status'>): boolean {
  return isSettled(from.status) && from.status === to.status;
}

/** Whether the state machine has a transition from one status to the other. */
export function mayBecome(from: Status, to: Status): boolean {
  return NEXT[from].includes(to);
}

/** Whether a settled delivery of this status can be retried by a client. It keeps its content. */
export function isRetryable(status: Status): boolean {
  return isSettled(status) && mayBecome(status, 'queued');
}

/**
 * A reply of the SMTP server, its lines joined and any sign-in URL redacted. `enhanced` is the
 * RFC 3463 code.
 */
export interface SmtpReply {
  readonly code: number;
  readonly enhanced: string | null;
  readonly response: string;
}

/**
 * Why a delivery, an attempt or a recipient failed: a row of ERRORS with the detail of this case.
 */
export interface DeliveryError {
  readonly code: ErrorCode;
  /** `account`: a fault of the sending account, so every message of that account waits. */
  readonly scope: 'message' | 'account';
  readonly detail: string;
  readonly hint: string;
  readonly smtp: SmtpReply | null;
}

export const RECIPIENT_STATUSES = ['pending', 'accepted', 'rejected', 'suppressed', 'bounced'] as const;

/**
 * `pending` until the server accepts or refuses the recipient permanently. `smtp` is its latest
 * reply about this recipient. `suppressed`: never attempted. `bounced`: according to a report, the
 * recipient does not get the message, which the server may have accepted.
 */
export interface Recipient {
  readonly email: string;
  readonly status: (typeof RECIPIENT_STATUSES)[number];
  readonly smtp: SmtpReply | null;
  /** Only if it has bounced. */
  readonly bounce?: Bounce;
}

/** What is kept of an attachment once its content is dropped. */
export interface AttachmentInfo {
  readonly filename: string;
  /** Size of the decoded content, in bytes. */
  readonly size: number;
  /** Media type in the mail. Null in records of version 0.1, where it is unknown. */
  readonly contentType: string | null;
}

/**
 * Changes that the service made to a message:
 *
 * - `from_rewritten`: replaced From, because of FROM_POLICY=rewrite;
 * - `recipients_redirected`: replaced the recipients, because of REDIRECT_ALL_TO;
 * - `recipients_suppressed`: left out suppressed recipients.
 */
export const WARNING_CODES = ['from_rewritten', 'recipients_redirected', 'recipients_suppressed'] as const;

export interface Warning {
  readonly code: (typeof WARNING_CODES)[number];
  readonly detail: string;
}

export const CONFIRMATIONS = ['sent_mail'] as const;
/** `sent_mail`: the message is in Sent Mail of the account. */
export type Confirmation = (typeof CONFIRMATIONS)[number];

/** One try to hand a delivery to a server. `endedAt` is null while it runs. */
export interface Attempt {
  readonly number: number;
  readonly startedAt: number;
  readonly endedAt: number | null;
  readonly account: string;
  readonly smtp: SmtpReply | null;
  readonly error: DeliveryError | null;
  /** What proved that the server had accepted the message, if its reply did not. */
  readonly confirmedBy?: Confirmation;
}

/** Times are epoch milliseconds, `…Ms` durations. */
export interface Delivery {
  readonly id: string;
  /** Incremented by every change. */
  readonly revision: number;
  /** Name of the API key that sent it. */
  readonly owner: string;
  /** Id of the request that submitted it, as in the access log. */
  readonly requestId: string;
  /** The trace of that request. Null: none, also in records of version 0.2. */
  readonly trace: TraceContext | null;
  /** Whether it goes to the built-in simulator. */
  readonly test: boolean;
  readonly status: Status;
  /** The account that makes the next attempt. */
  readonly account: string;
  /** The Message-ID header with its angle brackets; the same for every attempt. */
  readonly messageId: string;
  readonly envelope: Envelope;
  readonly replyTo: readonly Address[];
  /** Id of the template that it was rendered from. */
  readonly template: string | null;
  readonly attachments: readonly AttachmentInfo[];
  readonly warnings: readonly Warning[];
  /** Null once settled, unless the status can be retried. */
  readonly content: Content | null;
  readonly tags: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly priority: Priority;
  /** Its share of QUEUE_MAX_BYTES. */
  readonly bytes: number;
  readonly createdAt: number;
  readonly scheduledAt: number | null;
  readonly expiresAt: number | null;
  readonly nextAttemptAt: number | null;
  readonly finishedAt: number | null;
  readonly recipients: readonly Recipient[];
  readonly attempts: readonly Attempt[];
  readonly error: DeliveryError | null;
  /** An attempt with an unknown outcome was retried: a second copy may exist. */
  readonly possibleDuplicate: boolean;
  /** Maximum recipients per transaction, once the server has refused more as too many. */
  readonly perAttempt: number | null;
  /** Part of RETRY_FOR that is spent. Counted in waits, so that a clock jump does not use it up. */
  readonly retriedForMs: number;
  /** Null unless the outcome of an attempt is unknown, also in records of version 0.2. */
  readonly lookup: Lookup | null;
  /** Oldest first. Empty in records of version 0.2. */
  readonly followUps: readonly FollowUp[];
}

export type DeliveryPatch = Partial<
  Pick<
    Delivery,
    | 'account'
    | 'scheduledAt'
    | 'expiresAt'
    | 'nextAttemptAt'
    | 'finishedAt'
    | 'recipients'
    | 'attempts'
    | 'error'
    | 'possibleDuplicate'
    | 'perAttempt'
    | 'retriedForMs'
    | 'lookup'
    | 'followUps'
  >
>;

/**
 * Moves a delivery to another status; nothing else changes one. A settled delivery loses its next
 * attempt, and its content and lookup unless it can be retried.
 *
 * @throws {Error} If the state machine has no such transition, which is always a bug.
 */
export function advance(delivery: Delivery, status: Status, patch: DeliveryPatch = {}): Delivery {
  if (!mayBecome(delivery.status, status))
    throw new Error(`${delivery.id} cannot go from ${delivery.status} to ${status}`);
  const settled = isSettled(status);
  const isOver = settled && !isRetryable(status);
  const { lookup = delivery.lookup } = patch;
  return {
    ...delivery,
    ...patch,
    status,
    revision: delivery.revision + 1,
    content: isOver ? null : delivery.content,
    lookup: isOver ? null : lookup,
    nextAttemptAt: settled ? null : (patch.nextAttemptAt ?? null),
  };
}

/** Returns the next revision in the same status. */
export function amend(delivery: Delivery, patch: DeliveryPatch): Delivery {
  return { ...delivery, ...patch, revision: delivery.revision + 1 };
}

/**
 * Returns how long until an unsettled delivery is due, in ms.
 *
 * @param now epoch ms
 */
export function dueAfterMs(
  { scheduledAt, nextAttemptAt, expiresAt }: Pick<Delivery, 'scheduledAt' | 'nextAttemptAt' | 'expiresAt'>,
  now: number,
): number {
  const dueAt =
    nextAttemptAt === null ? (scheduledAt ?? 0) : Math.min(nextAttemptAt, expiresAt ?? nextAttemptAt);
  return Math.max(0, dueAt - now);
}

/** Returns when a delivery was due for the first time, or will be, in epoch ms. */
export function firstDueAt({ createdAt, scheduledAt }: Pick<Delivery, 'createdAt' | 'scheduledAt'>): number {
  return Math.max(createdAt, scheduledAt ?? 0);
}

/** Returns the recipients that the server has neither accepted nor refused permanently. */
export function pendingOf({ recipients }: Pick<Delivery, 'recipients'>): string[] {
  return recipients.filter(({ status }) => status === 'pending').map(({ email }) => email);
}

/** Whether a server has accepted a recipient, or may have: the reply to an attempt can be lost. */
export function mayBeAccepted({ status }: Recipient, { attempts }: Pick<Delivery, 'attempts'>): boolean {
  return status === 'accepted' || (status === 'pending' && attempts.length > 0);
}

/** Whether a recipient has bounced. */
export function hasBounced({ recipients }: Pick<Delivery, 'recipients'>): boolean {
  return recipients.some(({ status }) => status === 'bounced');
}

/** Returns the recipients that an attempt names: all pending ones, or at most `perAttempt`. */
export function namedOf(delivery: Delivery): string[] {
  const pending = pendingOf(delivery);
  return pending.slice(0, delivery.perAttempt ?? pending.length);
}
