import type { Connection } from '../connection/connection.ts';
import { KEYS } from '../keys.ts';
import { PRUNE } from './store-scripts.ts';

const EVERY_MS = 1000;
/** Taken out in one step, during which Redis does nothing else. */
const PER_STEP = 500;

/** Takes the places of deliveries that have left out of the list of all. They themselves expire. */
export function startRetention(connection: Connection): { stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  async function prune() {
    if (connection.isUsable()) await pruneAll().catch(() => {});
    if (!stopped) timer = setTimeout(prune, EVERY_MS);
  }

  async function pruneAll() {
    let left: unknown = PER_STEP;
    while (left === PER_STEP && !stopped) {
      left = await connection.runScript(
        PRUNE,
        KEYS.expiring,
        KEYS.timeline,
        Math.floor(connection.clock.now()),
        PER_STEP,
      );
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
