import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DeliveryStore, Unsettled } from '../ports/delivery-store.ts';
import type { Queue } from '../ports/queue.ts';
import { retryInBackground } from '../retry-until-available.ts';

/** Interval of looks at the wall clock, in ms. */
const LOOK_EVERY_MS = 1000;
/** Change of the wall clock, compared with the monotonic one, that counts as a jump, in ms. */
const JUMP_MS = 1000;
/** Messages dealt with before the event loop turns. */
const PER_TURN = 100;

export interface WallClockDeps {
  readonly queue: Pick<Queue, 'bringForward'>;
  readonly store: Pick<DeliveryStore, 'unsettled'>;
}

/**
 * Makes messages due by the wall clock after it has jumped ahead, or this machine was suspended: the queue counts on a monotonic clock, and would
 * serve `scheduledAt` and `expiresAt` too late. After a jump back messages are due too early instead; the dispatcher finds out when it takes them.
 */
export function watchWallClock({ queue, store }: WallClockDeps): { stop(): void } {
  let known = offset();
  let stopped = false;

  async function hastenAll(): Promise<void> {
    let count = 0;
    for await (const message of store.unsettled()) {
      if (stopped) return;
      const at = wallTimeOf(message);
      if (at !== null) await queue.bringForward(message.id, message.account, Math.max(0, at - Date.now()));
      count += 1;
      if (count % PER_TURN === 0) await nextTurn();
    }
  }

  const timer = setInterval(() => {
    const jumpMs = offset() - known;
    if (Math.abs(jumpMs) < JUMP_MS) return;
    known += jumpMs;
    if (jumpMs > 0) retryInBackground(hastenAll);
  }, LOOK_EVERY_MS).unref();
  return {
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}

/** The wall clock, by the monotonic one: it changes only when the wall clock jumps or drifts, or the monotonic one stands still. */
function offset(): number {
  return Date.now() - performance.now();
}

/** When it must be looked at, in epoch ms. Null: whenever the queue says. */
function wallTimeOf({ status, scheduledAt, expiresAt }: Unsettled): number | null {
  return status === 'scheduled' ? scheduledAt : expiresAt;
}
