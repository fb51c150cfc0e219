import type { ErrorCode } from '../errors.ts';
import type { Address } from '../message/address.ts';
import type { Content, Envelope, Priority } from '../message/message.ts';

/**
 * A delivery is one accepted message and all that became of it. It is an immutable value: {@link advance} and {@link amend} return the next one.
 *
 *     scheduled ─▶ queued ─▶ sending ─▶ sent | partially_sent | failed | uncertain
 *                    ▲          │
 *                    └ deferred ◀┘        canceled, expired: out of scheduled, queued and deferred
 *
 * A deferred message also ends failed or partially_sent, if no server can be reached for as long as RETRY_FOR.
 *
 * Failed, uncertain and expired are queued again if somebody asks for it.
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
  deferred: ['queued', 'canceled', 'expired', 'failed', 'partially_sent'],
  sent: [],
  partially_sent: [],
  failed: ['queued'],
  uncertain: ['queued'],
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

/** Whether nothing more happens to a delivery of this status by itself. */
export function isSettled(status: Status): boolean {
  return SETTLED.has(status);
}

/** Whether a settled delivery of this status can be retried on request. */
export function isRetryable(status: Status): boolean {
  return isSettled(status) && mayBecome(status, 'queued');
}

/** Whether a delivery may go from the one status to the other. */
export function mayBecome(from: Status, to: Status): boolean {
  return NEXT[from].includes(to);
}

/** A reply of the SMTP server, its lines joined, any sign-in URL redacted. `enhanced` is the RFC 3463 code. */
export interface SmtpReply {
  readonly code: number;
  readonly enhanced: string | null;
  readonly response: string;
}

/** Why a delivery, an attempt or a recipient failed: a row of ERRORS and what this time adds to it. */
export interface DeliveryError {
  readonly code: ErrorCode;
  /** `account`: the sender’s, so that every message of its waits. */
  readonly scope: 'message' | 'account';
  readonly detail: string;
  readonly hint: string;
  readonly smtp: SmtpReply | null;
}

export const RECIPIENT_STATUSES = ['pending', 'accepted', 'rejected', 'suppressed'] as const;

/** `pending` until the server answers for good; `smtp` is its last word on this recipient. `suppressed`: never tried. */
export interface Recipient {
  readonly email: string;
  readonly status: (typeof RECIPIENT_STATUSES)[number];
  readonly smtp: SmtpReply | null;
}

/** What is known of an attachment once its content is dropped. */
export interface AttachmentInfo {
  readonly filename: string;
  /** Of the decoded content, in bytes. */
  readonly size: number;
  /** The media type that it is sent with. Null: not known, in records of version 0.1. */
  readonly contentType: string | null;
}

/**
 * What the service changed about a message:
 *
 * - `from_rewritten`: its From, by FROM_POLICY=rewrite;
 * - `recipients_redirected`: its recipients, by REDIRECT_ALL_TO;
 * - `recipients_suppressed`: some recipients are left out.
 */
export const WARNING_CODES = ['from_rewritten', 'recipients_redirected', 'recipients_suppressed'] as const;

export interface Warning {
  readonly code: (typeof WARNING_CODES)[number];
  readonly detail: string;
}

/** One try that reached, or meant to reach, the server. `endedAt` is null while it runs. */
export interface Attempt {
  readonly number: number;
  readonly startedAt: number;
  readonly endedAt: number | null;
  readonly account: string;
  readonly smtp: SmtpReply | null;
  readonly error: DeliveryError | null;
}

/** Times are epoch milliseconds, `…Ms` durations. */
export interface Delivery {
  readonly id: string;
  /** Grows with every change. */
  readonly revision: number;
  /** The name of the API key that sent it. */
  readonly owner: string;
  /** The request that brought it, to find its log line. */
  readonly requestId: string;
  /** It goes to the built-in simulator. */
  readonly test: boolean;
  readonly status: Status;
  /** The account whose turn it is to send it. */
  readonly account: string;
  /** The Message-ID header, with its angle brackets; the same on every attempt. */
  readonly messageId: string;
  readonly envelope: Envelope;
  readonly replyTo: readonly Address[];
  /** The id of the template that it was made from. */
  readonly template: string | null;
  readonly attachments: readonly AttachmentInfo[];
  readonly warnings: readonly Warning[];
  /** Null once settled, unless it may be tried again. */
  readonly content: Content | null;
  readonly tags: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly priority: Priority;
  /** What it counts for against QUEUE_MAX_BYTES. */
  readonly bytes: number;
  readonly createdAt: number;
  readonly scheduledAt: number | null;
  readonly expiresAt: number | null;
  readonly nextAttemptAt: number | null;
  readonly finishedAt: number | null;
  readonly recipients: readonly Recipient[];
  readonly attempts: readonly Attempt[];
  readonly error: DeliveryError | null;
  /** An attempt ended without an answer and another followed: a second copy may exist. */
  readonly possibleDuplicate: boolean;
  /** How many recipients are named in one transaction at most, once the server has found them too many. */
  readonly perAttempt: number | null;
  /** How much of RETRY_FOR is spent. Counted in waits, so that a jump of the clock does not use it up. */
  readonly retriedForMs: number;
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
  >
>;

/**
 * The only way a status changes. A settled delivery gives up its next attempt, and its content unless it may be tried again.
 *
 * @throws {Error} when the state machine has no such step: always a bug.
 */
export function advance(delivery: Delivery, status: Status, patch: DeliveryPatch = {}): Delivery {
  if (!mayBecome(delivery.status, status))
    throw new Error(`${delivery.id} cannot go from ${delivery.status} to ${status}`);
  const next = { ...amend(delivery, { nextAttemptAt: null, ...patch }), status };
  if (!isSettled(status)) return next;
  return { ...next, content: isRetryable(status) ? next.content : null, nextAttemptAt: null };
}

/** Another revision of the same status. */
export function amend(delivery: Delivery, patch: DeliveryPatch): Delivery {
  return { ...delivery, ...patch, revision: delivery.revision + 1 };
}

/** Whom the server has not answered for good. */
export function pendingOf({ recipients }: Delivery): string[] {
  return recipients.filter(({ status }) => status === 'pending').map(({ email }) => email);
}

/** Whom an attempt names: all who are pending, or as many of them as go at once. */
export function namedOf(delivery: Delivery): string[] {
  const pending = pendingOf(delivery);
  return pending.slice(0, delivery.perAttempt ?? pending.length);
}
