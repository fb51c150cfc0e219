import { SECOND } from '../time.ts';

/** Clocks have a resolution of one millisecond. */
const SLACK_MS = 2;
/** Maximum delay of a timer that later messages make up for. */
const CATCH_UP_MS = 100;

/**
 * Spaces the messages of an account, whichever connection they take: plain JSON, times by the
 * shared clock.
 *
 * A token bucket with one token spreads messages evenly. A sliding window gives the guarantee: in
 * no second does the server see more than `rate` messages, however long each takes to arrive.
 */
export interface RateLimiter {
  /** When the token bucket has its next token. */
  nextAt: number;
  /** When the server saw each recent message, in ascending order. */
  committed: number[];
}

export function newRateLimiter(): RateLimiter {
  return { nextAt: 0, committed: [] };
}

/**
 * How long the next message must wait, in ms. 0: it may start now. Infinity: until a started
 * message is committed or canceled.
 *
 * @param rate messages per second
 * @param uncommitted started messages that are neither committed nor canceled
 */
export function waitForRate(
  { nextAt, committed }: RateLimiter,
  rate: number,
  uncommitted: number,
  now: number,
): number {
  const max = Math.ceil(rate);
  if (uncommitted >= max) return Number.POSITIVE_INFINITY;
  const windowMs = windowOf(rate);
  const recent = committed.filter((at) => at + windowMs > now);
  const excess = uncommitted + recent.length - max;
  const roomAt = excess < 0 ? 0 : (recent[excess] ?? now) + windowMs;
  return Math.max(0, Math.ceil(Math.max(nextAt, roomAt) - now));
}

/** Records that a message starts. The server may see it at any moment from now on. */
export function startMessage(limiter: RateLimiter, rate: number, now: number): void {
  limiter.nextAt = Math.max(limiter.nextAt, now - CATCH_UP_MS) + SECOND / rate;
}

/** Records that the server has seen a message by now. */
export function commitMessage({ committed }: RateLimiter, rate: number, now: number): void {
  const windowMs = windowOf(rate);
  while (committed[0] !== undefined && committed[0] + windowMs <= now) committed.shift();
  committed.push(now);
}

function windowOf(rate: number): number {
  return (Math.ceil(rate) * SECOND) / rate + SLACK_MS;
}
