import type { BullMq, Next } from './bullmq.ts';

/** At least so often somebody looks whether something is due: news from other instances may be lost. */
const LOOK_EVERY_MS = 5000;
/** How soon to look again when Redis could not be asked. */
const AGAIN_AFTER_MS = 500;

export interface ConsumerOptions {
  readonly bull: BullMq;
  readonly now: () => number;
  /** Takes what is next. */
  readonly next: () => Promise<Next>;
  /** Gives back what nobody waits for any more. */
  readonly giveBack: (id: string) => Promise<void>;
}

/** Those who wait for what is due in one channel. */
export interface Consumer {
  readonly bull: BullMq;
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
  const asking = new Set<Promise<void>>();
  let isDry = false;
  let isWoken = false;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;

  function ask() {
    while (!isClosed && asking.size < takers.size && !(isDry && asking.size > 0)) {
      isWoken = false;
      const asked = look().finally(() => {
        asking.delete(asked);
        if (!isDry || isWoken) ask();
      });
      asking.add(asked);
    }
  }

  async function look(): Promise<void> {
    try {
      const found = await next();
      isDry = found.id === null;
      if (found.id === null) wakeAfter(found.dueAt === null ? LOOK_EVERY_MS : found.dueAt - now());
      else await hand(found.id);
    } catch {
      isDry = true;
      wakeAfter(AGAIN_AFTER_MS);
    }
  }

  async function hand(id: string): Promise<void> {
    const [taker] = takers;
    if (!taker || isClosed) return giveBack(id);
    takers.delete(taker);
    taker(id);
  }

  function wake() {
    isWoken = true;
    ask();
  }

  function wakeAfter(ms: number) {
    clearTimeout(timer);
    if (!isClosed) timer = setTimeout(wake, Math.max(1, Math.min(ms, LOOK_EVERY_MS)));
  }

  return {
    bull,
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
      await Promise.all(asking);
    },
  };
}
