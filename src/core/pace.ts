/** Clocks are read to the millisecond. */
const SLACK_MS = 2;
/** A timer that fires late may be made up for, but not by more than this. */
const CATCH_UP_MS = 100;

/** Leave to start one message. */
export interface Start {
  /** The server has seen the message by now. Until then it counts as one that it may see at any moment. */
  seen(): void;
  /** It never will. Ignored after `seen`. */
  cancel(): void;
}

/** So many messages a second and no more, whichever connection they take. */
export interface Pace {
  /** How long the next message must wait, in ms: 0 if it may start now, Infinity until one that has leave to start is seen. */
  waitMs(): number;
  start(): Start;
}

/**
 * A token bucket of one token, which spreads messages evenly, and above it the bound that counts: in no window of a second does the server see more
 * than `rate`, however long each message takes on its way.
 */
export function createPace(rate: number): Pace {
  const atMost = Math.ceil(rate);
  const intervalMs = 1000 / rate;
  const windowMs = atMost * intervalMs + SLACK_MS;
  const seen: number[] = [];
  let pending = 0;
  let nextAt = 0;

  return {
    waitMs() {
      const now = performance.now();
      while (seen[0] !== undefined && seen[0] + windowMs <= now) seen.shift();
      if (pending >= atMost) return Number.POSITIVE_INFINITY;
      const tooMany = pending + seen.length - atMost;
      const roomAt = tooMany < 0 ? 0 : (seen[tooMany] ?? now) + windowMs;
      return Math.max(0, Math.ceil(Math.max(nextAt, roomAt) - now));
    },
    start() {
      pending += 1;
      nextAt = Math.max(nextAt, performance.now() - CATCH_UP_MS) + intervalMs;
      let open = true;
      /** Whether it was still open. */
      const end = () => {
        if (!open) return false;
        open = false;
        pending -= 1;
        return true;
      };
      return {
        seen() {
          if (end()) seen.push(performance.now());
        },
        cancel: () => void end(),
      };
    },
  };
}

/** No limit. */
export const UNPACED: Pace = { waitMs: () => 0, start: () => ({ seen() {}, cancel() {} }) };
