import type { DatabaseSync } from 'node:sqlite';
import type { GroupCommit } from './group-commit.ts';

/** Row of the table `books` that stores the clock. */
const NAME = 'clock';
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

/** Both clocks at one moment. */
interface StoredClock {
  readonly file: number;
  readonly wall: number;
}

export function openFileClock(db: DatabaseSync): FileClock {
  const row = db.prepare('SELECT value FROM books WHERE name = ?').get(NAME);
  const wall = Date.now();
  const stored: StoredClock = row ? JSON.parse(String(row.value)) : { file: wall, wall };
  const start = stored.file + Math.max(0, wall - stored.wall) - performance.now();
  return { now: () => Math.floor(start + performance.now()) };
}

/** Stores both clocks now, whenever the wall clock has jumped, and at the end. */
export function persistFileClock(
  db: DatabaseSync,
  { now }: FileClock,
  groupCommit: GroupCommit,
): { stop(): void } {
  const write = db.prepare('INSERT OR REPLACE INTO books VALUES (?, ?)');
  let storedDifference: number | null = null;

  function store() {
    const wall = Date.now();
    const difference = wall - now();
    if (storedDifference !== null && Math.abs(difference - storedDifference) < JUMP_MS) return;
    const clock: StoredClock = { file: now(), wall };
    groupCommit
      .write(() => write.run(NAME, JSON.stringify(clock)))
      .then(
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
