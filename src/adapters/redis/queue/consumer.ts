import type { BullMqQueue, NextJob } from './bullmq.ts';

/** Maximum wait between two fetches, in ms: messages from other instances may be lost. */
const MAX_WAIT_MS = 5000;
/** Wait before the next fetch after one failed, in ms. */
const RETRY_AFTER_MS = 500;

export interface ConsumerOptions {
  readonly queue: BullMqQueue;
  /** Epoch ms by the clock of the connection. */
  readonly now: () => number;
  /** Takes the next due id. */
  readonly next: () => Promise<NextJob>;
  /** Returns an id to the queue that no taker waits for. */
  readonly giveBack: (id: string) => Promise<void>;
}

/** Hands the due ids of one channel to the takers of this instance. */
export interface Consumer {
  readonly queue: BullMqQueue;
  take(signal: AbortSignal): Promise<string>;
  /** Fetches again, because an id may be due. */
  wake(): void;
  /** Fetches no more, and resolves when every id that was being fetched is back in the queue. */
  close(): Promise<void>;
}

/**
 * Fetches ids while takers wait. While the channel has due ids, as many fetches run at once as
 * there are takers. When it has none, the next fetch starts by a timer or by {@link Consumer.wake}.
 */
export function createConsumer({ queue, now, next, giveBack }: ConsumerOptions): Consumer {
  const takers = new Set<(id: string) => void>();
  const fetches = new Set<Promise<void>>();
  let isEmpty = false;
  let isWoken = false;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;

  function fetchMore() {
    while (!isClosed && fetches.size < takers.size && !(isEmpty && fetches.size > 0)) {
      isWoken = false;
      const fetching = fetchOne().finally(() => {
        fetches.delete(fetching);
        if (!isEmpty || isWoken) fetchMore();
      });
      fetches.add(fetching);
    }
  }

  async function fetchOne(): Promise<void> {
    try {
      const found = await next();
      isEmpty = found.id === null;
      if (found.id === null) wakeAfter(found.dueAt === null ? MAX_WAIT_MS : found.dueAt - now());
      else await handOver(found.id);
    } catch {
      isEmpty = true;
      wakeAfter(RETRY_AFTER_MS);
    }
  }

  async function handOver(id: string): Promise<void> {
    const [taker] = takers;
    if (!taker || isClosed) return giveBack(id);
    takers.delete(taker);
    taker(id);
  }

  function wake() {
    isWoken = true;
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
        const taker = (id: string) => {
          signal.removeEventListener('abort', onAbort);
          resolve(id);
        };
        const onAbort = () => {
          takers.delete(taker);
          if (takers.size === 0) clearTimeout(timer);
          reject(signal.reason);
        };
        signal.addEventListener('abort', onAbort, { once: true });
        takers.add(taker);
        wake();
      });
    },
    wake,
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await Promise.all(fetches);
    },
  };
}
