import type { Pause } from '../accounts/circuit-breaker.ts';
import {
  type Attempt,
  advance,
  amend,
  type Delivery,
  type DeliveryPatch,
  mayBecome,
  type Status,
} from '../delivery/delivery.ts';
import type { Lookup } from '../delivery/lookup.ts';
import type { Outcome } from '../delivery/outcome.ts';
import type { DeliveryChanges } from '../delivery-changes.ts';
import { ERRORS } from '../errors.ts';
import type { DeliveryChange, QueueEffect } from '../ports/delivery-store.ts';
import {
  errorOf,
  type LookupRules,
  lookupAfter,
  waitForLook,
  withSearch,
  withSearchOf,
} from './lookup-rules.ts';
import { decideAfterAttempt, type RetryDecision, type RetryPolicy } from './retry-policy.ts';

export interface StepDeps {
  readonly changes: DeliveryChanges;
  readonly policy: RetryPolicy;
  readonly lookups: LookupRules;
}

/**
 * A message that opened a circuit breaker waits longer than the pause by this factor. If only this
 * message causes the fault, the other messages get past it.
 */
const PROBE_WAIT_FACTOR = 1.1;

/**
 * The outcome of an attempt that was recorded as begun and never as ended: the process, or its
 * worker, failed during the attempt.
 */
export const INTERRUPTED: Outcome = {
  accepted: [],
  refused: [],
  reply: null,
  fault: {
    error: {
      code: 'connection_lost',
      scope: 'message',
      detail: 'Outtray stopped during the attempt.',
      hint: ERRORS.delivery_uncertain.hint,
      smtp: null,
    },
    scope: 'message',
    retryable: true,
    backoffMs: null,
    certain: false,
  },
  server: '',
};

/** Returns the end of the running attempt and what follows from it. */
export function stepAfter(
  sending: Delivery,
  outcome: Outcome,
  pause: Pause | null,
  tookMs: number,
  deps: StepDeps,
): { readonly end: DeliveryChange; readonly attempt: Attempt } {
  const attempt = endAttempt(sending, outcome);
  const earlier = sending.attempts.slice(0, -1);
  const pauseMs = pause && Math.ceil(pause.forMs * PROBE_WAIT_FACTOR);
  if (pause && pauseMs !== null && outcome.fault?.scope === 'account') {
    // A fault of the account costs the message nothing: the attempt is not counted.
    return { attempt, end: defer(sending, { attempts: earlier, error: pause.error }, pauseMs, deps) };
  }
  const attempts = [...earlier, attempt];
  const waitMs = outcome.fault?.noSession ? pauseMs : null;
  const lookup = lookupAfter(sending, attempt, outcome, deps.lookups);
  const isUnknown = outcome.fault?.certain === false;
  const refusal = isUnknown && lookup !== null ? deps.lookups.refusalOf(lookup.account) : null;
  const known =
    refusal === null
      ? outcome
      : withSearchOf(outcome, `Sent Mail could not be searched: ${ERRORS[refusal].title}.`);
  const decision = decideAfterAttempt({ ...sending, attempts }, known, deps.policy, waitMs);
  if (isUnknown && lookup !== null && deps.lookups.isPossible(lookup.account)) {
    const { recipients } = decision;
    const retriedForMs = sending.retriedForMs + tookMs;
    return { attempt, end: startLooking(sending, lookup, { attempts, recipients, retriedForMs }, deps) };
  }
  const end = applyDecision(sending, { attempts, lookup }, tookMs, decision, deps);
  return { attempt, end: refusal === null ? end : { ...end, lookupResult: 'not_possible' } };
}

/** Searches Sent Mail before ON_UNCERTAIN decides. RETRY_FOR does not run meanwhile. */
function startLooking(
  sending: Delivery,
  lookup: Lookup,
  patch: DeliveryPatch,
  deps: StepDeps,
): DeliveryChange {
  const error = withSearch(
    errorOf(lookup),
    'Sent Mail is searched for it before it is decided what follows.',
  );
  const waitMs = waitForLook(0, deps.lookups.forMs, deps.policy.backoffScale) ?? 0;
  return defer(sending, { ...patch, error, lookup: { ...lookup, state: 'looking' } }, waitMs, deps);
}

