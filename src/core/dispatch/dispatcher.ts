import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Account } from '../accounts/account.ts';
import type { FollowUp } from '../accounts/account-store.ts';
import type { Accounts } from '../accounts/accounts.ts';
import type { Pause } from '../accounts/circuit-breaker.ts';
import type { Permit } from '../accounts/permit.ts';
import { type Delivery, isSettled, namedOf } from '../delivery/delivery.ts';
import { isSameRecord } from '../delivery/delivery-codec.ts';
import { CONNECTION_FAILURE_CODES, type Job, type Outcome, toJob } from '../delivery/outcome.ts';
import type { DeliveryChanges } from '../delivery-changes.ts';
import type { Events } from '../events.ts';
import type { DeliveryChange, DeliveryStore } from '../ports/delivery-store.ts';
import type { Queue } from '../ports/queue.ts';
import type { Transport } from '../ports/transport.ts';
import { retryUntilAvailable, type Wait } from '../retry-until-available.ts';
import { applyToQueue } from '../store-then-queue.ts';
import { type QueueWorkers, startQueueWorkers, type Turn } from './queue-workers.ts';
import { decideWhileUnreachable, type RetryPolicy } from './retry-policy.ts';
import {
  applyDecision,
  beginAttempt,
  defer,
  expire,
  INTERRUPTED,
  isExpired,
  reassign,
  stepAfter,
} from './steps.ts';

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
  readonly changes: DeliveryChanges;
  readonly policy: RetryPolicy;
  /** Attempts at once: one for each pooled connection, so that the transport never queues. */
  readonly workers: number;
  /** Between two tries to persist a transition. Default: a timer. */
  readonly wait?: Wait | undefined;
}

/** Takes the due deliveries of one account and attempts them, each queue worker one at a time. */
export interface Dispatcher {
  start(): void;
  /** Whether deliveries are being handled, and one began or ended in the last 100 ms. */
  isBusy(): boolean;
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
        handle: (id, turn) => handle(id, turn, deps),
      });
    },
    isBusy: () => workers?.isBusy() ?? false,
    async drain() {
      await workers?.drain();
    },
  };
}

/** Handles a due delivery: postpones it, or makes one attempt and records the outcome. */
async function handle(id: string, turn: Turn, deps: DispatcherDeps): Promise<void> {
  const { stopping } = turn;
  const { queue, store, account } = deps;
  const { user } = account;
  const delivery = await store.getTaken(id);
  if (!delivery || isSettled(delivery.status)) return queue.done(id, user);
  if (delivery.status === 'sending') {
    await account.countInterrupted(delivery);
    const { end, attempt } = stepAfter(delivery, INTERRUPTED, null, 0, deps);
    await make(end, deps);
    deps.events.emit('message.attempted', delivery, attempt, INTERRUPTED);
    return;
  }
  if (isExpired(delivery)) return make(expire(delivery, deps), deps);
  const untilAttemptMs = waitPastExpiry(delivery);
  if (untilAttemptMs !== null) return make(defer(delivery, {}, untilAttemptMs, deps), deps);
  const earlyMs = (delivery.scheduledAt ?? 0) - Date.now();
  if (delivery.status === 'scheduled' && earlyMs > CLOCK_SLACK_MS) return queue.retry(id, user, earlyMs);

  const start = planStart(delivery, stopping, deps);
  const admission = await account.admit(delivery, stopping, start);
  if (admission === null) return requeueNow(id, deps);
  if (admission.kind === 'deferred') return postpone(delivery, admission.pause, deps);
  try {
    const change = start.planned();
    if (change === null)
      return await (isExpired(delivery) ? make(expire(delivery, deps), deps) : requeueNow(id, deps));
    if (!admission.isStored && !(await isStoredAs(change.to, deps))) return await requeueNow(id, deps);
    // A worker sends nothing until the end of its last attempt is stored.
    await turn.earlier;
    await makeAttempt(change.to, admission.permit, turn, deps);
  } finally {
    await admission.permit.release();
  }
}

