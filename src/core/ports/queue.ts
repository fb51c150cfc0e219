import type { Priority } from '../message/message.ts';

/**
 * Holds ids that are due, or will be. Knows nothing of messages.
 *
 * - Ids stand in channels, one for each sending account: what one cannot send now never holds up another. An id stands in one channel at a time.
 * - `push` is idempotent by id. An id that is taken when it is pushed is due again once it is done.
 * - `take` hides an id from everybody until `done` or `retry`; aborting it never loses one.
 * - Of the ids that are due in a channel, `high` goes first, then the one that has been due longest, then the one pushed first.
 * - Delays are measured on a monotonic clock.
 * - An id taken and not settled before a crash, or by another instance that has died, is due again.
 */
export interface Queue {
  push(id: string, options: { channel: string; afterMs: number; priority: Priority }): Promise<void>;
  /** Waits for the channel's next due id. Rejects with the signal's reason once that is aborted. */
  take(channel: string, signal: AbortSignal): Promise<string>;
  /** The id is settled: forget it. */
  done(id: string, channel: string): Promise<void>;
  /** Give a taken id back, due again after `afterMs`; in another channel, if `to` names one. */
  retry(id: string, channel: string, afterMs: number, to?: string): Promise<void>;
  /** An id that waits is due after `afterMs` in place of when it was. Ignored if it is unknown or taken. */
  reschedule(id: string, channel: string, afterMs: number): Promise<void>;
  /** An id that waits is due after `afterMs` at the latest. Ignored if it is unknown, taken, or due sooner. */
  bringForward(id: string, channel: string, afterMs: number): Promise<void>;
}
