import type { DatabaseSync } from 'node:sqlite';
import type { GroupCommit } from './group-commit.ts';

const NAME = 'clock';
const CHECK_EVERY_MS = 1000;
/** Change of the wall clock, compared with this one, after which both are written down again, in ms. */
const JUMP_MS = 1000;

/**
 * Epoch ms, whole ones, by a clock that goes with the file: it starts as the wall clock, runs monotonic, and goes on at the next start. So neither a jump of the
 * wall clock nor a restart after one changes how long something is kept, or waits. While nothing runs it goes by the wall clock, but never back.
 */
export interface FileClock {
  now(): number;
}

/** Both clocks at one moment, as they are kept: among the books. */
interface StoredClock {
  readonly file: number;
  readonly wall: number;
}

export function openFileClock(db: DatabaseSync): FileClock {
  const row = db.prepare('SELECT value FROM books WHERE name = ?').get(NAME);
  const wall = Date.now();
  const kept: StoredClock = row ? JSON.parse(String(row.value)) : { file: wall, wall };
  const start = kept.file + Math.max(0, wall - kept.wall) - performance.now();
  return { now: () => Math.floor(start + performance.now()) };
}

/** Writes down what the wall clock is by the clock of the file, now and whenever that has changed. */
export function persistFileClock(
  db: DatabaseSync,
  { now }: FileClock,
  commits: GroupCommit,
): { stop(): void } {
  const write = db.prepare('INSERT OR REPLACE INTO books VALUES (?, ?)');
  let known: number | null = null;

  function keep() {
    const wall = Date.now();
    const difference = wall - now();
    if (known !== null && Math.abs(difference - known) < JUMP_MS) return;
    const kept: StoredClock = { file: now(), wall };
    commits
      .write(() => write.run(NAME, JSON.stringify(kept)))
      .then(
        () => {
          known = difference;
        },
        () => {},
      );
  }

  keep();
  const timer = setInterval(keep, CHECK_EVERY_MS).unref();
  return {
    stop() {
      clearInterval(timer);
      keep();
    },
  };
}
