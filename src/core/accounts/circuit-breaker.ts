import type { DeliveryError } from '../delivery/delivery.ts';

/** Why nothing may be sent now, and for how long, in ms. */
export interface Pause {
  readonly error: DeliveryError;
  readonly forMs: number;
}

/**
 * A pause as clients see it. Times are epoch ms. Once `until` has passed, the next message is the
 * probe.
 */
export interface PauseStatus {
  readonly error: DeliveryError;
  readonly since: number;
  readonly until: number;
}

/**
 * Stops attempts after a fault: plain JSON.
 *
 *     half-open ─▶ closed ◀─▶ open
 *
 * An account starts half-open, until its first login works. In every state but closed an attempt is
 * a probe, and goes out alone. An open breaker whose pause is over acts as a half-open one.
 */
export interface CircuitBreaker {
  state: 'closed' | 'open' | 'half-open';
  /** Null unless open. `since` is epoch ms by the wall clock, `until` by the shared clock. */
  pause: { readonly error: DeliveryError; readonly since: number; until: number } | null;
  /** Failures in a row. */
  failures: number;
}

export interface BreakerFailure {
  readonly error: DeliveryError;
  /**
   * Waits before the next probe after the 1st, 2nd, … failure in a row, in ms. The last one
   * repeats.
   */
  readonly waitsMs: readonly number[];
  /** Whether this is another failure in the row. */
  readonly counts: boolean;
  /** Epoch ms by the wall clock. */
  readonly failedAt: number;
}

export function newBreaker(state: 'closed' | 'half-open'): CircuitBreaker {
  return { state, pause: null, failures: 0 };
}

/** The pause that stops everything, probes included. Null once it is over. */
export function pauseOf({ pause }: CircuitBreaker, now: number): Pause | null {
  const forMs = pause ? Math.ceil(pause.until - now) : 0;
  return pause && forMs > 0 ? { error: pause.error, forMs } : null;
}

/** Opens the breaker, or extends its pause. */
export function openBreaker(
  breaker: CircuitBreaker,
  { error, waitsMs, counts, failedAt }: BreakerFailure,
  now: number,
): Pause {
  if (counts) breaker.failures += 1;
  const waitMs = waitsMs[Math.min(breaker.failures, waitsMs.length) - 1] ?? 0;
  const until = Math.max(breaker.pause?.until ?? 0, now + waitMs);
  breaker.state = 'open';
  breaker.pause = { error, since: breaker.pause?.since ?? failedAt, until };
  return { error, forMs: Math.max(0, Math.ceil(until - now)) };
}

/** Returns whether the breaker was open. */
export function closeBreaker(breaker: CircuitBreaker): boolean {
  const wasOpen = breaker.state === 'open';
  Object.assign(breaker, newBreaker('closed'));
  return wasOpen;
}

/** Ends the wait of an open breaker: the next attempt is a probe. */
export function probeNow(breaker: CircuitBreaker, now: number): void {
  if (breaker.pause) breaker.pause.until = now;
}