/** @param patch what else changes */
export function applyDecision(
  delivery: Delivery,
  patch: Pick<DeliveryPatch, 'attempts' | 'lookup' | 'possibleDuplicate'>,
  tookMs: number,
  decision: RetryDecision,
  deps: StepDeps,
): DeliveryChange {
  const { recipients, error } = decision;
  if (decision.kind === 'settle')
    return settle(delivery, decision.status, { ...patch, recipients, error }, deps);
  const { possibleDuplicate, perAttempt, afterMs } = decision;
  const retriedForMs = delivery.retriedForMs + tookMs + afterMs;
  const changes = { recipients, error, possibleDuplicate, perAttempt, retriedForMs, finishedAt: null };
  return defer(delivery, { ...patch, ...changes }, afterMs, deps);
}

/** Hands a delivery to another account, which owns the same address and can send now. */
export function reassign(delivery: Delivery, account: string, { changes }: StepDeps): DeliveryChange {
  return changes.plan(delivery, amend(delivery, { account }), { kind: 'retry', afterMs: 0 });
}

export function defer(
  delivery: Delivery,
  patch: DeliveryPatch,
  afterMs: number,
  { changes }: StepDeps,
): DeliveryChange {
  const nextAttemptAt = Date.now() + afterMs;
  const { lookup = delivery.lookup } = patch;
  // The latest search is too old for an attempt after this wait.
  const stale = lookup?.state === 'checked' ? { ...lookup, state: 'idle' as const } : lookup;
  const to = advance(makeDue(delivery), 'deferred', { ...patch, lookup: stale, nextAttemptAt });
  return changes.plan(delivery, to, retryAfter(afterMs, delivery));
}

/** Returns the effect that makes a delivery due after a wait, or when it expires. */
export function retryAfter(afterMs: number, { expiresAt }: Pick<Delivery, 'expiresAt'>): QueueEffect {
  const untilExpiryMs = (expiresAt ?? Number.POSITIVE_INFINITY) - Date.now();
  return { kind: 'retry', afterMs: Math.max(0, Math.min(afterMs, untilExpiryMs)) };
}

function settle(
  delivery: Delivery,
  status: Status,
  patch: DeliveryPatch,
  { changes }: StepDeps,
): DeliveryChange {
  const to = advance(delivery, status, { ...patch, finishedAt: Date.now() });
  return changes.plan(delivery, to, { kind: 'done' });
}

export function expire(delivery: Delivery, deps: StepDeps): DeliveryChange {
  const { title, hint } = ERRORS.expired;
  const error = { code: 'expired', scope: 'message', detail: title, hint, smtp: null } as const;
  return settle(delivery, 'expired', { error }, deps);
}

/** Returns the delivery in a status from which it can be sent or deferred. */
function makeDue(delivery: Delivery): Delivery {
  return mayBecome(delivery.status, 'deferred')
    ? delivery
    : advance(delivery, 'queued', { error: delivery.error });
}

export function beginAttempt(delivery: Delivery, account: string, { changes }: StepDeps): DeliveryChange {
  const attempt: Attempt = {
    number: delivery.attempts.length + 1,
    startedAt: Date.now(),
    endedAt: null,
    account,
    smtp: null,
    error: null,
  };
  const patch = { attempts: [...delivery.attempts, attempt], error: null };
  return changes.plan(delivery, advance(makeDue(delivery), 'sending', patch), null);
}

function endAttempt(sending: Delivery, outcome: Outcome): Attempt {
  const running = sending.attempts.at(-1);
  if (!running) throw new Error(`${sending.id} is sending without an attempt`);
  return { ...running, endedAt: Date.now(), smtp: outcome.reply, error: outcome.fault?.error ?? null };
}

export function isExpired({ expiresAt }: Delivery): boolean {
  return expiresAt !== null && expiresAt <= Date.now();
}
