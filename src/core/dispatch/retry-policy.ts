import type { Pause } from '../accounts/circuit-breaker.ts';
import {
  type Delivery,
  type DeliveryError,
  namedOf,
  type Recipient,
  type SmtpReply,
  type Status,
} from '../delivery/delivery.ts';
import type { Fault, Outcome } from '../delivery/outcome.ts';
import { ERRORS } from '../errors.ts';
import { BACKOFF_MS, backoffStep, withJitter } from './backoff.ts';

/** Values of ON_UNCERTAIN: what follows an attempt whose outcome cannot be known. */
export const ON_UNCERTAIN = ['retry', 'hold'] as const;
export type OnUncertain = (typeof ON_UNCERTAIN)[number];

export interface RetryPolicy {
  /** Total time that a message is retried, counted in waits (RETRY_FOR). */
  readonly retryForMs: number;
  readonly onUncertain: OnUncertain;
  /** Multiplies every wait: 1, or less in tests. */
  readonly backoffScale: number;
  /** Returns a number from 0 to 1, for jitter. */
  readonly random: () => number;
}

export type RetryDecision =
  | {
      readonly kind: 'settle';
      readonly status: Extract<Status, 'sent' | 'partially_sent' | 'failed' | 'uncertain'>;
      readonly recipients: readonly Recipient[];
      readonly error: DeliveryError | null;
    }
  | {
      readonly kind: 'again';
      readonly afterMs: number;
      readonly recipients: readonly Recipient[];
      readonly error: DeliveryError;
      readonly possibleDuplicate: boolean;
      readonly perAttempt: number | null;
    };

/**
 * Decides what follows an attempt: settle the delivery, or retry it after a wait. Does not handle
 * faults of the account: they cost no attempt.
 *
 * @param delivery As it was sent. `attempts` includes the attempt that just ended.
 * @param waitMs Replaces the back-off if the account is paused.
 */
export function decideAfterAttempt(
  delivery: Delivery,
  outcome: Outcome,
  policy: RetryPolicy,
  waitMs: number | null = null,
): RetryDecision {
  const recipients = applyOutcome(delivery.recipients, outcome);
  const fault = outcome.fault ?? findTemporaryRefusal(outcome);
  const perAttempt = fault?.splits ? reducePerAttempt(delivery, outcome) : delivery.perAttempt;
  if (fault === null || (perAttempt !== null && madeProgress(delivery, outcome, perAttempt))) {
    const hasPending = recipients.some(({ status }) => status === 'pending');
    if (!hasPending) return settle(recipients, refusalOf(recipients, outcome));
    const { possibleDuplicate } = delivery;
    return {
      kind: 'again',
      afterMs: 0,
      recipients,
      error: perAttempt === null ? remainderNotice() : splitNotice(fault),
      possibleDuplicate,
      perAttempt,
    };
  }

  const leftMs = policy.retryForMs - delivery.retriedForMs;
  // Also when the time is up: `failed` would claim that the server did not accept the message.
  if (!fault.certain && (policy.onUncertain === 'hold' || leftMs <= 0)) {
    return {
      kind: 'settle',
      status: 'uncertain',
      recipients,
      error: restate('delivery_uncertain', fault.error),
    };
  }
  const possibleDuplicate = delivery.possibleDuplicate || !fault.certain;
  if (fault.certain && !fault.retryable) {
    return settle(
      rejectPending(recipients, fault.error.smtp),
      outcome.refused.length > 0 ? refusalOf(recipients, outcome) : fault.error,
    );
  }
  if (leftMs <= 0)
    return settle(rejectPending(recipients, fault.error.smtp), restate('retries_exhausted', fault.error));
  const afterMs = Math.min(waitMs ?? backoffAfter(delivery.attempts.length, fault, policy), leftMs);
  return { kind: 'again', afterMs, recipients, error: fault.error, possibleDuplicate, perAttempt };
}

/**
 * Decides about a message that is due while no server can be reached. It waits for the probe, as
 * after an attempt, until RETRY_FOR is spent. Only a message that has already waited is given up.
 */
export function decideWhileUnreachable(
  delivery: Delivery,
  { error, forMs }: Pause,
  { retryForMs }: RetryPolicy,
): RetryDecision {
  const { recipients, possibleDuplicate, perAttempt, status, retriedForMs } = delivery;
  const leftMs = retryForMs - retriedForMs;
  if (leftMs <= 0 && status === 'deferred')
    return settle(rejectPending(recipients, error.smtp), restate('retries_exhausted', error));
  const afterMs = leftMs > 0 ? Math.min(forMs, leftMs) : forMs;
  return { kind: 'again', afterMs, recipients, error, possibleDuplicate, perAttempt };
}

/**
 * Returns the number of recipients for the next attempt after the server found them too many: as
 * many as it accepted, or half.
 */
function reducePerAttempt(delivery: Delivery, { accepted }: Outcome): number {
  return Math.max(1, accepted.length || Math.floor(namedOf(delivery).length / 2));
}

/** Whether a split message may continue at once: this attempt brought it closer to completion. */
function madeProgress(
  delivery: Delivery,
  { accepted, refused, fault }: Outcome,
  perAttempt: number,
): boolean {
  if (accepted.length > 0)
    return refused.every((refusal) => refusal.fault.splits || !refusal.fault.retryable);
  return fault?.splits === true && perAttempt < namedOf(delivery).length;
}