/** Makes the attempt that is recorded as begun, and begins to record its end. */
async function makeAttempt(
  sending: Delivery,
  permit: Permit,
  { recordMeanwhile }: Turn,
  deps: DispatcherDeps,
): Promise<void> {
  const startedAt = performance.now();
  const outcome = await deps.transport.send(jobOf(sending), permit);
  const tookMs = performance.now() - startedAt;
  recordMeanwhile(recordEnd(sending, permit, outcome, tookMs, deps));
}

/** Stores the end of an attempt and its effect on the account, then emits what happened. */
async function recordEnd(
  sending: Delivery,
  permit: Permit,
  outcome: Outcome,
  tookMs: number,
  deps: DispatcherDeps,
): Promise<void> {
  const { store, wait, events } = deps;
  const plan = (pause: Pause | null) => ({ pause, ...stepAfter(sending, outcome, pause, tookMs, deps) });
  let planned: ReturnType<typeof plan> | undefined;
  const { pause, isStored } = await permit.settle(outcome, {
    store,
    wait,
    changeOf(pause) {
      // The same record for the same pause, so that a later try finds what an earlier one stored.
      if (pause !== planned?.pause) planned = plan(pause);
      return planned.end;
    },
  });
  const { end, attempt } = planned ?? plan(pause);
  await finish(end, isStored === true, deps);
  events.emit('message.attempted', sending, attempt, outcome);
}

/** Plans the start of an attempt for the step that admits it. */
function planStart(
  delivery: Delivery,
  stopping: AbortSignal,
  deps: DispatcherDeps,
): FollowUp<boolean> & { planned(): DeliveryChange | null } {
  const { store, wait, account } = deps;
  let change: DeliveryChange | null = null;
  return {
    store,
    wait,
    changeOf(isAdmitted) {
      if (!isAdmitted) change = null;
      // A start that is planned may be stored already, although its reply was lost.
      else if (change === null && !stopping.aborted && !isExpired(delivery))
        change = beginAttempt(delivery, account.user, deps);
      return change;
    },
    planned: () => change,
  };
}

/** Postpones a delivery that its account cannot send now, or hands it to another account. */
async function postpone(delivery: Delivery, pause: Pause, deps: DispatcherDeps): Promise<void> {
  if (isExpired(delivery)) return make(expire(delivery, deps), deps);
  if (pause.error.scope !== 'account') {
    // The message makes no attempt: the result of a probe applies to it.
    const decision = decideWhileUnreachable(delivery, pause, deps.policy);
    await make(applyDecision(delivery, delivery.attempts, 0, decision, deps), deps);
  } else {
    const fallback = deps.accounts.findFallback(delivery);
    if (fallback !== null) return make(reassign(delivery, fallback, deps), deps);
    await make(defer(delivery, { error: pause.error }, pause.forMs, deps), deps);
  }
  // Thousands of messages may wait for the same reason: give the event loop a turn between them.
  await nextTurn();
}

/**
 * Requeues a delivery that changed after it was read: it was canceled or rescheduled, for example.
 */
function requeueNow(id: string, { queue, account }: DispatcherDeps): Promise<void> {
  return queue.retry(id, account.user, 0);
}

/** Stores a change, retrying while the backend is unavailable. */
async function make(change: DeliveryChange, deps: DispatcherDeps): Promise<void> {
  const { from, to, effect, notices } = change;
  const isStored = await retryUntilAvailable(() => deps.store.update(from, to, effect, notices), deps.wait);
  await finish(change, isStored, deps);
}

/** @param isStored false if the delivery did not have the expected revision */
async function finish(change: DeliveryChange, isStored: boolean, deps: DispatcherDeps): Promise<void> {
  if (!isStored) {
    if (!(await isStoredAs(change.to, deps))) return requeueNow(change.to.id, deps);
    await applyToQueue(deps.queue, change);
  }
  deps.changes.announce(change);
}

/**
 * Whether exactly this delivery is stored. A write can succeed although its reply was lost: then
 * the next try finds its own record.
 */
async function isStoredAs(delivery: Delivery, { store, wait }: DispatcherDeps): Promise<boolean> {
  const stored = await retryUntilAvailable(() => store.get(delivery.id), wait);
  return stored !== null && isSameRecord(stored, delivery);
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
