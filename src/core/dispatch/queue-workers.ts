import { setTimeout as delay } from 'node:timers/promises';
import type { Events } from '../events.ts';
import type { Queue } from '../ports/queue.ts';
import { retryUntilAvailable } from '../retry-until-available.ts';

/** How long an id rests when a lane broke down over it. */
const AFTER_BREAKDOWN_MS = 5000;

/** How long a lane rests when there was nothing to be had of the queue. */
const AFTER_REFUSAL_MS = 1000;

export interface QueueWorkersOptions {
  readonly queue: Pick<Queue, 'take' | 'retry'>;
  readonly events: Events;
  readonly channel: string;
  /** How many ids are dealt with at once. */
  readonly count: number;
  /** Resolves when the lane of that number, from 0, may take an id. At once, if there is none. */
  readonly ready?: (lane: number, stopping: AbortSignal) => Promise<void>;
  /** Deals with an id that is due: when it resolves, the id is done or given back. */
  readonly handle: (id: string, stopping: AbortSignal) => Promise<void>;
}

/** Take what is due in a channel, each one id at a time. */
export interface QueueWorkers {
  /** Takes no more and resolves when what was taken is dealt with. */
  drain(): Promise<void>;
}

export function startQueueWorkers({
  queue,
  events,
  channel,
  count,
  ready,
  handle,
}: QueueWorkersOptions): QueueWorkers {
  const stop = new AbortController();
  const { signal } = stop;

  async function take(): Promise<string | null> {
    try {
      return await queue.take(channel, signal);
    } catch (error) {
      if (signal.aborted) return null;
      events.emit('lane.failed', '', error);
      await delay(AFTER_REFUSAL_MS, undefined, { signal }).catch(() => {});
      return null;
    }
  }

  async function lane(number: number): Promise<void> {
    while (!signal.aborted) {
      await ready?.(number, signal);
      const id = await take();
      if (id === null) continue;
      try {
        await handle(id, signal);
      } catch (error) {
        events.emit('lane.failed', id, error);
        await retryUntilAvailable(() => queue.retry(id, channel, AFTER_BREAKDOWN_MS)).catch(() => {});
      }
    }
  }

  const lanes = Array.from({ length: count }, (_, number) => lane(number));
  return {
    async drain() {
      stop.abort();
      await Promise.all(lanes);
    },
  };
}
