import type { DeliveryError } from './delivery.ts';

/** Why nothing may be sent now, and for how long. */
export interface Pause {
  readonly error: DeliveryError;
  readonly forMs: number;
}

/** A pause as it is told. Times are epoch milliseconds; `until` may have passed: then the next message is the probe. */
export interface PauseState {
  readonly error: DeliveryError;
  readonly since: number;
  readonly until: number;
}

/**
 * Whether an account works:
 *
 *     unproven ─▶ ready ◀─▶ paused
 *
 * It is unproven until the first login has worked. Whoever uses it in any state but ready is a probe, and must be alone.
 */
export interface Gate {
  readonly state: 'unproven' | 'ready' | 'paused';
  /** Why nothing may pass, not even a probe. Null once the wait is over. */
  current(): Pause | null;
  /** What the account suffers from, also when a probe may pass. */
  told(): PauseState | null;
  /** Answers whether it was paused. */
  open(): boolean;
  /**
   * @param waits how long until the next probe, after the 1st, 2nd, … failure in a row, in ms; the last one repeats
   * @param news whether this is another failure in the row
   */
  close(error: DeliveryError, waits: readonly number[], news: boolean): Pause;
  /** Lets a probe pass now. */
  hasten(): void;
}

export function createGate(): Gate {
  let state: Gate['state'] = 'unproven';
  let paused: { error: DeliveryError; since: number; until: number } | null = null;
  let failures = 0;

  return {
    get state() {
      return state;
    },
    current() {
      const forMs = paused ? Math.ceil(paused.until - performance.now()) : 0;
      return paused && forMs > 0 ? { error: paused.error, forMs } : null;
    },
    told() {
      return paused && { ...paused, until: Math.round(Date.now() + paused.until - performance.now()) };
    },
    open() {
      const wasPaused = state === 'paused';
      state = 'ready';
      paused = null;
      failures = 0;
      return wasPaused;
    },
    close(error, waits, news) {
      if (news) failures += 1;
      const waitMs = waits[Math.min(failures, waits.length) - 1] ?? 0;
      const until = Math.max(paused?.until ?? 0, performance.now() + waitMs);
      state = 'paused';
      paused = { error, since: paused?.since ?? Date.now(), until };
      return { error, forMs: Math.max(0, Math.ceil(until - performance.now())) };
    },
    hasten() {
      if (paused) paused.until = performance.now();
    },
  };
}
