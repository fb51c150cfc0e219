import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Account } from '../accounts/account.ts';
import type { Accounts } from '../accounts/accounts.ts';
import type { Pause } from '../accounts/circuit-breaker.ts';
import {
  type Attempt,
  advance,
  amend,
  type Delivery,
  type DeliveryPatch,
  isSettled,
  mayBecome,
  namedOf,
  type Status,
} from '../delivery/delivery.ts';
import { encodeRecord } from '../delivery/delivery-codec.ts';
import { CONNECTION_FAILURE_CODES, type Job, type Outcome, toJob } from '../delivery/outcome.ts';
import { ERRORS } from '../errors.ts';
import type { Events } from '../events.ts';
import type { DeliveryStore } from '../ports/delivery-store.ts';
import type { Queue } from '../ports/queue.ts';
import type { Transport } from '../ports/transport.ts';
import { retryUntilAvailable, type Wait } from '../retry-until-available.ts';
import { type QueueWorkers, startQueueWorkers } from './queue-workers.ts';
import {
  decideAfterAttempt,
  decideWhileUnreachable,
  type RetryDecision,
  type RetryPolicy,
} from './retry-policy.ts';

/**
 * A message that opened a circuit breaker waits longer than the pause by this factor. If only this
 * message causes the fault, the other messages get past it.
 */
const PROBE_WAIT_FACTOR = 1.1;

/**
 * Tolerance for `scheduledAt`, in ms: the queue waits on a monotonic clock, `scheduledAt` is wall
 * clock time, and the two may differ a little.
 */
const CLOCK_SLACK_MS = 1000;

export interface DispatcherDeps {
  readonly queue: Queue;
  readonly store: DeliveryStore;
  readonly transport: Pick<Transport, 'send'>;
  readonly account: Account;
  readonly accounts: Pick<Accounts, 'findFallback'>;
  readonly events: Events;
  readonly policy: RetryPolicy;
  /** Attempts at once: one for each pooled connection, so that the transport never queues. */
  readonly workers: number;
  /** Between two tries to persist a transition. Default: a timer. */
  readonly wait?: Wait | undefined;
}

/**
 * The outcome of an attempt that was recorded as begun and never as ended: the process, or its
 * worker, failed during the attempt.
 */
