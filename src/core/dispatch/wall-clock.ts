import { setImmediate as nextTurn } from 'node:timers/promises';
import { channelOf } from '../delivery/lookup.ts';
import type { DeliveryStore, Unsettled } from '../ports/delivery-store.ts';
import type { Queue } from '../ports/queue.ts';
import { retryInBackground } from '../retry-until-available.ts';
import { SECOND } from '../time.ts';

const CHECK_EVERY_MS = SECOND;
/** A change of the wall clock, relative to the monotonic clock, that counts as a jump. */
const JUMP_MS = SECOND;
/** Messages handled before the event loop gets a turn. */
const MESSAGES_PER_TURN = 100;

export interface WallClockDeps {
  readonly queue: Pick<Queue, 'bringForward'>;
  readonly store: Pick<DeliveryStore, 'unsettled'>;
}

/**
 * Reschedules messages after the wall clock jumped ahead or the machine was suspended.
 *
 * The queue measures waits on a monotonic clock, so without this it would honour `scheduledAt` and
 * `expiresAt` too late. After a jump back, messages become due too early instead. The dispatcher
 * detects that when it takes them.
 */
export function watchWallClock({ queue, store }: WallClockDeps): { stop(): void } {
  let knownOffsetMs = wallClockOffset();
  let stopped = false;

  async function bringAllForward(): Promise<void> {
    let count = 0;
    for await (const message of store.unsettled()) {
      if (stopped) return;
      const at = wallTimeOf(message);
      if (at !== null) await queue.bringForward(message.id, channelOf(message), Math.max(0, at - Date.now()));
      count += 1;
      if (count % MESSAGES_PER_TURN === 0) await nextTurn();
    }
  }

  const timer = setInterval(() => {
    const jumpMs = wallClockOffset() - knownOffsetMs;
    if (Math.abs(jumpMs) < JUMP_MS) return;
    knownOffsetMs += jumpMs;
    if (jumpMs > 0) retryInBackground(bringAllForward);
  }, CHECK_EVERY_MS).unref();
  return {
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}

/**
 * Returns the distance between the wall clock and the monotonic clock, in ms. It changes only when
 * the wall clock jumps or drifts, or the monotonic clock pauses during a suspend.
 */
function wallClockOffset(): number {
  return Date.now() - performance.now();
}

/** Returns when a message must be handled, in epoch ms. Null if only the queue decides. */
function wallTimeOf({ status, scheduledAt, expiresAt }: Unsettled): number | null {
  return status === 'scheduled' ? scheduledAt : expiresAt;
}
