import type { BullMqQueue, NextJob } from './bullmq.ts';

/** At least so often somebody looks whether something is due: news from other instances may be lost. */
const MAX_WAIT_MS = 5000;
/** How soon to look again when Redis could not be asked. */
const RETRY_AFTER_MS = 500;

export interface ConsumerOptions {
  readonly bull: BullMqQueue;
  readonly now: () => number;
  /** Takes what is next. */
  readonly next: () => Promise<NextJob>;
  /** Gives back what nobody waits for any more. */
  readonly giveBack: (id: string) => Promise<void>;
}

/** Those who wait for what is due in one channel. */
export interface Consumer {
  readonly queue: BullMqQueue;
  take(signal: AbortSignal): Promise<string>;
  /** Something may be due. */
  wake(): void;
  /** Takes no more, and resolves when what was on its way is given back. */
  close(): Promise<void>;
}

/**
 * Asks for the next id as long as somebody waits for one. While ids come, as many are asked for at once as there are takers; when there is none, nobody
 * asks until a timer or {@connection Consumer.wake} says that there may be one.
 */
export function createConsumer({ bull, now, next, giveBack }: ConsumerOptions): Consumer {
  const takers = new Set<(id: string) => void>();
  const fetches = new Set<Promise<void>>();
  let isEmpty = false;
  let isWoken = false;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;

  function fetchMore() {
    while (!isClosed && fetches.size < takers.size && !(isEmpty && fetches.size > 0)) {
      isWoken = false;
      const asked = fetchOne().finally(() => {
        fetches.delete(asked);
        if (!isEmpty || isWoken) fetchMore();
      });
      fetches.add(asked);
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
    queue: bull,
    take(signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const taker = (id: string) => {
          signal.removeEventListener('abort', leave);
          resolve(id);
        };
        const leave = () => {
          takers.delete(taker);
          if (takers.size === 0) clearTimeout(timer);
          reject(signal.reason);
        };
        signal.addEventListener('abort', leave, { once: true });
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
