import type { Connection } from '../connection/connection.ts';
import { startPeriodic } from '../connection/periodic.ts';
import { KEYS } from '../keys.ts';
import { PRUNE } from './store-scripts.ts';

const EVERY_MS = 1000;
/** Maximum number of members removed in one step, during which Redis does nothing else. */
const STEP_SIZE = 500;

/**
 * Removes expired deliveries from the timeline at an interval. Redis expires the deliveries
 * themselves.
 */
export function startRetention(connection: Connection): { stop(): void } {
  return startPeriodic(connection, EVERY_MS, async (isStopped) => {
    let removed: unknown = STEP_SIZE;
    while (removed === STEP_SIZE && !isStopped()) {
      const now = Math.floor(connection.clock.now());
      const stored = [KEYS.expiring, KEYS.timeline, KEYS.keptContents, KEYS.usage];
      const keys = [...stored, KEYS.places, KEYS.freePlaces];
      removed = await connection.runScript(PRUNE, ...keys, now, STEP_SIZE);
    }
  });
}
