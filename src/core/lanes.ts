import type { Events } from './events.ts';
import type { Queue } from './ports.ts';

/** How long an id rests when a lane broke down over it. */
const AFTER_BREAKDOWN_MS = 5000;

export interface LanesOptions {
  readonly queue: Pick<Queue, 'take' | 'retry'>;
  readonly events: Events;
  readonly channel: string;
  /** How many ids are dealt with at once. */
  readonly count: number;
  /** Deals with an id that is due: when it resolves, the id is done or given back. */
  readonly handle: (id: string, stopping: AbortSignal) => Promise<void>;
}

/** Take what is due in a channel, each one id at a time. */
export interface Lanes {
  /** Takes no more and resolves when what was taken is dealt with. */
  drain(): Promise<void>;
}

export function startLanes({ queue, events, channel, count, handle }: LanesOptions): Lanes {
  const stop = new AbortController();

  async function lane(): Promise<void> {
    while (!stop.signal.aborted) {
      const id = await queue.take(channel, stop.signal).catch((error: unknown) => {
        if (!stop.signal.aborted) events.emit('lane.failed', '', error);
        return null;
      });
      if (id === null) continue;
      try {
        await handle(id, stop.signal);
      } catch (error) {
        events.emit('lane.failed', id, error);
        await queue.retry(id, AFTER_BREAKDOWN_MS).catch(() => {});
      }
    }
  }

  const lanes = Array.from({ length: count }, lane);
  return {
    async drain() {
      stop.abort();
      await Promise.all(lanes);
    },
  };
}
