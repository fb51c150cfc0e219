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
import type { Job, Outcome } from '../delivery/outcome.ts';
import { ERRORS, type ErrorCode } from '../errors.ts';
import type { Events } from '../events.ts';
import type { DeliveryStore } from '../ports/delivery-store.ts';
import type { Queue } from '../ports/queue.ts';
import type { Transport } from '../ports/transport.ts';
import { retryUntilAvailable } from '../retry-until-available.ts';
import { type QueueWorkers, startQueueWorkers } from './queue-workers.ts';
import {
  decideAfterAttempt,
  decideWhileUnreachable,
  type RetryDecision,
  type RetryPolicy,
} from './retry-policy.ts';

/** How much longer than the others a message waits that met a fault of the account: if it is alone in meeting it, they must get past it. */
const AFTER_THE_OTHERS = 1.1;

/** The queue counts on a monotonic clock, `scheduledAt` is wall-clock time: they may differ a little. */
const CLOCK_SLACK_MS = 1000;

export interface DispatcherDeps {
  readonly queue: Queue;
  readonly store: DeliveryStore;
  readonly transport: Pick<Transport, 'send'>;
  readonly account: Account;
  readonly accounts: Pick<Accounts, 'findFallback'>;
  readonly events: Events;
  readonly policy: RetryPolicy;
  /** How many attempts run at once: one for each pooled connection, so that nothing queues below. */
  readonly lanes: number;
}

