import type { Queue } from '../../../core/ports/queue.ts';
import type { Connection } from '../connection/connection.ts';
import type { Call } from '../connection/scripts.ts';
import { KEYS, PREFIX } from '../keys.ts';
import { type BullMqQueue, connectBullMq } from './bullmq.ts';
import { type Consumer, createConsumer } from './consumer.ts';
import { createLeases } from './leases.ts';
import { type PendingPush, startPushRecovery } from './pending-pushes.ts';
import { BRING_FORWARD, CONFIRM_PUSH, CONFIRM_REMOVAL, RESCHEDULE } from './queue-scripts.ts';
import { ALLOW_RECLAIM, startReclaiming, toDeadline } from './reclaim.ts';

export interface RedisQueueOptions {
  /** How long an id stays taken by an instance that has died, at least; it is due again within twice `stalledMs` more. */
  readonly lockMs: number;
  /** How often somebody looks for such ids, and for those that were to be pushed and were not for so long. */
  readonly reclaimEveryMs: number;
}

/** So often locks are renewed while they last: a stall of the event loop of four fifths of that costs none. */
const RENEWALS_PER_LOCK = 5;

/** A queue that all instances share: one queue of BullMQ for each channel, one job for each id. */
export async function openRedisQueue(
  connection: Connection,
  { lockMs, reclaimEveryMs: stalledMs }: RedisQueueOptions,
): Promise<Queue & { close(): Promise<void> }> {
  const { clock, redis } = connection;
  const openBullMq = await connectBullMq({ connection, lockMs, reclaimEveryMs: stalledMs });
  const queues = new Map<string, BullMqQueue>();
  const consumers = new Map<string, Consumer>();
  let tokens = 0;

  const leases = createLeases(connection, lockMs, lockMs / RENEWALS_PER_LOCK);
  const sweep = startPushRecovery(connection, stalledMs, push);
  const reclaiming = startReclaiming(connection, stalledMs, async () => {
    for (const [name, { queue: bull }] of consumers) if (await reclaim(bull)) announce(name);
  });
  connection.onMessage('due', (name) => consumers.get(name)?.wake());
  connection.onReconnect(() => {
    for (const channel of consumers.values()) channel.wake();
  });

  function queueOf(name: string): BullMqQueue {
    const bull = queues.get(name) ?? openBullMq(name);
    queues.set(name, bull);
    return bull;
  }

  function consumerOf(name: string): Consumer {
    const bull = queueOf(name);
    const letGo = async (id: string) => {
      await giveBack(id);
      // Others may wait for it, and have found nothing.
      announce(name);
    };
    const channel =
      consumers.get(name) ??
      createConsumer({ bull, now: clock.now, next: () => next(bull), giveBack: letGo });
    consumers.set(name, channel);
    return channel;
  }

  async function next(bull: BullMqQueue) {
    for (;;) {
      const token = `${connection.instance}:${tokens++}`;
      const found = await connection.execute(() => bull.next(token));
      if (found.id === null) return found;
      const isHeld = leases.get(found.id) !== undefined;
      leases.set(found.id, { queue: bull, token, priority: found.priority });
      // If so, its lock had been lost, and a lane here still works on it: it has it back.
      if (!isHeld) return found;
    }
  }

  async function giveBack(id: string): Promise<void> {
    const hold = leases.get(id);
    if (!hold) return;
    // Should it fail, the lock runs out.
    leases.delete(id);
    await connection.execute(() => hold.queue.giveBack(id, hold.token));
  }

  async function reclaim(bull: BullMqQueue): Promise<boolean> {
    const allow = {
      script: ALLOW_RECLAIM,
      args: [bull.keys['stalled-check'], toDeadline(connection), stalledMs],
    };
    const reclaimed = await connection.runAtomically([allow, bull.reclaim()]);
    return Array.isArray(reclaimed) && reclaimed.length > 0;
  }

  /** Something may be due there: for the lanes here, and for those elsewhere. */
  function announce(name: string) {
    consumers.get(name)?.wake();
    redis.publish(connection.pubSub.due, `${connection.instance} ${name}`).catch(() => {});
  }

  function pushCalls(id: string, unqueued: PendingPush): readonly Call[] {
    const { channel, priority, dueAt } = unqueued;
    const bull = queueOf(channel);
    const { active, prioritized, delayed } = bull.keys;
    const keys = [KEYS.channels, KEYS.pendingPushes, bull.job(id), active, prioritized, delayed];
    const values = [
      id,
      bull.name,
      JSON.stringify(unqueued),
      PREFIX,
      connection.pubSub.due,
      `${connection.instance} ${channel}`,
    ];
    return [bull.add(id, priority, dueAt), { script: CONFIRM_PUSH, args: [...keys, ...values] }];
  }

  function removalCall(id: string, bull: BullMqQueue): Call {
    return {
      script: CONFIRM_REMOVAL,
      args: [KEYS.channels, KEYS.pendingPushes, bull.job(id), id, bull.name],
    };
  }

  async function push(id: string, unqueued: PendingPush): Promise<void> {
    await connection.runAtomically(pushCalls(id, unqueued));
    consumers.get(unqueued.channel)?.wake();
  }

  function toPendingPush(channel: string, priority: PendingPush['priority'], afterMs: number): PendingPush {
    const writtenAt = clock.now();
    return { channel, priority, dueAt: writtenAt + Math.max(0, afterMs), writtenAt };
  }

  return {
    push: (id, { channel, priority, afterMs }) => push(id, toPendingPush(channel, priority, afterMs)),
    take: (name, signal) => consumerOf(name).take(signal),
    async done(id, name) {
      const hold = leases.get(id);
      const bull = hold?.queue ?? queueOf(name);
      const pushedAgain = await connection.runAtomically([
        hold ? bull.finish(id, hold.token) : bull.remove(id),
        removalCall(id, bull),
      ]);
      leases.delete(id);
      if (typeof pushedAgain === 'string') await push(id, JSON.parse(pushedAgain));
    },
    async retry(id, name, afterMs, to = name) {
      const hold = leases.get(id);
      if (!hold) return;
      const { queue: bull, token, priority } = hold;
      const entry = toPendingPush(to, priority, afterMs);
      if (to === name) await connection.execute(() => bull.delay(id, token, entry.dueAt));
      else
        await connection.runAtomically([
          bull.finish(id, token),
          removalCall(id, bull),
          ...pushCalls(id, entry),
        ]);
      leases.delete(id);
      announce(to);
    },
    async reschedule(id, name, afterMs) {
      const { delayed, prioritized, wait, marker } = queueOf(name).keys;
      await connection.runScript(
        RESCHEDULE,
        delayed,
        prioritized,
        wait,
        marker,
        id,
        Math.ceil(toPendingPush(name, 'normal', afterMs).dueAt),
      );
      announce(name);
    },
    async bringForward(id, name, afterMs) {
      const { delayed, marker } = queueOf(name).keys;
      const hastened = await connection.runScript(
        BRING_FORWARD,
        delayed,
        marker,
        id,
        Math.ceil(toPendingPush(name, 'normal', afterMs).dueAt),
      );
      if (hastened === 1) announce(name);
    },
    async close() {
      sweep.stop();
      reclaiming.stop();
      await Promise.all([...consumers.values()].map((channel) => channel.close()));
      leases.stop();
      // What a lane still works on is over with the instance.
      await Promise.all(leases.all().map(([id]) => giveBack(id).catch(() => {})));
      for (const name of consumers.keys())
        await redis.publish(connection.pubSub.due, `${connection.instance} ${name}`).catch(() => {});
    },
  };
}
