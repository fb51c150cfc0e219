import { KEYS } from './keys.ts';
import type { Link } from './link.ts';
import { PRUNE } from './store-scripts.ts';

const EVERY_MS = 1000;
/** Taken out in one step, during which Redis does nothing else. */
const PER_STEP = 500;

/** Takes the places of deliveries that have left out of the list of all. They themselves expire. */
export function startRetention(link: Link): { stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  async function prune() {
    if (link.isUsable()) await pruneAll().catch(() => {});
    if (!stopped) timer = setTimeout(prune, EVERY_MS);
  }

  async function pruneAll() {
    let left: unknown = PER_STEP;
    while (left === PER_STEP && !stopped) {
      left = await link.run(PRUNE, KEYS.leaving, KEYS.timeline, Math.floor(link.clock.now()), PER_STEP);
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
