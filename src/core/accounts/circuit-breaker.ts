import type { DeliveryError } from '../delivery/delivery.ts';

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

/** Whether an account works, as it is kept. Times are those of the books. */
export interface GateBook {
  state: 'unproven' | 'ready' | 'paused';
  paused: { readonly error: DeliveryError; readonly since: number; until: number } | null;
  failures: number;
}

export function newGate(): GateBook {
  return { state: 'unproven', paused: null, failures: 0 };
}

/** Whether a server can be reached: taken for granted until it fails. */
export function newReach(): GateBook {
  return { state: 'ready', paused: null, failures: 0 };
}

/**
 * Whether an account works:
 *
 *     unproven ─▶ ready ◀─▶ paused
 *
 * It is unproven until the first login has worked. Whoever uses it in any state but ready is a probe, and must be alone.
 */
export interface Gate {
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

/** @param now epoch ms by the clock of the books */
export function gateIn(book: GateBook, now: () => number): Gate {
  return {
    current() {
      const { paused } = book;
      const forMs = paused ? Math.ceil(paused.until - now()) : 0;
      return paused && forMs > 0 ? { error: paused.error, forMs } : null;
    },
    told() {
      const { paused } = book;
      return paused && { ...paused, until: Math.round(Date.now() + paused.until - now()) };
    },
    open() {
      const wasPaused = book.state === 'paused';
      book.state = 'ready';
      book.paused = null;
      book.failures = 0;
      return wasPaused;
    },
    close(error, waits, news) {
      if (news) book.failures += 1;
      const waitMs = waits[Math.min(book.failures, waits.length) - 1] ?? 0;
      const until = Math.max(book.paused?.until ?? 0, now() + waitMs);
      book.state = 'paused';
      book.paused = { error, since: book.paused?.since ?? Date.now(), until };
      return { error, forMs: Math.max(0, Math.ceil(until - now())) };
    },
    hasten() {
      if (book.paused) book.paused.until = now();
    },
  };
}
