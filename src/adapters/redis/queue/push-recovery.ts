import type { Connection } from '../connection/connection.ts';
import { startPeriodic } from '../connection/periodic.ts';
import { KEYS } from '../keys.ts';
import type { PendingPush } from '../pending-push.ts';

/**
 * Executes pending pushes whose writer failed or died before it pushed.
 *
 * @param everyMs interval between searches, in ms, and the age from which a push counts as
 *   abandoned
 */
export function startPushRecovery(
  connection: Connection,
  everyMs: number,
  push: (id: string, pending: PendingPush) => Promise<void>,
): { stop(): void } {
  return startPeriodic(connection, everyMs, async (isStopped) => {
    const writtenBefore = connection.clock.now() - everyMs;
    let cursor = '0';
    do {
      const [next, entries] = await connection.execute((redis) => redis.hscan(KEYS.pendingPushes, cursor));
      for (let i = 0; i < entries.length && !isStopped(); i += 2) {
        const pending: PendingPush = JSON.parse(entries[i + 1] as string);
        if (pending.writtenAt < writtenBefore) await push(entries[i] as string, pending);
      }
      cursor = next;
    } while (cursor !== '0' && !isStopped());
  });
}
