import { SECOND } from './time.ts';

/** Interval between writes, in ms: one write for many changes. */
const WRITE_EVERY_MS = SECOND;

/** Writes what a caller has collected in memory, one write after the other. */
export interface DelayedWrites {
  /** Writes within a second. */
  schedule(): void;
  /** Writes now, once the write under way has ended. */
  flush(): Promise<void>;
  /** Writes for the last time: what that write schedules is dropped. */
  drain(): Promise<void>;
}

/** @param write Writes what was collected. Never rejects. */
export function createDelayedWrites(write: () => Promise<void>): DelayedWrites {
  let timer: NodeJS.Timeout | undefined;
  let written: Promise<void> = Promise.resolve();

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    written = written.then(write);
    return written;
  }

  return {
    schedule() {
      timer ??= setTimeout(flush, WRITE_EVERY_MS).unref();
    },
    flush,
    drain: () => flush().finally(() => clearTimeout(timer)),
  };
}
