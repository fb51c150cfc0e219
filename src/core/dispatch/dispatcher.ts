import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Account } from '../accounts/account.ts';
import type { FollowUp } from '../accounts/account-store.ts';
import type { Accounts } from '../accounts/accounts.ts';
import type { Pause } from '../accounts/circuit-breaker.ts';
import type { Permit } from '../accounts/permit.ts';
import { type Delivery, isSettled, namedOf } from '../delivery/delivery.ts';
import { channelOf, isLookedUp } from '../delivery/lookup.ts';
import { CONNECTION_FAILURE_CODES, type Job, type Outcome, toJob } from '../delivery/outcome.ts';
import type { DeliveryChanges } from '../delivery-changes.ts';
import type { Events } from '../events.ts';
import type { DeliveryChange, DeliveryStore } from '../ports/delivery-store.ts';
import type { Queue } from '../ports/queue.ts';
import type { Transport } from '../ports/transport.ts';
import type { Wait } from '../retry-until-available.ts';
import type { LookupRules } from './lookup-rules.ts';
import { searchBeforeAttempt } from './lookup-steps.ts';
import { type ChangeMaker, createChangeMaker } from './make-change.ts';
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
  readonly lookups: LookupRules;
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

type Context = DispatcherDeps & ChangeMaker;

export function createDispatcher(deps: DispatcherDeps): Dispatcher {
  const context: Context = { ...deps, ...createChangeMaker(deps.account.user, deps) };
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
        handle: (id, turn) => handle(id, turn, context),
      });
    },
    isBusy: () => workers?.isBusy() ?? false,
    async drain() {
      await workers?.drain();
    },
  };
}

/** Handles a due delivery: postpones it, or makes one attempt and records the outcome. */
async function handle(id: string, turn: Turn, deps: Context): Promise<void> {
  const { stopping } = turn;
  const { queue, store, account } = deps;
  const { user } = account;
  const delivery = await store.getTaken(id);
  if (!delivery || isSettled(delivery.status)) return queue.done(id, user);
  if (delivery.status === 'sending') {
    await account.countInterrupted(delivery);
    const { end, attempt } = stepAfter(delivery, INTERRUPTED, null, 0, deps);
    await deps.make(end);
    deps.events.emit('message.attempted', delivery, attempt, INTERRUPTED);
    return;
  }
  // Never sent while a copy of an earlier attempt is searched for.
  if (isLookedUp(delivery)) return queue.retry(id, user, 0, channelOf(delivery));
  const search = searchBeforeAttempt(delivery, deps);
  if (search !== null) return deps.make(search);
  if (isExpired(delivery)) return deps.make(expire(delivery, deps));
  const untilAttemptMs = waitPastExpiry(delivery);
  if (untilAttemptMs !== null) return deps.make(defer(delivery, {}, untilAttemptMs, deps));
  const earlyMs = (delivery.scheduledAt ?? 0) - Date.now();
  if (delivery.status === 'scheduled' && earlyMs > CLOCK_SLACK_MS) return queue.retry(id, user, earlyMs);

  const start = planStart(delivery, stopping, deps);
  const admission = await account.admit(delivery, stopping, start);
  if (admission === null) return deps.requeueNow(id);
  if (admission.kind === 'deferred') return postpone(delivery, admission.pause, deps);
  try {
    const change = start.planned();
    if (change === null)
      return await (isExpired(delivery) ? deps.make(expire(delivery, deps)) : deps.requeueNow(id));
    if (!admission.isStored && !(await deps.isStoredAs(change.to))) return await deps.requeueNow(id);
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
  deps: Context,
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
  deps: Context,
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
  await deps.finish(end, isStored === true);
  events.emit('message.attempted', sending, attempt, outcome);
}

/** Plans the start of an attempt for the step that admits it. */
function planStart(
  delivery: Delivery,
  stopping: AbortSignal,
  deps: Context,
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
async function postpone(delivery: Delivery, pause: Pause, deps: Context): Promise<void> {
  if (isExpired(delivery)) return deps.make(expire(delivery, deps));
  if (pause.error.scope !== 'account') {
    // The message makes no attempt: the result of a probe applies to it.
    const decision = decideWhileUnreachable(delivery, pause, deps.policy);
    await deps.make(applyDecision(delivery, {}, 0, decision, deps));
  } else {
    const fallback = deps.accounts.findFallback(delivery);
    if (fallback !== null) return deps.make(reassign(delivery, fallback, deps));
    await deps.make(defer(delivery, { error: pause.error }, pause.forMs, deps));
  }
  // Thousands of messages may wait for the same reason: give the event loop a turn between them.
  await nextTurn();
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
