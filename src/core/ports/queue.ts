import type { Priority } from '../message/message.ts';

/**
 * Holds ids until they are due. Knows nothing about messages.
 *
 * - Each id is in one channel. There is a channel for each sending account, so an account that
 *   cannot send never delays another, and one for each mailbox, so that a search never delays an
 *   attempt.
 * - `push` is idempotent by id. An id that is pushed while it is taken is due again once it is
 *   done.
 * - `take` hides an id from other takers until `done` or `retry`. Aborting it never loses an id.
 * - Due ids of a channel are taken in this order: `high` priority first, then the one that has been
 *   due longest, then the one pushed first.
 * - Delays are measured by a monotonic clock.
 * - An id that was taken before a crash, or by an instance that has died, is due again.
 */
export interface Queue {
  push(id: string, options: { channel: string; afterMs: number; priority: Priority }): Promise<void>;
  /**
   * Waits for the next due id of the channel. Rejects with the signal's reason when it is aborted.
   */
  take(channel: string, signal: AbortSignal): Promise<string>;
  /** Removes an id, taken or not. */
  done(id: string, channel: string): Promise<void>;
  /** Returns a taken id to the queue, due after `afterMs`, in the channel `to` if it is given. */
  retry(id: string, channel: string, afterMs: number, to?: string): Promise<void>;
  /** Makes a waiting id due after `afterMs` instead. Ignored if the id is unknown or taken. */
  reschedule(id: string, channel: string, afterMs: number): Promise<void>;
  /**
   * Makes a waiting id due after `afterMs` at the latest. Ignored if it is unknown, taken or due
   * sooner.
   */
  bringForward(id: string, channel: string, afterMs: number): Promise<void>;
}
