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

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Waits after the 1st, 2nd, … failed attempt, where the reply does not suggest its own; the last one repeats. */
const BACKOFF_MS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR] as const;

export const ON_UNCERTAIN = ['retry', 'hold'] as const;
/** What follows an attempt with an uncertain outcome (ON_UNCERTAIN). */
export type OnUncertain = (typeof ON_UNCERTAIN)[number];

export interface RetryPolicy {
  /** How long a message is retried, counted in waits (RETRY_FOR). */
  readonly retryForMs: number;
  readonly onUncertain: OnUncertain;
  /** Multiplies every wait: 1, or less to make tests quick. */
  readonly backoffScale: number;
  /** A number from 0 to 1, to spread the waits. */
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
 * What follows from an attempt: settle, or try again after a wait. Faults of the account are not judged here: they cost no attempt.
 *
 * @param delivery as it was sent, the attempt that just ended included in `attempts`
 * @param waitMs in place of the back-off, if the account is paused
 */
export function decideAfterAttempt(
  delivery: Delivery,
  outcome: Outcome,
  policy: RetryPolicy,
  waitMs: number | null = null,
): RetryDecision {
  const recipients = record(delivery.recipients, outcome);
  const fault = outcome.fault ?? reasonToRetry(outcome);
  const perAttempt = fault?.splits ? half(delivery, outcome) : delivery.perAttempt;
  if (fault === null || (perAttempt !== null && madeProgress(delivery, outcome, perAttempt))) {
    const rest = recipients.some(({ status }) => status === 'pending');
    if (!rest) return settle(recipients, refusalOf(recipients, outcome));
    const { possibleDuplicate } = delivery;
    return { kind: 'again', afterMs: 0, recipients, error: inParts(fault), possibleDuplicate, perAttempt };
  }

  const left = policy.retryForMs - delivery.retriedForMs;
  // Out of time, too: failed would say that it was not taken.
  if (!fault.certain && (policy.onUncertain === 'hold' || left <= 0)) {
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
  if (left <= 0)
    return settle(rejectPending(recipients, fault.error.smtp), restate('retries_exhausted', fault.error));
  const afterMs = Math.min(waitMs ?? waitAfter(delivery.attempts.length, fault, policy), left);
  return { kind: 'again', afterMs, recipients, error: fault.error, possibleDuplicate, perAttempt };
}

/**
 * What follows for a message that is due while no server can be reached: it waits for the probe, as after an attempt of its own, until RETRY_FOR is
 * spent. Only a message that has waited is given up.
 */
export function decideWhileUnreachable(
  delivery: Delivery,
  { error, forMs }: Pause,
  { retryForMs }: RetryPolicy,
): RetryDecision {
  const { recipients, possibleDuplicate, perAttempt, status, retriedForMs } = delivery;
  const left = retryForMs - retriedForMs;
  if (left <= 0 && status === 'deferred')
    return settle(rejectPending(recipients, error.smtp), restate('retries_exhausted', error));
  const afterMs = left > 0 ? Math.min(forMs, left) : forMs;
  return { kind: 'again', afterMs, recipients, error, possibleDuplicate, perAttempt };
}

/** How many recipients to name next time, where so many were too many: as many as were taken, or half. */
function half(delivery: Delivery, { accepted }: Outcome): number {
  return Math.max(1, accepted.length || Math.floor(namedOf(delivery).length / 2));
}

/** A message that goes in parts goes on at once, as long as each attempt brings it nearer to its end. */
function madeProgress(
  delivery: Delivery,
  { accepted, refused, fault }: Outcome,
  perAttempt: number,
): boolean {
  if (accepted.length > 0)
    return refused.every((refusal) => refusal.fault.splits || !refusal.fault.retryable);
  return fault?.splits === true && perAttempt < namedOf(delivery).length;
}

function inParts(fault: Fault | null): DeliveryError {
  const detail = 'It has more recipients than the server takes at once, and goes in parts.';
  return {
    code: 'smtp_temporary_failure',
    scope: 'message',
    detail,
    hint: ERRORS.smtp_temporary_failure.hint,
    smtp: fault?.error.smtp ?? null,
  };
}

/** Of the refusals that call for another try, one that may have been none comes first: the others were told for certain. */
function reasonToRetry({ refused }: Outcome): Fault | null {
  const temporary = refused.map(({ fault }) => fault).filter(({ retryable }) => retryable);
  return temporary.find(({ certain }) => !certain) ?? temporary[0] ?? null;
}

/** The wait after the attempt of that number (from 1), with up to a fifth of jitter either way. */
function waitAfter(attempt: number, fault: Fault, policy: RetryPolicy): number {
  const usual = stepOf(BACKOFF_MS, attempt);
  const suggested = fault.backoffMs ? stepOf(fault.backoffMs, attempt) : usual;
  // A reply may suggest to come back at once; if that did not help the first time, it is no longer taken at its word.
  const base = suggested === 0 && attempt > 1 ? usual : suggested;
  return Math.round(base * (0.8 + 0.4 * policy.random()) * policy.backoffScale);
}

function stepOf(steps: readonly number[], attempt: number): number {
  return steps[Math.min(attempt, steps.length) - 1] ?? 0;
}

function record(recipients: readonly Recipient[], outcome: Outcome): Recipient[] {
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
  const accepted = recipients.filter(({ status }) => status === 'accepted').length;
  if (accepted === recipients.length) return { kind: 'settle', status: 'sent', recipients, error: null };
  return { kind: 'settle', status: accepted > 0 ? 'partially_sent' : 'failed', recipients, error };
}

/** One error for all who do not get it: the reason those refused for good have in common, or `recipients_rejected`. */
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
    detail: nameMissed(recipients),
    hint: sameForAll ? first.hint : ERRORS.recipients_rejected.hint,
    smtp,
  };
}

/** Everyone who was tried was accepted. */
function suppressionOf(recipients: readonly Recipient[]): DeliveryError | null {
  const suppressed = recipients.find(({ status }) => status === 'suppressed');
  if (!suppressed) return null;
  const { hint } = ERRORS.recipient_suppressed;
  return {
    code: 'recipient_suppressed',
    scope: 'message',
    detail: nameMissed(recipients),
    hint,
    smtp: suppressed.smtp,
  };
}

/** Who does not get it. */
function nameMissed(recipients: readonly Recipient[]): string {
  const name = (what: string, status: Recipient['status']) => {
    const emails = recipients.filter((recipient) => recipient.status === status).map(({ email }) => email);
    return emails.length === 0
      ? []
      : [`${what}: ${emails.join(', ')} (${emails.length} of ${recipients.length} recipients).`];
  };
  return [...name('Refused', 'rejected'), ...name('Not sent to', 'suppressed')].join(' ');
}

function restate(code: 'delivery_uncertain' | 'retries_exhausted', last: DeliveryError): DeliveryError {
  return {
    code,
    scope: 'message',
    detail: `${ERRORS[code].title}. The last failure: ${last.code}: ${last.detail}`,
    hint: ERRORS[code].hint,
    smtp: last.smtp,
  };
}
