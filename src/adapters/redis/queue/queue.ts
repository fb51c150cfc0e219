import type { Queue } from '../../../core/ports/queue.ts';
import type { Connection } from '../connection/connection.ts';
import type { Call } from '../connection/scripts.ts';
import { KEYS, PREFIX } from '../keys.ts';
import { type BullMq, connectBullMq } from './bullmq.ts';
import { type Consumer, createConsumer } from './consumer.ts';
import { createLeases } from './leases.ts';
import { type PendingPushes, startSweep } from './pending-pushes.ts';
import { ENTER, HASTEN, LEAVE, RESCHEDULE } from './queue-scripts.ts';
import { ALLOW_RECLAIM, freshUntil, startReclaiming } from './reclaim.ts';

export interface RedisQueueOptions {
  /** How long an id stays taken by an instance that has died, at least; it is due again within twice `stalledMs` more. */
  readonly lockMs: number;
  /** How often somebody looks for such ids, and for those that were to be pushed and were not for so long. */
  readonly stalledMs: number;
}

/** So often locks are renewed while they last: a stall of the event loop of four fifths of that costs none. */
const RENEWALS = 5;

/** A queue that all instances share: one queue of BullMQ for each channel, one job for each id. */
export async function openRedisQueue(
  connection: Connection,
  { lockMs, stalledMs }: RedisQueueOptions,
): Promise<Queue & { close(): Promise<void> }> {
  const { clock, redis } = connection;
  const openBull = await connectBullMq({ connection, lockMs, stalledMs });
  const opened = new Map<string, BullMq>();
  const channels = new Map<string, Consumer>();
  let tokens = 0;

  const holds = createLeases(connection, lockMs, lockMs / RENEWALS);
  const sweep = startSweep(connection, stalledMs, push);
  const reclaiming = startReclaiming(connection, stalledMs, async () => {
    for (const [name, { bull }] of channels) if (await hasReclaimed(bull)) announce(name);
  });
  connection.onNews('due', (name) => channels.get(name)?.wake());
  connection.onReconnect(() => {
    for (const channel of channels.values()) channel.wake();
  });

  function bullOf(name: string): BullMq {
    const bull = opened.get(name) ?? openBull(name);
    opened.set(name, bull);
    return bull;
  }

  function channelOf(name: string): Consumer {
    const bull = bullOf(name);
    const letGo = async (id: string) => {
      await giveBack(id);
      // Others may wait for it, and have found nothing.
      announce(name);
    };
    const channel =
      channels.get(name) ?? createConsumer({ bull, now: clock.now, next: () => next(bull), giveBack: letGo });
    channels.set(name, channel);
    return channel;
  }

  async function next(bull: BullMq) {
    for (;;) {
      const token = `${connection.instance}:${tokens++}`;
      const found = await connection.ask(() => bull.next(token));
      if (found.id === null) return found;
      const isHeld = holds.get(found.id) !== undefined;
      holds.set(found.id, { bull, token, priority: found.priority });
      // If so, its lock had been lost, and a lane here still works on it: it has it back.
      if (!isHeld) return found;
    }
  }

  async function giveBack(id: string): Promise<void> {
    const hold = holds.get(id);
    if (!hold) return;
    // Should it fail, the lock runs out.
    holds.delete(id);
    await connection.ask(() => hold.bull.giveBack(id, hold.token));
  }

  async function hasReclaimed(bull: BullMq): Promise<boolean> {
    const allow = {
      script: ALLOW_RECLAIM,
      args: [bull.keys['stalled-check'], freshUntil(connection), stalledMs],
    };
    const reclaimed = await connection.together([allow, bull.reclaim()]);
    return Array.isArray(reclaimed) && reclaimed.length > 0;
  }

  /** Something may be due there: for the lanes here, and for those elsewhere. */
  function announce(name: string) {
    channels.get(name)?.wake();
    redis.publish(connection.news.due, `${connection.instance} ${name}`).catch(() => {});
  }

  function enter(id: string, unqueued: PendingPushes): readonly Call[] {
    const { channel, priority, dueAt } = unqueued;
    const bull = bullOf(channel);
    const { active, prioritized, delayed } = bull.keys;
    const keys = [KEYS.channels, KEYS.unqueued, bull.job(id), active, prioritized, delayed];
    const values = [
      id,
      bull.name,
      JSON.stringify(unqueued),
      PREFIX,
      connection.news.due,
      `${connection.instance} ${channel}`,
    ];
    return [bull.add(id, priority, dueAt), { script: ENTER, args: [...keys, ...values] }];
  }

  function leave(id: string, bull: BullMq): Call {
    return { script: LEAVE, args: [KEYS.channels, KEYS.unqueued, bull.job(id), id, bull.name] };
  }

  async function push(id: string, unqueued: PendingPushes): Promise<void> {
    await connection.together(enter(id, unqueued));
    channels.get(unqueued.channel)?.wake();
  }

  function entryOf(channel: string, priority: PendingPushes['priority'], afterMs: number): PendingPushes {
    const writtenAt = clock.now();
    return { channel, priority, dueAt: writtenAt + Math.max(0, afterMs), writtenAt };
  }

  return {
    push: (id, { channel, priority, afterMs }) => push(id, entryOf(channel, priority, afterMs)),
    take: (name, signal) => channelOf(name).take(signal),
    async done(id, name) {
      const hold = holds.get(id);
      const bull = hold?.bull ?? bullOf(name);
      const pushedAgain = await connection.together([
        hold ? bull.finish(id, hold.token) : bull.remove(id),
        leave(id, bull),
      ]);
      holds.delete(id);
      if (typeof pushedAgain === 'string') await push(id, JSON.parse(pushedAgain));
    },
    async retry(id, name, afterMs, to = name) {
      const hold = holds.get(id);
      if (!hold) return;
      const { bull, token, priority } = hold;
      const entry = entryOf(to, priority, afterMs);
      if (to === name) await connection.ask(() => bull.delay(id, token, entry.dueAt));
      else await connection.together([bull.finish(id, token), leave(id, bull), ...enter(id, entry)]);
      holds.delete(id);
      announce(to);
    },
    async reschedule(id, name, afterMs) {
      const { delayed, prioritized, wait, marker } = bullOf(name).keys;
      await connection.run(
        RESCHEDULE,
        delayed,
        prioritized,
        wait,
        marker,
        id,
        Math.ceil(entryOf(name, 'normal', afterMs).dueAt),
      );
      announce(name);
    },
    async bringForward(id, name, afterMs) {
      const { delayed, marker } = bullOf(name).keys;
      const hastened = await connection.run(
        HASTEN,
        delayed,
        marker,
        id,
        Math.ceil(entryOf(name, 'normal', afterMs).dueAt),
      );
      if (hastened === 1) announce(name);
    },
    async close() {
      sweep.stop();
      reclaiming.stop();
      await Promise.all([...channels.values()].map((channel) => channel.close()));
      holds.stop();
      // What a lane still works on is over with the instance.
      await Promise.all(holds.all().map(([id]) => giveBack(id).catch(() => {})));
      for (const name of channels.keys())
        await redis.publish(connection.news.due, `${connection.instance} ${name}`).catch(() => {});
    },
  };
}
