import type { DatabaseSync } from 'node:sqlite';
import type { StoredClock } from '../protocol.ts';
import type { OnRollback } from './transactions.ts';

/** Row of the table `books` that stores the clock. */
const NAME = 'clock';

export function readClock(db: DatabaseSync): StoredClock | null {
  const row = db.prepare('SELECT value FROM books WHERE name = ?').get(NAME);
  return row ? JSON.parse(String(row.value)) : null;
}

/** Procedure that stores the clock of the file, see ../clock.ts. */
export function createClockRow(db: DatabaseSync) {
  const write = db.prepare('INSERT OR REPLACE INTO books VALUES (?, ?)');
  return {
    writes: {
      storeClock: (_onRollback: OnRollback, clock: StoredClock): void =>
        void write.run(NAME, JSON.stringify(clock)),
    },
  };
}
