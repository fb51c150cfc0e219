import type { Queue } from '../../core/ports.ts';
import { type Bull, connectBull } from './bull.ts';
import { type Channel, createChannel } from './channel.ts';
import { createHolds } from './holds.ts';
import { KEYS, PREFIX } from './keys.ts';
import type { Link } from './link.ts';
import { ENTER, HASTEN, LEAVE, RESCHEDULE } from './queue-scripts.ts';
import { ALLOW_RECLAIM, freshUntil, startReclaiming } from './reclaim.ts';
import type { Call } from './scripts.ts';
import { startSweep, type Unqueued } from './unqueued.ts';

export interface RedisQueueOptions {
  /** How long an id stays taken by an instance that has died, at least; it is due again within twice `stalledMs` more. */
  readonly lockMs: number;
  /** How often somebody looks for such ids, and for those that were to be pushed and were not for so long. */
  readonly stalledMs: number;
}

/** So often locks are renewed while they last: a stall of the event loop of four fifths of that costs none. */
const RENEWALS = 5;

/** A queue that all instances share: one queue of BullMQ for each channel, one job for each id. */
export async function openRedisQueue(link: Link, { lockMs, stalledMs }: RedisQueueOptions): Promise<Queue & { close(): Promise<void> }> {
  const { clock, redis } = link;
  const openBull = await connectBull({ link, lockMs, stalledMs });
  const opened = new Map<string, Bull>();
  const channels = new Map<string, Channel>();
  let tokens = 0;

  const holds = createHolds(link, lockMs, lockMs / RENEWALS);
  const sweep = startSweep(link, stalledMs, push);
  const reclaiming = startReclaiming(link, stalledMs, async () => {
    for (const [name, { bull }] of channels) if (await hasReclaimed(bull)) announce(name);
  });
  link.onNews('due', (name) => channels.get(name)?.wake());
  link.onReconnect(() => {
    for (const channel of channels.values()) channel.wake();
  });

  function bullOf(name: string): Bull {
    const bull = opened.get(name) ?? openBull(name);
    opened.set(name, bull);
    return bull;
  }

  function channelOf(name: string): Channel {
    const bull = bullOf(name);
    const letGo = async (id: string) => {
      await giveBack(id);
      // Others may wait for it, and have found nothing.
      announce(name);
    };
    const channel = channels.get(name) ?? createChannel({ bull, now: clock.now, next: () => next(bull), giveBack: letGo });
    channels.set(name, channel);
    return channel;
  }

  async function next(bull: Bull) {
    for (;;) {
      const token = `${link.instance}:${tokens++}`;
      const found = await link.ask(() => bull.next(token));
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
    await link.ask(() => hold.bull.giveBack(id, hold.token));
  }

  async function hasReclaimed(bull: Bull): Promise<boolean> {
    const allow = { script: ALLOW_RECLAIM, args: [bull.keys['stalled-check'], freshUntil(link), stalledMs] };
    const reclaimed = await link.together([allow, bull.reclaim()]);
    return Array.isArray(reclaimed) && reclaimed.length > 0;
  }

  /** Something may be due there: for the lanes here, and for those elsewhere. */
  function announce(name: string) {
    channels.get(name)?.wake();
    redis.publish(link.news.due, `${link.instance} ${name}`).catch(() => {});
  }

  function enter(id: string, unqueued: Unqueued): readonly Call[] {
    const { channel, priority, dueAt } = unqueued;
    const bull = bullOf(channel);
    const { active, prioritized, delayed } = bull.keys;
    const keys = [KEYS.channels, KEYS.unqueued, bull.job(id), active, prioritized, delayed];
    const values = [id, bull.name, JSON.stringify(unqueued), PREFIX, link.news.due, `${link.instance} ${channel}`];
    return [bull.add(id, priority, dueAt), { script: ENTER, args: [...keys, ...values] }];
  }

  function leave(id: string, bull: Bull): Call {
    return { script: LEAVE, args: [KEYS.channels, KEYS.unqueued, bull.job(id), id, bull.name] };
  }

  async function push(id: string, unqueued: Unqueued): Promise<void> {
    await link.together(enter(id, unqueued));
    channels.get(unqueued.channel)?.wake();
  }

  function entryOf(channel: string, priority: Unqueued['priority'], afterMs: number): Unqueued {
    const writtenAt = clock.now();
    return { channel, priority, dueAt: writtenAt + Math.max(0, afterMs), writtenAt };
  }

  return {
    push: (id, { channel, priority, afterMs }) => push(id, entryOf(channel, priority, afterMs)),
    take: (name, signal) => channelOf(name).take(signal),
    async done(id, name) {
      const hold = holds.get(id);
      const bull = hold?.bull ?? bullOf(name);
      const pushedAgain = await link.together([hold ? bull.finish(id, hold.token) : bull.remove(id), leave(id, bull)]);
      holds.delete(id);
      if (typeof pushedAgain === 'string') await push(id, JSON.parse(pushedAgain));
    },
    async retry(id, name, afterMs, to = name) {
      const hold = holds.get(id);
      if (!hold) return;
      const { bull, token, priority } = hold;
      const entry = entryOf(to, priority, afterMs);
      if (to === name) await link.ask(() => bull.delay(id, token, entry.dueAt));
      else await link.together([bull.finish(id, token), leave(id, bull), ...enter(id, entry)]);
      holds.delete(id);
      announce(to);
    },
    async reschedule(id, name, afterMs) {
      const { delayed, prioritized, wait, marker } = bullOf(name).keys;
      await link.run(RESCHEDULE, delayed, prioritized, wait, marker, id, Math.ceil(entryOf(name, 'normal', afterMs).dueAt));
      announce(name);
    },
    async hasten(id, name, afterMs) {
      const { delayed, marker } = bullOf(name).keys;
      const hastened = await link.run(HASTEN, delayed, marker, id, Math.ceil(entryOf(name, 'normal', afterMs).dueAt));
      if (hastened === 1) announce(name);
    },
    async close() {
      sweep.stop();
      reclaiming.stop();
      await Promise.all([...channels.values()].map((channel) => channel.close()));
      holds.stop();
      // What a lane still works on is over with the instance.
      await Promise.all(holds.all().map(([id]) => giveBack(id).catch(() => {})));
      for (const name of channels.keys()) await redis.publish(link.news.due, `${link.instance} ${name}`).catch(() => {});
    },
  };
}
