import type { Priority } from '../../../core/message/message.ts';
import type { Queue } from '../../../core/ports/queue.ts';
import type { Connection } from '../connection/connection.ts';
import type { Call } from '../connection/scripts.ts';
import { KEYS, PREFIX } from '../keys.ts';
import type { PendingPush } from '../pending-push.ts';
import { type BullMqQueue, connectBullMq } from './bullmq.ts';
import { type Consumer, createConsumer } from './consumer.ts';
import { createLeases } from './leases.ts';
import { startPushRecovery } from './push-recovery.ts';
import { BRING_FORWARD, COMPLETE_PUSH, COMPLETE_REMOVAL, RESCHEDULE } from './queue-scripts.ts';
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
 * Opens the queue that all instances share: one BullMQ queue for each channel, one job for each id.
 */
export async function openRedisQueue(
  connection: Connection,
  { lockMs, reclaimEveryMs }: RedisQueueOptions,
): Promise<Queue & { close(): Promise<void> }> {
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

  async function next(queue: BullMqQueue) {
    for (;;) {
      const token = `${connection.instance}:${tokens++}`;
      const found = await connection.execute(() => queue.next(token));
      if (found.id === null) return found;
      const wasLeased = leases.get(found.id) !== undefined;
      leases.set(found.id, { queue, token, priority: found.priority });
      // A leased id comes back if its lock was lost. A worker here still handles it, so it only
      // gets a new lock.
      if (!wasLeased) return found;
    }
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
    const reclaimed = await connection.runAtomically([allow, queue.reclaim()]);
    return Array.isArray(reclaimed) && reclaimed.length > 0;
  }

  /** Wakes the takers of a channel, here and at other instances: an id may be due. */
  function announce(channel: string) {
    consumers.get(channel)?.wake();
    void pubSub.publish('due', channel);
  }

  function pushCalls(id: string, pending: PendingPush): readonly Call[] {
    const { channel, priority, dueAt } = pending;
    const queue = queueOf(channel);
    const { active, prioritized, delayed } = queue.keys;
    const keys = [KEYS.channels, KEYS.pendingPushes, queue.job(id), active, prioritized, delayed];
    const message = [pubSub.channels.due, pubSub.encode(channel)];
    const values = [id, queue.name, JSON.stringify(pending), PREFIX, ...message];
    return [queue.add(id, priority, dueAt), { script: COMPLETE_PUSH, args: [...keys, ...values] }];
  }

  function completeRemoval(id: string, queue: BullMqQueue): Call {
    const keys = [KEYS.channels, KEYS.pendingPushes, queue.job(id)];
    return { script: COMPLETE_REMOVAL, args: [...keys, id, queue.name] };
  }

  async function push(id: string, pending: PendingPush): Promise<void> {
    await connection.runAtomically(pushCalls(id, pending));
    consumers.get(pending.channel)?.wake();
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
    async done(id, channel) {
      const lease = leases.get(id);
      const queue = lease?.queue ?? queueOf(channel);
      const pushedMeanwhile = await connection.runAtomically([
        lease ? queue.finish(id, lease.token) : queue.remove(id),
        completeRemoval(id, queue),
      ]);
      leases.delete(id);
      if (typeof pushedMeanwhile === 'string') await push(id, JSON.parse(pushedMeanwhile));
    },
    async retry(id, channel, afterMs, to = channel) {
      const lease = leases.get(id);
      if (!lease) return;
      const { queue, token, priority } = lease;
      const pending = createPendingPush(to, priority, afterMs);
      if (to === channel) {
        await connection.execute(() => queue.delay(id, token, pending.dueAt));
      } else {
        const removal = [queue.finish(id, token), completeRemoval(id, queue)];
        await connection.runAtomically([...removal, ...pushCalls(id, pending)]);
      }
      leases.delete(id);
      announce(to);
    },
    async reschedule(id, channel, afterMs) {
      const { delayed, prioritized, wait, marker } = queueOf(channel).keys;
      const dueAt = Math.ceil(dueAfter(afterMs));
      await connection.runScript(RESCHEDULE, delayed, prioritized, wait, marker, id, dueAt);
      announce(channel);
    },
    async bringForward(id, channel, afterMs) {
      const { delayed, marker } = queueOf(channel).keys;
      const dueAt = Math.ceil(dueAfter(afterMs));
      const changed = await connection.runScript(BRING_FORWARD, delayed, marker, id, dueAt);
      if (changed === 1) announce(channel);
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
