import type { Database } from './database.ts';
import { fileTime } from './file-time.ts';
import type { StoredClock } from './protocol.ts';

const CHECK_EVERY_MS = 1000;
/** Change of the wall clock, relative to this one, after which both are stored again, in ms. */
const JUMP_MS = 1000;

/**
 * A clock that belongs to the file.
 *
 * It starts at the wall clock's time, is monotonic while the process runs, and continues after a
 * restart. So neither a jump of the wall clock nor a restart after one changes how long something
 * is kept or waits. While no process runs it follows the wall clock, but never goes back.
 */
export interface FileClock {
  /** Epoch ms, an integer. */
  now(): number;
}

export function createFileClock(stored: StoredClock | null): FileClock {
  const start = fileTime(stored, Date.now()) - performance.now();
  return { now: () => Math.floor(start + performance.now()) };
}

/** Stores both clocks now, whenever the wall clock has jumped, and at the end. */
export function persistFileClock(database: Database): { stop(): void } {
  const { now } = database;
  let storedDifference: number | null = null;

  function store() {
    const wall = Date.now();
    const difference = wall - now();
    if (storedDifference !== null && Math.abs(difference - storedDifference) < JUMP_MS) return;
    database.write(null, 'storeClock', { file: now(), wall }).then(
      () => {
        storedDifference = difference;
      },
      () => {},
    );
  }

  store();
  const timer = setInterval(store, CHECK_EVERY_MS).unref();
  return {
    stop() {
      clearInterval(timer);
      store();
    },
  };
}
