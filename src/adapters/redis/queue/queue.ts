import { channelOf } from '../../../core/delivery/lookup.ts';
import type { Priority } from '../../../core/message/message.ts';
import type { Queue } from '../../../core/ports/queue.ts';
import { retryInBackground } from '../../../core/retry-until-available.ts';
import type { Connection } from '../connection/connection.ts';
import type { Call } from '../connection/scripts.ts';
import { KEYS, PREFIX } from '../keys.ts';
import type { PendingPush } from '../pending-push.ts';
import type { QueueSteps, Step } from '../steps.ts';
import { decodeStored } from '../stored-delivery.ts';
import { type BullMqQueue, connectBullMq, PRIORITIES } from './bullmq.ts';
import { type Consumer, createConsumer, type Fetched } from './consumer.ts';
import { createLeases, type Lease } from './leases.ts';
import { startPushRecovery } from './push-recovery.ts';
import {
  BRING_FORWARD,
  COMPLETE_REMOVAL,
  ENQUEUE_NEW,
  FINISH,
  PUSH,
  PUSH_NOTICE,
  RESCHEDULE,
  TAKE,
} from './queue-scripts.ts';
import { ALLOW_RECLAIM, requestDeadline, startReclaiming } from './reclaim.ts';

export interface RedisQueueOptions {
  /**
   * Minimum time for which an id stays taken by an instance that has died, in ms. It is due again
   * within another `2 * reclaimEveryMs`.
   */
  readonly lockMs: number;
  /** Interval between searches for such ids, and for abandoned pushes, in ms. */
  readonly reclaimEveryMs: number;
}

/** Renewals of a lock within its lifetime. Four fifths of it may pass in a stalled event loop. */
const RENEWALS_PER_LOCK = 5;

/**
 * Maximum size of content that is read in the step that takes its id, in bytes. Redis copies it in
 * a script, and does nothing else meanwhile.
 */
const MAX_CONTENT_BYTES = 128 * 1024;

/**
 * Opens the queue that all instances share: one BullMQ queue for each channel, one job for each id.
 */
