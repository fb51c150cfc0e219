/** The way to the server takes not always as long: so much is kept free between one full window and the next. */
const SLACK_MS = 20;
/** A timer that fires late may be made up for, but not by more than this. */
const CATCH_UP_MS = 100;

/** Leave to start one message. */
export interface Start {
  /** The message goes out now. Until then it counts as one that may do so at any moment. */
  begun(): void;
  /** It never went out, or has been counted already. */
  cancel(): void;
}

/** So many messages a second and no more, whichever connection they take. */
export interface Pace {
  /** How long the next message must wait, in ms: 0 if it may start now, Infinity until one that has leave to start has done so. */
  waitMs(): number;
  start(): Start;
}

/** A token bucket of one token, which spreads messages evenly, and above it the bound that counts: no window of a second holds more than `rate`. */
export function createPace(rate: number): Pace {
  const atMost = Math.ceil(rate);
  const intervalMs = 1000 / rate;
  const windowMs = atMost * intervalMs + SLACK_MS;
  const begun: number[] = [];
  let pending = 0;
  let nextAt = 0;

  return {
    waitMs() {
      const now = performance.now();
      while (begun[0] !== undefined && begun[0] + windowMs <= now) begun.shift();
      if (pending >= atMost) return Number.POSITIVE_INFINITY;
      const tooMany = pending + begun.length - atMost;
      const roomAt = tooMany < 0 ? 0 : (begun[tooMany] ?? now) + windowMs;
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
        begun() {
          if (end()) begun.push(performance.now());
        },
        cancel: () => void end(),
      };
    },
  };
}

/** No limit. */
export const UNPACED: Pace = { waitMs: () => 0, start: () => ({ begun() {}, cancel() {} }) };
