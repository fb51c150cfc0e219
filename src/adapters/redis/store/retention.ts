import type { Connection } from '../connection/connection.ts';
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
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  async function prune() {
    if (connection.isUsable()) await pruneAll().catch(() => {});
    if (!stopped) timer = setTimeout(prune, EVERY_MS);
  }

  async function pruneAll() {
    let removed: unknown = STEP_SIZE;
    while (removed === STEP_SIZE && !stopped) {
      const now = Math.floor(connection.clock.now());
      removed = await connection.runScript(PRUNE, KEYS.expiring, KEYS.timeline, now, STEP_SIZE);
    }
  }

  timer = setTimeout(prune, EVERY_MS);
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
