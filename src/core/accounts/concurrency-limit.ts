/**
 * Accepted messages before the limit grows by one, from the number on at which Gmail asked to slow
 * down.
 */
const ACCEPTED_PER_STEP = 20;

/**
 * How many attempts of an account may run at once: plain JSON. The limit falls immediately and
 * grows one by one.
 *
 * `max` is the number of connections of all instances.
 */
export interface ConcurrencyLimit {
  /** Null: as many as there are connections. */
  slowdown: Slowdown | null;
}

export interface Slowdown {
  limit: number;
  /**
   * Up to here the limit grows with each accepted message, beyond it slowly, as in TCP congestion
   * avoidance (RFC 5681, 3.1).
   */
  quickUpTo: number;
  /** Messages accepted since the limit changed. */
  streak: number;
}

export function limitOf({ slowdown }: ConcurrencyLimit, max: number): number {
  return Math.min(slowdown?.limit ?? max, max);
}

/** Lets the limit grow after an accepted message. */
export function growLimit(state: ConcurrencyLimit, max: number): void {
  const { slowdown } = state;
  if (slowdown === null) return;
  slowdown.streak += 1;
  if (slowdown.limit >= slowdown.quickUpTo && slowdown.streak < ACCEPTED_PER_STEP) return;
  slowdown.limit += 1;
  slowdown.streak = 0;
  if (slowdown.limit >= max) state.slowdown = null;
}

/** Halves the limit: Gmail asks to slow down. */
export function halveLimit(state: ConcurrencyLimit, max: number): void {
  const limit = Math.max(1, Math.floor(limitOf(state, max) / 2));
  state.slowdown = max === 1 ? null : { limit, quickUpTo: limit, streak: 0 };
}

/** Starts with one attempt after a pause. */
export function restartLimit(state: ConcurrencyLimit, max: number): void {
  const quickUpTo = state.slowdown?.quickUpTo ?? max;
  state.slowdown = max === 1 ? null : { limit: 1, quickUpTo, streak: 0 };
}
