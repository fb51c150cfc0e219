import type { Delivery } from '../../../core/delivery/delivery.ts';
import type { Priority } from '../../../core/message/message.ts';
import type { Connection } from '../connection/connection.ts';
import { KEYS } from '../keys.ts';

/**
 * What an id needs to be pushed. It is written down with what makes the push necessary, in one step, and crossed out with the push: so a crash between
 * the two loses nothing. The same is done for an id that is pushed while it is taken.
 */
export interface PendingPush {
  readonly channel: string;
  readonly priority: Priority;
  /** By the clock of the connection. */
  readonly dueAt: number;
  readonly writtenAt: number;
}

/** Of a delivery that is to be in the queue. */
export function pendingPushesOf(
  { account, priority, scheduledAt, nextAttemptAt, expiresAt }: Delivery,
  now: number,
): PendingPush {
  const dueAt =
    nextAttemptAt === null ? (scheduledAt ?? 0) : Math.min(nextAttemptAt, expiresAt ?? nextAttemptAt);
  const afterMs = dueAt - Date.now();
  return { channel: account, priority, dueAt: now + Math.max(0, afterMs), writtenAt: now };
}

/**
 * Now and then pushes what has been unqueued for so long that whoever meant to push it has died, or could not.
 *
 * @param everyMs and for how long
 */
export function startPushRecovery(
  connection: Connection,
  everyMs: number,
  push: (id: string, unqueued: PendingPush) => Promise<void>,
): { stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  async function sweep() {
    if (connection.isUsable()) await pushMissed().catch(() => {});
    if (!stopped) timer = setTimeout(sweep, everyMs);
  }

  async function pushMissed() {
    const missedBefore = connection.clock.now() - everyMs;
    let cursor = '0';
    do {
      const [next, entries] = await connection.execute((redis) => redis.hscan(KEYS.pendingPushes, cursor));
      for (let i = 0; i < entries.length && !stopped; i += 2) {
        const unqueued: PendingPush = JSON.parse(entries[i + 1] as string);
        if (unqueued.writtenAt < missedBefore) await push(entries[i] as string, unqueued);
      }
      cursor = next;
    } while (cursor !== '0' && !stopped);
  }

  timer = setTimeout(sweep, everyMs);
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