function splitNotice(fault: Fault | null): DeliveryError {
  return partNotice(
    'It has more recipients than the server accepts at once, so it is sent in several transactions.',
    fault?.error.smtp ?? null,
  );
}

/** For recipients that the server had refused for now, once the others are known to be accepted. */
function remainderNotice(): DeliveryError {
  return partNotice('The server accepted it for the other recipients. It is sent to the rest.', null);
}

function partNotice(detail: string, smtp: SmtpReply | null): DeliveryError {
  const { hint } = ERRORS.smtp_temporary_failure;
  return { code: 'smtp_temporary_failure', scope: 'message', detail, hint, smtp };
}

/**
 * Returns the fault of the first recipient to retry. Such a fault is certain: the server replied.
 */
function findTemporaryRefusal({ refused }: Outcome): Fault | null {
  return refused.find(({ fault }) => fault.retryable)?.fault ?? null;
}

/** Returns the wait after an attempt, in ms, with jitter. `attempt` counts from 1. */
function backoffAfter(attempt: number, fault: Fault, policy: RetryPolicy): number {
  const usualMs = backoffStep(BACKOFF_MS, attempt);
  const suggestedMs = fault.backoffMs ? backoffStep(fault.backoffMs, attempt) : usualMs;
  // A reply may suggest an immediate retry. If the first one did not help, the usual step applies.
  const waitMs = suggestedMs === 0 && attempt > 1 ? usualMs : suggestedMs;
  return Math.round(withJitter(waitMs, policy.random) * policy.backoffScale);
}

/** Updates the status of each recipient that the attempt named. */
function applyOutcome(recipients: readonly Recipient[], outcome: Outcome): Recipient[] {
  const accepted = new Set(outcome.accepted);
  const refused = new Map(outcome.refused.map(({ email, fault }) => [email, fault]));
  return recipients.map((recipient) => {
    if (accepted.has(recipient.email)) return { ...recipient, status: 'accepted', smtp: outcome.reply };
    const fault = refused.get(recipient.email);
    if (!fault) return recipient;
    return { ...recipient, status: fault.retryable ? 'pending' : 'rejected', smtp: fault.error.smtp };
  });
}

function rejectPending(recipients: readonly Recipient[], smtp: SmtpReply | null): Recipient[] {
  return recipients.map((recipient) =>
    recipient.status === 'pending' ? { ...recipient, status: 'rejected', smtp } : recipient,
  );
}

function settle(recipients: readonly Recipient[], error: DeliveryError | null): RetryDecision {
  const accepted = recipients.filter(({ status }) => status === 'accepted' || status === 'bounced').length;
  if (accepted === recipients.length) return { kind: 'settle', status: 'sent', recipients, error: null };
  return { kind: 'settle', status: accepted > 0 ? 'partially_sent' : 'failed', recipients, error };
}

/**
 * Returns one error for all recipients that do not get the message: the reason that the permanent
 * refusals share, or `recipients_rejected`.
 */
function refusalOf(recipients: readonly Recipient[], outcome: Outcome): DeliveryError | null {
  const rejected = recipients.filter(({ status }) => status === 'rejected');
  if (rejected.length === 0) return suppressionOf(recipients);
  const first = outcome.refused.find(({ fault }) => !fault.retryable)?.fault.error;
  const smtp = first?.smtp ?? rejected[0]?.smtp ?? null;
  const sameForAll =
    first &&
    outcome.refused.length === rejected.length &&
    outcome.refused.every(({ fault }) => fault.error.code === first.code);
  if (sameForAll && rejected.length === 1 && recipients.length === 1) return first;
  return {
    code: sameForAll ? first.code : 'recipients_rejected',
    scope: 'message',
    detail: listMissed(recipients),
    hint: sameForAll ? first.hint : ERRORS.recipients_rejected.hint,
    smtp,
  };
}

/** Returns the error of a message that was accepted for all recipients but suppressed ones. */
function suppressionOf(recipients: readonly Recipient[]): DeliveryError | null {
  const suppressed = recipients.find(({ status }) => status === 'suppressed');
  if (!suppressed) return null;
  const { hint } = ERRORS.recipient_suppressed;
  return {
    code: 'recipient_suppressed',
    scope: 'message',
    detail: listMissed(recipients),
    hint,
    smtp: suppressed.smtp,
  };
}

/** Lists the recipients that do not get the message. */
function listMissed(recipients: readonly Recipient[]): string {
  const list = (label: string, status: Recipient['status']) => {
    const emails = recipients.filter((recipient) => recipient.status === status).map(({ email }) => email);
    return emails.length === 0
      ? []
      : [`${label}: ${emails.join(', ')} (${emails.length} of ${recipients.length} recipients).`];
  };
  return [...list('Refused', 'rejected'), ...list('Not sent to', 'suppressed')].join(' ');
}

/** Returns the final error of a delivery, with its last failure in the detail. */
export function restate(
  code: 'delivery_uncertain' | 'retries_exhausted',
  last: DeliveryError,
): DeliveryError {
  return {
    code,
    scope: 'message',
    detail: `${ERRORS[code].title}. The last failure: ${last.code}: ${last.detail}`,
    hint: ERRORS[code].hint,
    smtp: last.smtp,
  };
}