export async function openRedisQueue(
  connection: Connection,
  { lockMs, reclaimEveryMs }: RedisQueueOptions,
): Promise<Queue & QueueSteps & { close(): Promise<void> }> {
  const { clock, pubSub } = connection;
  const openChannel = await connectBullMq({ connection, lockMs, reclaimEveryMs });
  const queues = new Map<string, BullMqQueue>();
  const consumers = new Map<string, Consumer>();
  let tokens = 0;

  const leases = createLeases(connection, lockMs, lockMs / RENEWALS_PER_LOCK);
  const pushRecovery = startPushRecovery(connection, reclaimEveryMs, push);
  const reclaiming = startReclaiming(connection, reclaimEveryMs, async () => {
    for (const [channel, { queue }] of consumers) if (await reclaim(queue)) announce(channel);
  });
  pubSub.onMessage('due', (channel) => consumers.get(channel)?.wake());
  connection.onReconnect(() => {
    for (const consumer of consumers.values()) consumer.wake();
  });

  function queueOf(channel: string): BullMqQueue {
    const queue = queues.get(channel) ?? openChannel(channel);
    queues.set(channel, queue);
    return queue;
  }

  function consumerOf(channel: string): Consumer {
    const consumer = consumers.get(channel) ?? openConsumer(channel);
    consumers.set(channel, consumer);
    return consumer;
  }

  function openConsumer(channel: string): Consumer {
    const queue = queueOf(channel);
    return createConsumer({
      queue,
      now: clock.now,
      next: () => next(queue),
      async giveBack(id) {
        await giveBack(id);
        // Other instances may have found the channel empty meanwhile.
        announce(channel);
      },
    });
  }

  async function next(queue: BullMqQueue): Promise<Fetched> {
    const token = `${connection.instance}:${tokens++}`;
    const call = take(queue, token);
    return toFetched(queue, token, await connection.runScript(call.script, ...call.args));
  }

  function take({ keys, job }: BullMqQueue, token: string): Call {
    const { wait, active, prioritized, delayed, pc } = keys;
    const values = [job(''), Math.floor(clock.now()), token, lockMs, KEYS.delivery(''), MAX_CONTENT_BYTES];
    return { script: TAKE, args: [wait, active, prioritized, delayed, pc, ...values] };
  }

  /** Stores the lease of the id that {@link TAKE} has taken, if any. */
  function toFetched(queue: BullMqQueue, token: string, result: unknown): Fetched {
    const [due, dueAt, id, priority, ...delivery] = result as readonly [
      number,
      Buffer,
      Buffer?,
      number?,
      Buffer?,
      Buffer?,
    ];
    const left = { left: due, dueAt: dueAt.length > 0 ? Number(dueAt) : null };
    if (!id) return { id: null, ...left };
    const taken = id.toString();
    const wasLeased = leases.get(taken) !== undefined;
    leases.set(taken, { queue, token, priority: priority === PRIORITIES.high ? 'high' : 'normal', delivery });
    // A leased id comes back if its lock was lost. A worker here still handles it, so it only gets a
    // new lock.
    return wasLeased ? { id: null, left: due + 1, dueAt: null } : { id: taken, ...left };
  }

  async function giveBack(id: string): Promise<void> {
    const lease = leases.get(id);
    if (!lease) return;
    // Deleted first: if the call fails, the lock expires.
    leases.delete(id);
    await connection.execute(() => lease.queue.giveBack(id, lease.token));
  }

  /** Makes the ids of dead instances due again. Returns whether there were any. */
  async function reclaim(queue: BullMqQueue): Promise<boolean> {
    const allow = {
      script: ALLOW_RECLAIM,
      args: [queue.keys['stalled-check'], requestDeadline(connection), reclaimEveryMs],
    };
    const [[, reclaimed] = []] = await connection.runAtomically([allow, queue.reclaim()]);
    return Array.isArray(reclaimed) && reclaimed.length > 0;
  }

  /** Wakes the takers of a channel, here and at other instances: an id may be due. */
  function announce(channel: string) {
    consumers.get(channel)?.wake();
    void pubSub.publish('due', channel);
  }

  function pushStep(id: string, pending: PendingPush, script = PUSH): Step {
    const { channel, priority, dueAt } = pending;
    const queue = queueOf(channel);
    const { active, prioritized, delayed, pc } = queue.keys;
    const now = clock.now();
    // Rounded so that no id is due early.
    const times = [Math.floor(now), dueAt > now ? Math.ceil(dueAt) : 0];
    const message = [pubSub.channels.due, pubSub.encode(channel)];
    const keys = [KEYS.channels, queue.job(id), prioritized, delayed, pc];
    const values = [id, queue.name, PRIORITIES[priority], ...times, ...message];
    const args =
      script === ENQUEUE_NEW
        ? [...keys, ...values]
        : [...keys, active, KEYS.pendingPushes, ...values, JSON.stringify(pending), PREFIX];
    return { calls: [{ script, args }], complete: () => consumers.get(channel)?.wake() };
  }

  function completeRemoval(id: string, queue: BullMqQueue): Call {
    const keys = [KEYS.channels, KEYS.pendingPushes, queue.job(id)];
    return { script: COMPLETE_REMOVAL, args: [...keys, id, queue.name] };
  }

  /** @param isSettled whether no push of the id can be pending */
  function finish(id: string, { queue, token }: Lease, isSettled: boolean): Call {
    const { active } = queue.keys;
    const keys = [queue.job(id), queue.job(`${id}:lock`), active, KEYS.channels, KEYS.pendingPushes];
    return { script: FINISH, args: [...keys, id, token, isSettled ? 1 : 0] };
  }

  /** @param takesNext whether to take the next id of the channel for the worker that is free now */
  function doneStep(id: string, channel: string, takesNext: boolean): Step {
    const lease = leases.get(id);
    const queue = lease?.queue ?? queueOf(channel);
    const complete = (pushedMeanwhile: unknown) => {
      leases.delete(id);
      if (typeof pushedMeanwhile === 'string') retryInBackground(() => push(id, JSON.parse(pushedMeanwhile)));
    };
    if (!lease) {
      return {
        calls: [queue.remove(id), completeRemoval(id, queue)],
        complete: ([, pushed]) => complete(pushed),
      };
    }
    const consumer = takesNext ? consumers.get(channel) : undefined;
    if (consumer?.queue !== queue)
      return { calls: [finish(id, lease, false)], complete: ([pushed]) => complete(pushed) };
    const endFetch = consumer.beginFetch();
    return {
      calls: [finish(id, lease, true), take(queue, lease.token)],
      complete([pushed, taken]) {
        complete(pushed);
        endFetch(toFetched(queue, lease.token, taken));
      },
    };
  }

  function retryStep(id: string, to: string, afterMs: number): Step {
    const lease = leases.get(id);
    if (!lease) return { calls: [], complete() {} };
    const { queue, token, priority } = lease;
    const pending = createPendingPush(to, priority, afterMs);
    const isSame = queueOf(to) === queue;
    return {
      calls: isSame
        ? [queue.delay(id, token, pending.dueAt)]
        : [finish(id, lease, false), ...pushStep(id, pending).calls],
      complete() {
        leases.delete(id);
        announce(to);
      },
    };
  }

  function rescheduleStep(id: string, channel: string, afterMs: number): Step {
    const { delayed, prioritized, wait, marker } = queueOf(channel).keys;
    const args = [delayed, prioritized, wait, marker, id, Math.ceil(dueAfter(afterMs))];
    return { calls: [{ script: RESCHEDULE, args }], complete: () => announce(channel) };
  }

  async function run({ calls, complete }: Step): Promise<void> {
    if (calls.length === 0) return;
    const [results = []] = await connection.runAtomically(calls);
    complete(results);
  }

  function push(id: string, pending: PendingPush): Promise<void> {
    return run(pushStep(id, pending));
  }

  function dueAfter(afterMs: number): number {
    return clock.now() + Math.max(0, afterMs);
  }

  function createPendingPush(channel: string, priority: Priority, afterMs: number): PendingPush {
    return { channel, priority, dueAt: dueAfter(afterMs), writtenAt: clock.now() };
  }

  return {
    push: (id, { channel, priority, afterMs }) => push(id, createPendingPush(channel, priority, afterMs)),
    take: (channel, signal) => consumerOf(channel).take(signal),
    done: (id, channel) => run(doneStep(id, channel, false)),
    retry: (id, channel, afterMs, to = channel) => run(retryStep(id, to, afterMs)),
    reschedule: (id, channel, afterMs) => run(rescheduleStep(id, channel, afterMs)),
    async bringForward(id, channel, afterMs) {
      const { delayed, marker } = queueOf(channel).keys;
      const dueAt = Math.ceil(dueAfter(afterMs));
      const changed = await connection.runScript(BRING_FORWARD, delayed, marker, id, dueAt);
      if (changed === 1) announce(channel);
    },
    stepForNew: (id, pending) => pushStep(id, pending, ENQUEUE_NEW),
    stepForNotice: (id, channel, dueAt) =>
      pushStep(id, { channel, priority: 'normal', dueAt, writtenAt: clock.now() }, PUSH_NOTICE),
    stepFor(from, to, effect) {
      const { id, priority } = to;
      switch (effect.kind) {
        case 'push':
          return pushStep(id, createPendingPush(channelOf(to), priority, effect.afterMs));
        case 'retry':
          return retryStep(id, channelOf(to), effect.afterMs);
        case 'reschedule':
          return rescheduleStep(id, channelOf(from), effect.afterMs);
        case 'done':
          return doneStep(id, channelOf(from), true);
      }
    },
    readTaken(id) {
      const lease = leases.get(id);
      if (!lease) return null;
      const [record, content] = lease.delivery;
      lease.delivery = [];
      return decodeStored(record, content);
    },
    async close() {
      pushRecovery.stop();
      reclaiming.stop();
      await Promise.all([...consumers.values()].map((consumer) => consumer.close()));
      leases.stop();
      // Ids that workers still handle are given back: their work ends with the instance.
      await Promise.all(leases.ids().map((id) => giveBack(id).catch(() => {})));
      for (const channel of consumers.keys()) await pubSub.publish('due', channel);
    },
  };
}