/** What is known of an attempt that was recorded as begun and never as ended: the process, or a lane, broke down in the middle of it. */
const INTERRUPTED: Outcome = {
  accepted: [],
  refused: [],
  reply: null,
  fault: {
    error: {
      code: 'connection_lost',
      scope: 'message',
      detail: 'Outtray stopped in the middle of the attempt.',
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

/** Takes what is due for one account and sends it: lanes that each do one delivery at a time. */
export interface Dispatcher {
  start(): void;
  /** Takes no more and resolves when the attempts under way have ended and are recorded. */
  drain(): Promise<void>;
}

export function createDispatcher(deps: DispatcherDeps): Dispatcher {
  let lanes: QueueWorkers | null = null;

  return {
    start() {
      const { queue, events, account, lanes: count } = deps;
      lanes = startQueueWorkers({
        queue,
        events,
        channel: account.user,
        count,
        ready: account.waitForConnection,
        handle: (id, stopping) => handle(id, deps, stopping),
      });
    },
    async drain() {
      await lanes?.drain();
    },
  };
}

/** One delivery that is due: leave it for later, or make one attempt and record what came of it. */
async function handle(id: string, deps: DispatcherDeps, stopping: AbortSignal): Promise<void> {
  const { queue, store, account } = deps;
  const { user } = account;
  const delivery = await store.get(id);
  if (!delivery || isSettled(delivery.status)) return queue.done(id, user);
  if (delivery.status === 'sending') {
    await account.countInterrupted(delivery);
    return conclude(delivery, INTERRUPTED, null, 0, deps);
  }
  if (expired(delivery)) return settle(delivery, 'expired', { error: expiry() }, deps);
  const untilAttemptMs = waitPastExpiry(delivery);
  if (untilAttemptMs !== null) return defer(delivery, {}, untilAttemptMs, deps);
  const earlyMs = (delivery.scheduledAt ?? 0) - Date.now();
  if (delivery.status === 'scheduled' && earlyMs > CLOCK_SLACK_MS) return queue.retry(id, user, earlyMs);

  const admission = await account.admit(delivery, stopping);
  if (admission === null) return queue.retry(id, user, 0);
  if (admission.kind === 'deferred') {
    if (expired(delivery)) return settle(delivery, 'expired', { error: expiry() }, deps);
    const { pause } = admission;
    if (pause.error.scope !== 'account') return waitForServer(delivery, pause, deps);
    const other = deps.accounts.findFallback(delivery);
    return other === null ? deferForAccount(delivery, pause, deps) : moveTo(other, delivery, deps);
  }
  const { permit } = admission;
  try {
    if (stopping.aborted) return await queue.retry(id, user, 0);
    if (expired(delivery)) return await settle(delivery, 'expired', { error: expiry() }, deps);
    const startedAt = performance.now();
    const sending = begin(delivery, user);
    if (!(await keep(delivery, sending, deps))) return await lookAgain(id, deps);
    const outcome = await deps.transport.send(jobOf(sending), permit);
    const pause = await permit.settle(outcome);
    await conclude(sending, outcome, pause, performance.now() - startedAt, deps);
  } finally {
    await permit.release();
  }
}

/** Somebody changed the delivery after it was read: it was canceled, say, or has another time now. */
function lookAgain(id: string, { queue, account }: DispatcherDeps): Promise<void> {
  return queue.retry(id, account.user, 0);
}

/** Writes down what has happened, and does not give up. A try that worked may not have been answered: then the next one finds its work done. */
function keep(from: Delivery, to: Delivery, { store }: DispatcherDeps): Promise<boolean> {
  return retryUntilAvailable(async () => {
    if (await store.update(from, to)) return true;
    const kept = await store.get(to.id);
    return kept !== null && kept.revision === to.revision && encodeRecord(kept) === encodeRecord(to);
  });
}

/** Records the end of the attempt that runs, and what follows. */
async function conclude(
  sending: Delivery,
  outcome: Outcome,
  pause: Pause | null,
  tookMs: number,
  deps: DispatcherDeps,
): Promise<void> {
  const attempt = endOf(sending, outcome);
  const before = sending.attempts.slice(0, -1);
  if (pause && outcome.fault?.scope === 'account') {
    // A fault of the account costs the message nothing: the attempt is not counted.
    await defer(
      sending,
      { attempts: before, error: pause.error },
      Math.ceil(pause.forMs * AFTER_THE_OTHERS),
      deps,
    );
  } else {
    const attempts = [...before, attempt];
    const waitMs = pause && outcome.fault?.noSession ? Math.ceil(pause.forMs * AFTER_THE_OTHERS) : null;
    await follow(
      sending,
      attempts,
      tookMs,
      decideAfterAttempt({ ...sending, attempts }, outcome, deps.policy, waitMs),
      deps,
    );
  }
  deps.events.emit('message.attempted', sending, attempt, outcome);
}

async function follow(
  kept: Delivery,
  attempts: readonly Attempt[],
  tookMs: number,
  verdict: RetryDecision,
  deps: DispatcherDeps,
): Promise<void> {
  const { recipients, error } = verdict;
  if (verdict.kind === 'settle') return settle(kept, verdict.status, { attempts, recipients, error }, deps);
  const { possibleDuplicate, perAttempt, afterMs } = verdict;
  const retriedForMs = kept.retriedForMs + tookMs + afterMs;
  await defer(
    kept,
    { attempts, recipients, error, possibleDuplicate, perAttempt, retriedForMs },
    afterMs,
    deps,
  );
}

/** No server can be reached: what one probe found holds for every message, without an attempt of its own. */
async function waitForServer(delivery: Delivery, pause: Pause, deps: DispatcherDeps): Promise<void> {
  await follow(delivery, delivery.attempts, 0, decideWhileUnreachable(delivery, pause, deps.policy), deps);
  await nextTurn();
}

async function deferForAccount(delivery: Delivery, pause: Pause, deps: DispatcherDeps): Promise<void> {
  await defer(delivery, { error: pause.error }, pause.forMs, deps);
  // Thousands may be waiting for this account: let the event loop breathe between them.
  await nextTurn();
}

/** Another account owns the address as well, and can send now. */
async function moveTo(account: string, delivery: Delivery, deps: DispatcherDeps): Promise<void> {
  if (!(await keep(delivery, amend(delivery, { account }), deps))) return lookAgain(delivery.id, deps);
  await deps.queue.retry(delivery.id, deps.account.user, 0, account);
}

async function defer(
  kept: Delivery,
  patch: DeliveryPatch,
  afterMs: number,
  deps: DispatcherDeps,
): Promise<void> {
  const leftMs = (kept.expiresAt ?? Number.POSITIVE_INFINITY) - Date.now();
  const nextAttemptAt = Date.now() + afterMs;
  const deferred = advance(requeue(kept), 'deferred', { ...patch, nextAttemptAt });
  if (!(await keep(kept, deferred, deps))) return lookAgain(kept.id, deps);
  await deps.queue.retry(kept.id, deps.account.user, Math.max(0, Math.min(afterMs, leftMs)));
  // One that waits on for the same reason is no news.
  if (kept.status !== 'deferred' || kept.error?.code !== deferred.error?.code)
    deps.events.emit('message.deferred', deferred);
}

async function settle(
  kept: Delivery,
  status: Status,
  patch: DeliveryPatch,
  deps: DispatcherDeps,
): Promise<void> {
  const settled = advance(kept, status, { ...patch, finishedAt: Date.now() });
  if (!(await keep(kept, settled, deps))) return lookAgain(kept.id, deps);
  await deps.queue.done(kept.id, deps.account.user);
  deps.events.emit('message.settled', settled);
}

/** As what has its turn: an attempt may start, or be put off. */
function requeue(delivery: Delivery): Delivery {
  return mayBecome(delivery.status, 'deferred')
    ? delivery
    : advance(delivery, 'queued', { error: delivery.error });
}

function begin(delivery: Delivery, account: string): Delivery {
  const attempt: Attempt = {
    number: delivery.attempts.length + 1,
    startedAt: Date.now(),
    endedAt: null,
    account,
    smtp: null,
    error: null,
  };
  return advance(requeue(delivery), 'sending', { attempts: [...delivery.attempts, attempt], error: null });
}

function endOf(sending: Delivery, outcome: Outcome): Attempt {
  const running = sending.attempts.at(-1);
  if (!running) throw new Error(`${sending.id} is sending without an attempt`);
  return { ...running, endedAt: Date.now(), smtp: outcome.reply, error: outcome.fault?.error ?? null };
}

function jobOf(delivery: Delivery): Job {
  const { id, messageId, createdAt, envelope, content } = delivery;
  if (!content) throw new Error(`${id} is to be sent but its content is gone`);
  return { id, messageId, date: createdAt, envelope, content, recipients: namedOf(delivery) };
}

/** A message with one of these may wait for a server that can be reached, and be given as soon as there is one. */
const UNREACHABLE: readonly ErrorCode[] = [
  'dns_failed',
  'connect_failed',
  'connect_timeout',
  'connection_lost',
];

/**
 * How much longer a delivery waits that the queue gave because it expires before its back-off ends, in ms. Null if its back-off has ended. It has
 * not expired if the wall clock went back meanwhile. What waits for its account or a server may be given sooner, when that works again.
 */
function waitPastExpiry({ status, error, nextAttemptAt, expiresAt }: Delivery): number | null {
  if (status !== 'deferred' || error === null || nextAttemptAt === null || expiresAt === null) return null;
  if (error.scope === 'account' || UNREACHABLE.includes(error.code)) return null;
  return nextAttemptAt >= expiresAt ? nextAttemptAt - expiresAt : null;
}

function expired({ expiresAt }: Delivery): boolean {
  return expiresAt !== null && expiresAt <= Date.now();
}

function expiry() {
  const { title, hint } = ERRORS.expired;
  return { code: 'expired', scope: 'message', detail: title, hint, smtp: null } as const;
}
