import type { BullMqQueue } from './bullmq.ts';

/** Maximum wait between two fetches, in ms: messages from other instances may be lost. */
const MAX_WAIT_MS = 5000;
/** Wait before the next fetch after one failed, in ms. */
const RETRY_AFTER_MS = 500;
/** Time for which an id that was fetched for a worker waits for it to take one, in ms. */
const HOLD_MS = 100;

/** What a fetch found. */
export interface Fetched {
  /** The id, if one was due and is to be handed to a taker. */
  readonly id: string | null;
  /** Number of ids that are still due. */
  readonly left: number;
  /** When the next waiting id is due, in epoch ms; null if there is none. */
  readonly dueAt: number | null;
}

export interface ConsumerOptions {
  readonly queue: BullMqQueue;
  /** Epoch ms by the clock of the connection. */
  readonly now: () => number;
  /** Takes the next due id. */
  readonly next: () => Promise<Fetched>;
  /** Returns an id to the queue that no taker waits for. */
  readonly giveBack: (id: string) => Promise<void>;
}

/** Hands the due ids of one channel to the takers of this instance. */
export interface Consumer {
  readonly queue: BullMqQueue;
  take(signal: AbortSignal): Promise<string>;
  /** Fetches again, because an id may be due. */
  wake(): void;
  /**
   * Begins a fetch that is part of another step. The result is a function to call with what it
   * found.
   */
  beginFetch(): (found: Fetched) => void;
  /** Fetches no more, and resolves when no fetch is under way. */
  close(): Promise<void>;
}

/**
 * Fetches ids while takers wait: as many at once as there are takers and due ids. When none is due,
 * the next fetch starts by a timer or by {@link Consumer.wake}.
 */
export function createConsumer({ queue, now, next, giveBack }: ConsumerOptions): Consumer {
  const takers = new Set<(id: string) => void>();
  const fetches = new Set<Promise<void>>();
  /** Fetched ids that wait for a taker, with the timer that gives each back. */
  const held = new Map<string, NodeJS.Timeout>();
  /** Number of ids that are due, as far as known. */
  let left = 1;
  let wakes = 0;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;

  function fetchMore() {
    while (!isClosed && fetches.size < Math.min(takers.size, left)) {
      const fetching = fetchOne().finally(() => {
        fetches.delete(fetching);
        fetchMore();
      });
      fetches.add(fetching);
    }
  }

  async function fetchOne(): Promise<void> {
    const end = beginFetch();
    try {
      end(await next());
    } catch {
      left = 0;
      wakeAfter(RETRY_AFTER_MS);
    }
  }

  function beginFetch(): (found: Fetched) => void {
    const before = wakes;
    return (found) => {
      // An id that became due meanwhile may not have been seen.
      left = wakes === before ? found.left : Math.max(1, found.left);
      if (left === 0) wakeAfter(found.dueAt === null ? MAX_WAIT_MS : found.dueAt - now());
      if (found.id !== null) handOver(found.id);
    };
  }

  function handOver(id: string) {
    const [taker] = takers;
    if (taker && !isClosed) {
      takers.delete(taker);
      taker(id);
    } else {
      const release = () => {
        held.delete(id);
        giveBack(id).catch(() => {});
      };
      held.set(id, setTimeout(release, isClosed ? 0 : HOLD_MS));
    }
  }

  function takeHeld(): string | undefined {
    const [first] = held;
    if (!first) return undefined;
    const [id, release] = first;
    clearTimeout(release);
    held.delete(id);
    return id;
  }

  function wake() {
    wakes += 1;
    left = Math.max(1, left);
    fetchMore();
  }

  function wakeAfter(ms: number) {
    clearTimeout(timer);
    if (!isClosed) timer = setTimeout(wake, Math.max(1, Math.min(ms, MAX_WAIT_MS)));
  }

  return {
    queue,
    take(signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const id = takeHeld();
        if (id !== undefined) return resolve(id);
        const taker = (taken: string) => {
          signal.removeEventListener('abort', onAbort);
          resolve(taken);
        };
        const onAbort = () => {
          takers.delete(taker);
          reject(signal.reason);
        };
        signal.addEventListener('abort', onAbort, { once: true });
        takers.add(taker);
        fetchMore();
      });
    },
    wake,
    beginFetch,
    async close() {
      isClosed = true;
      clearTimeout(timer);
      for (const release of held.values()) clearTimeout(release);
      held.clear();
      await Promise.all(fetches);
    },
  };
}
