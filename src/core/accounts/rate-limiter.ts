/** Clocks are read to the millisecond. */
const SLACK_MS = 2;
/** A timer that fires late may be made up for, but not by more than this. */
const CATCH_UP_MS = 100;

/** When the server saw messages, as it is kept. Times are those of the books. */
export interface PaceBook {
  nextAt: number;
  seen: number[];
}

export function emptyPace(): PaceBook {
  return { nextAt: 0, seen: [] };
}

/** So many messages a second and no more, whichever connection they take. */
export interface Pace {
  /** How long the next message must wait, in ms: 0 if it may start now, Infinity until one that has started is seen. */
  waitMs(): number;
  /** A message starts. The server may see it at any moment from now on. */
  start(): void;
  /** The server has seen it by now. */
  seen(): void;
}

/**
 * A token bucket of one token, which spreads messages evenly, and above it the bound that counts: in no window of a second does the server see more
 * than `rate`, however long each message takes on its way.
 *
 * @param starting how many have started, and neither been seen nor given up
 * @param now epoch ms by the clock of the books
 */
export function paceIn(book: PaceBook, rate: number, starting: number, now: () => number): Pace {
  const atMost = Math.ceil(rate);
  const intervalMs = 1000 / rate;
  const windowMs = atMost * intervalMs + SLACK_MS;
  const { seen } = book;

  return {
    waitMs() {
      if (starting >= atMost) return Number.POSITIVE_INFINITY;
      const recent = seen.filter((at) => at + windowMs > now());
      const tooMany = starting + recent.length - atMost;
      const roomAt = tooMany < 0 ? 0 : (recent[tooMany] ?? now()) + windowMs;
      return Math.max(0, Math.ceil(Math.max(book.nextAt, roomAt) - now()));
    },
    start() {
      book.nextAt = Math.max(book.nextAt, now() - CATCH_UP_MS) + intervalMs;
    },
    seen() {
      while (seen[0] !== undefined && seen[0] + windowMs <= now()) seen.shift();
      seen.push(now());
    },
  };
}

/** No limit. */
export const UNPACED: Pace = { waitMs: () => 0, start() {}, seen() {} };
