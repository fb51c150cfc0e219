import type { Priority } from '../../../core/message/message.ts';
import type { Queue } from '../../../core/ports/queue.ts';
import { retryInBackground } from '../../../core/retry-until-available.ts';
import type { Connection } from '../connection/connection.ts';
import type { Call } from '../connection/scripts.ts';
import { KEYS, PREFIX } from '../keys.ts';
import type { PendingPush } from '../pending-push.ts';
import type { QueueSteps, Step } from '../steps.ts';
import { decodeStored } from '../stored-delivery.ts';
import { type BullMqQueue, connectBullMq, parseTaken, type TakenJob } from './bullmq.ts';
import { type Consumer, createConsumer, type Fetched } from './consumer.ts';
import { createLeases } from './leases.ts';
import { startPushRecovery } from './push-recovery.ts';
import { BRING_FORWARD, COMPLETE_PUSH, COMPLETE_REMOVAL, READ_TAKEN, RESCHEDULE } from './queue-scripts.ts';
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
    const [results = []] = await connection.runAtomically([queue.take(token), readTaken(queue)]);
    return toFetched(queue, token, parseTaken(results[0]), results[1]);
  }

  function readTaken({ keys }: BullMqQueue): Call {
    const { prioritized, wait, delayed } = keys;
    return { script: READ_TAKEN, args: [prioritized, wait, delayed, KEYS.delivery(''), MAX_CONTENT_BYTES] };
  }

  /** Stores the lease of an id that was taken, with what {@link READ_TAKEN} returned. */
  function toFetched(queue: BullMqQueue, token: string, job: TakenJob | null, read: unknown): Fetched {
    const [due, dueAt, ...delivery] = read as readonly [number, Buffer, Buffer?, Buffer?];
    const left = { left: due, dueAt: dueAt.length > 0 ? Number(dueAt) : null };
    if (job === null) return { id: null, ...left };
    const wasLeased = leases.get(job.id) !== undefined;
    leases.set(job.id, { queue, token, priority: job.priority, delivery });
    // A leased id comes back if its lock was lost. A worker here still handles it, so it only gets a
    // new lock.
    return wasLeased ? { id: null, left: due + 1, dueAt: null } : { id: job.id, ...left };
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

  function pushStep(id: string, pending: PendingPush): Step {
    const { channel, priority, dueAt } = pending;
    const queue = queueOf(channel);
    const { active, prioritized, delayed } = queue.keys;
    const keys = [KEYS.channels, KEYS.pendingPushes, queue.job(id), active, prioritized, delayed];
    const message = [pubSub.channels.due, pubSub.encode(channel)];
    const values = [id, queue.name, JSON.stringify(pending), PREFIX, ...message];
    return {
      calls: [queue.add(id, priority, dueAt), { script: COMPLETE_PUSH, args: [...keys, ...values] }],
      complete: () => consumers.get(channel)?.wake(),
    };
  }

  function completeRemoval(id: string, queue: BullMqQueue): Call {
    const keys = [KEYS.channels, KEYS.pendingPushes, queue.job(id)];
    return { script: COMPLETE_REMOVAL, args: [...keys, id, queue.name] };
  }

  /** @param takesNext whether to take the next id of the channel for the worker that is free now */
  function doneStep(id: string, channel: string, takesNext: boolean): Step {
    const lease = leases.get(id);
    const consumer = takesNext ? consumers.get(channel) : undefined;
    const queue = lease?.queue ?? queueOf(channel);
    const removal = completeRemoval(id, queue);
    const complete = (pushedMeanwhile: unknown) => {
      leases.delete(id);
      if (typeof pushedMeanwhile === 'string') retryInBackground(() => push(id, JSON.parse(pushedMeanwhile)));
    };
    if (!lease || consumer?.queue !== queue) {
      const first = lease ? queue.finish(id, lease.token, false) : queue.remove(id);
      return { calls: [first, removal], complete: ([, pushed]) => complete(pushed) };
    }
    const endFetch = consumer.beginFetch();
    return {
      calls: [queue.finish(id, lease.token, true), readTaken(queue), removal],
      complete([job, read, pushed]) {
        complete(pushed);
        endFetch(toFetched(queue, lease.token, parseTaken(job), read));
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
        : [queue.finish(id, token, false), completeRemoval(id, queue), ...pushStep(id, pending).calls],
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
    stepForNew: pushStep,
    stepFor({ id, account }, to, effect) {
      switch (effect.kind) {
        case 'push':
          return pushStep(id, createPendingPush(to.account, to.priority, effect.afterMs));
        case 'retry':
          return retryStep(id, to.account, effect.afterMs);
        case 'reschedule':
          return rescheduleStep(id, account, effect.afterMs);
        case 'done':
          return doneStep(id, account, true);
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