const INTERRUPTED: Outcome = {
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

/** Takes the due deliveries of one account and attempts them, each queue worker one at a time. */
export interface Dispatcher {
  start(): void;
  /** Whether a delivery is being handled. */
  isHandling(): boolean;
  /** Takes no more deliveries. Resolves when the attempts under way have ended and are recorded. */
  drain(): Promise<void>;
}

export function createDispatcher(deps: DispatcherDeps): Dispatcher {
  let workers: QueueWorkers | null = null;

  return {
    start() {
      const { queue, events, account, workers: count } = deps;
      workers = startQueueWorkers({
        queue,
        events,
        channel: account.user,
        count,
        ready: account.waitForConnection,
        handle: (id, stopping) => handle(id, deps, stopping),
      });
    },
    isHandling: () => workers?.isHandling() ?? false,
    async drain() {
      await workers?.drain();
    },
  };
}

/** Handles a due delivery: postpones it, or makes one attempt and records the outcome. */
async function handle(id: string, deps: DispatcherDeps, stopping: AbortSignal): Promise<void> {
  const { queue, store, account } = deps;
  const { user } = account;
  const delivery = await store.get(id);
  if (!delivery || isSettled(delivery.status)) return queue.done(id, user);
  if (delivery.status === 'sending') {
    await account.countInterrupted(delivery);
    return recordOutcome(delivery, INTERRUPTED, null, 0, deps);
  }
  if (isExpired(delivery)) return expire(delivery, deps);
  const untilAttemptMs = waitPastExpiry(delivery);
  if (untilAttemptMs !== null) return defer(delivery, {}, untilAttemptMs, deps);
  const earlyMs = (delivery.scheduledAt ?? 0) - Date.now();
  if (delivery.status === 'scheduled' && earlyMs > CLOCK_SLACK_MS) return queue.retry(id, user, earlyMs);

  const admission = await account.admit(delivery, stopping);
  if (admission === null) return queue.retry(id, user, 0);
  if (admission.kind === 'deferred') {
    if (isExpired(delivery)) return expire(delivery, deps);
    const { pause } = admission;
    if (pause.error.scope !== 'account') return waitForServer(delivery, pause, deps);
    const fallback = deps.accounts.findFallback(delivery);
    return fallback === null ? deferForAccount(delivery, pause, deps) : reassign(delivery, fallback, deps);
  }
  const { permit } = admission;
  try {
    if (stopping.aborted) return await queue.retry(id, user, 0);
    if (isExpired(delivery)) return await expire(delivery, deps);
    const startedAt = performance.now();
    const sending = beginAttempt(delivery, user);
    if (!(await persist(delivery, sending, deps))) return await requeueNow(id, deps);
    const outcome = await deps.transport.send(jobOf(sending), permit);
    const pause = await permit.settle(outcome);
    await recordOutcome(sending, outcome, pause, performance.now() - startedAt, deps);
  } finally {
    await permit.release();
  }
}

/**
 * Requeues a delivery that changed after it was read: it was canceled or rescheduled, for example.
 */
function requeueNow(id: string, { queue, account }: DispatcherDeps): Promise<void> {
  return queue.retry(id, account.user, 0);
}

/**
 * Persists a transition, retrying while the backend is unavailable. A write can succeed although
 * its reply was lost. The next try then finds the same record and returns true.
 *
 * @returns False if the delivery has changed since it was read.
 */
function persist(from: Delivery, to: Delivery, { store, wait }: DispatcherDeps): Promise<boolean> {
  return retryUntilAvailable(async () => {
    if (await store.update(from, to)) return true;
    const stored = await store.get(to.id);
    return stored !== null && stored.revision === to.revision && encodeRecord(stored) === encodeRecord(to);
  }, wait);
}

/** Records the end of the running attempt and what follows from it. */
async function recordOutcome(
  sending: Delivery,
  outcome: Outcome,
  pause: Pause | null,
  tookMs: number,
  deps: DispatcherDeps,
): Promise<void> {
  const attempt = endAttempt(sending, outcome);
  const earlier = sending.attempts.slice(0, -1);
  const pauseMs = pause && Math.ceil(pause.forMs * PROBE_WAIT_FACTOR);
  if (pause && pauseMs !== null && outcome.fault?.scope === 'account') {
    // A fault of the account costs the message nothing: the attempt is not counted.
    await defer(sending, { attempts: earlier, error: pause.error }, pauseMs, deps);
  } else {
    const attempts = [...earlier, attempt];
    const waitMs = outcome.fault?.noSession ? pauseMs : null;
    const decision = decideAfterAttempt({ ...sending, attempts }, outcome, deps.policy, waitMs);
    await applyDecision(sending, attempts, tookMs, decision, deps);
  }
  deps.events.emit('message.attempted', sending, attempt, outcome);
}

async function applyDecision(
  delivery: Delivery,
  attempts: readonly Attempt[],
  tookMs: number,
  decision: RetryDecision,
  deps: DispatcherDeps,
): Promise<void> {
  const { recipients, error } = decision;
  if (decision.kind === 'settle')
    return settle(delivery, decision.status, { attempts, recipients, error }, deps);
  const { possibleDuplicate, perAttempt, afterMs } = decision;
  const retriedForMs = delivery.retriedForMs + tookMs + afterMs;
  await defer(
    delivery,
    { attempts, recipients, error, possibleDuplicate, perAttempt, retriedForMs },
    afterMs,
    deps,
  );
}

/**
 * Applies the result of a probe to a message that is due while no server can be reached. The
 * message makes no attempt.
 */
async function waitForServer(delivery: Delivery, pause: Pause, deps: DispatcherDeps): Promise<void> {
  const decision = decideWhileUnreachable(delivery, pause, deps.policy);
  await applyDecision(delivery, delivery.attempts, 0, decision, deps);
  await nextTurn();
}

async function deferForAccount(delivery: Delivery, pause: Pause, deps: DispatcherDeps): Promise<void> {
  await defer(delivery, { error: pause.error }, pause.forMs, deps);
  // Thousands of messages may wait for this account: give the event loop a turn between them.
  await nextTurn();
}

/** Hands a delivery to another account, which owns the same address and can send now. */
async function reassign(delivery: Delivery, account: string, deps: DispatcherDeps): Promise<void> {
  if (!(await persist(delivery, amend(delivery, { account }), deps))) return requeueNow(delivery.id, deps);
  await deps.queue.retry(delivery.id, deps.account.user, 0, account);
}

async function defer(
  delivery: Delivery,
  patch: DeliveryPatch,
  afterMs: number,
  deps: DispatcherDeps,
): Promise<void> {
  const untilExpiryMs = (delivery.expiresAt ?? Number.POSITIVE_INFINITY) - Date.now();
  const nextAttemptAt = Date.now() + afterMs;
  const deferred = advance(makeDue(delivery), 'deferred', { ...patch, nextAttemptAt });
  if (!(await persist(delivery, deferred, deps))) return requeueNow(delivery.id, deps);
  await deps.queue.retry(delivery.id, deps.account.user, Math.max(0, Math.min(afterMs, untilExpiryMs)));
  // A message that keeps waiting for the same reason is reported once.
  if (delivery.status !== 'deferred' || delivery.error?.code !== deferred.error?.code)
    deps.events.emit('message.deferred', deferred);
}

async function settle(
  delivery: Delivery,
  status: Status,
  patch: DeliveryPatch,
  deps: DispatcherDeps,
): Promise<void> {
  const settled = advance(delivery, status, { ...patch, finishedAt: Date.now() });
  if (!(await persist(delivery, settled, deps))) return requeueNow(delivery.id, deps);
  await deps.queue.done(delivery.id, deps.account.user);
  deps.events.emit('message.settled', settled);
}

function expire(delivery: Delivery, deps: DispatcherDeps): Promise<void> {
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

function beginAttempt(delivery: Delivery, account: string): Delivery {
  const attempt: Attempt = {
    number: delivery.attempts.length + 1,
    startedAt: Date.now(),
    endedAt: null,
    account,
    smtp: null,
    error: null,
  };
  return advance(makeDue(delivery), 'sending', { attempts: [...delivery.attempts, attempt], error: null });
}

function endAttempt(sending: Delivery, outcome: Outcome): Attempt {
  const running = sending.attempts.at(-1);
  if (!running) throw new Error(`${sending.id} is sending without an attempt`);
  return { ...running, endedAt: Date.now(), smtp: outcome.reply, error: outcome.fault?.error ?? null };
}

function jobOf(delivery: Delivery): Job {
  if (!delivery.content) throw new Error(`${delivery.id} is due but has no content`);
  return toJob(delivery, delivery.content, namedOf(delivery));
}

/**
 * Returns how much longer a delivery waits that the queue returned at its expiry, before the end of
 * its back-off, in ms. It has not expired if the wall clock went back meanwhile.
 *
 * Null if its back-off has ended, or if it waits for its account or a server: such a delivery is
 * returned early once the account or the server works again.
 */
function waitPastExpiry({ status, error, nextAttemptAt, expiresAt }: Delivery): number | null {
  if (status !== 'deferred' || error === null || nextAttemptAt === null || expiresAt === null) return null;
  if (error.scope === 'account' || CONNECTION_FAILURE_CODES.includes(error.code)) return null;
  return nextAttemptAt >= expiresAt ? nextAttemptAt - expiresAt : null;
}

function isExpired({ expiresAt }: Delivery): boolean {
  return expiresAt !== null && expiresAt <= Date.now();
}
