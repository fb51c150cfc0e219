import { HOUR, MINUTE, SECOND } from '../time.ts';

/** Waits after the 1st, 2nd, … failure, in ms. The last one repeats. */
export const BACKOFF_MS: readonly number[] = [
  5 * SECOND,
  30 * SECOND,
  2 * MINUTE,
  10 * MINUTE,
  30 * MINUTE,
  HOUR,
];

/** Returns the wait after failure number `failures` (from 1), in ms. The last step repeats. */
export function backoffStep(steps: readonly number[], failures: number): number {
  return steps[Math.min(failures, steps.length) - 1] ?? 0;
}

/**
 * Spreads a wait by up to a fifth either way, so that retries do not coincide.
 *
 * @param random Returns a number from 0 to 1.
 */
export function withJitter(waitMs: number, random: () => number): number {
  return waitMs * (0.8 + 0.4 * random());
}
