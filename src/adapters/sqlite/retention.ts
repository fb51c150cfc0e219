import type { Database } from './database.ts';

const EVERY_MS = 10_000;

/** Removes rows that have expired, in small steps between which other calls run. */
export interface Retention {
  /** Removes everything that has expired now. */
  prune(): Promise<void>;
  stop(): void;
}

export function startRetention(database: Database): Retention {
  let running = false;
  let stopped = false;

  async function prune() {
    if (running) return;
    running = true;
    try {
      while (!stopped && (await database.write(null, 'removeExpiredContents'))) {}
      while (!stopped && (await database.write(null, 'removeExpired'))) {}
      while (!stopped && (await database.write(null, 'dropFailedNotices'))) {}
    } finally {
      running = false;
    }
  }

  const timer = setInterval(() => prune().catch(() => {}), EVERY_MS).unref();
  return {
    prune,
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}
