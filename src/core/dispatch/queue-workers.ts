import { setTimeout as delay } from 'node:timers/promises';
import type { Events } from '../events.ts';
import type { Queue } from '../ports/queue.ts';
import { retryUntilAvailable } from '../retry-until-available.ts';

/** Delay before an id is tried again after its handler threw. */
const AFTER_FAILURE_MS = 5000;

/** Pause of a worker after the queue failed to return an id. */
const AFTER_FAILED_TAKE_MS = 1000;

/**
 * Workers that have neither taken nor finished an id for this long, in ms, wait for a server. They
 * need few turns of the event loop.
 */
const STALLED_AFTER_MS = 100;

export interface QueueWorkersOptions {
  readonly queue: Pick<Queue, 'take' | 'retry'>;
  readonly events: Events;
  readonly channel: string;
  /** Number of workers: ids handled at once. */
  readonly count: number;
  /**
   * Resolves when this worker, numbered from 0, may take an id. Without it a worker never waits.
   */
  readonly ready?: (worker: number, stopping: AbortSignal) => Promise<void>;
  /** Handles a due id. Once it resolves, the id is done or back in the queue, or will be. */
  readonly handle: (id: string, turn: Turn) => Promise<void>;
}

/** What a worker passes to the handler of an id. */
export interface Turn {
  /** Aborted when the workers are drained. */
  readonly stopping: AbortSignal;
  /** Resolves when what this worker handled before is recorded. */
  readonly earlier: Promise<void>;
  /** Lets the worker take its next id while the result of this one is being recorded. */
  recordMeanwhile(recording: Promise<void>): void;
}

/**
 * Loops that each take one due id at a time from a channel and handle it. While the result of one id
 * is being recorded, its worker already takes the next, so that a backend can store both in one step.
 */
export interface QueueWorkers {
  /** Whether ids are being handled, and one was taken or finished in the last 100 ms. */
  isBusy(): boolean;
  /** Takes no more ids. Resolves when every id taken so far has been handled. */
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
  let handling = 0;
  /** When an id was last taken or finished, by `performance.now()`. */
  let progressAt = 0;

  function countHandling(change: 1 | -1) {
    handling += change;
    progressAt = performance.now();
  }

  async function take(): Promise<string | null> {
    try {
      return await queue.take(channel, signal);
    } catch (error) {
      if (signal.aborted) return null;
      events.emit('worker.failed', '', error);
      await delay(AFTER_FAILED_TAKE_MS, undefined, { signal }).catch(() => {});
      return null;
    }
  }

  async function runWorker(worker: number): Promise<void> {
    let earlier = Promise.resolve();
    while (!signal.aborted) {
      await ready?.(worker, signal);
      const id = await take();
      if (id === null) continue;
      countHandling(1);
      try {
        await handle(id, {
          stopping: signal,
          earlier,
          recordMeanwhile(recording) {
            earlier = recording.catch((error) => retryLater(id, error));
          },
        });
      } catch (error) {
        // A backend that fails now fails for the next id, too.
        await earlier;
        await retryLater(id, error);
      } finally {
        countHandling(-1);
      }
    }
    await earlier;
  }

  async function retryLater(id: string, error: unknown): Promise<void> {
    events.emit('worker.failed', id, error);
    await retryUntilAvailable(() => queue.retry(id, channel, AFTER_FAILURE_MS)).catch(() => {});
  }

  const workers = Array.from({ length: count }, (_, worker) => runWorker(worker));
  return {
    isBusy: () => handling > 0 && performance.now() - progressAt < STALLED_AFTER_MS,
    async drain() {
      stop.abort();
      await Promise.all(workers);
    },
  };
}
