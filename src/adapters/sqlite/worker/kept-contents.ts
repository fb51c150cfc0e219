import type { DatabaseSync } from 'node:sqlite';
import type { OnRollback } from './transactions.ts';

export interface KeptContentsOptions {
  /** How long content is kept, in ms. */
  readonly retainContentMs: number;
  readonly maxBytes: number;
}

/** Contents of settled deliveries that cannot be retried, kept only to be read. */
export interface KeptContents {
  /** Keeps the content of a delivery that has settled, or drops it if nothing is kept. */
  settle(place: number, bytes: number, onRollback: OnRollback): void;
  /** Removes contents that are too old, one step. Returns whether there may be more. */
  removeExpired(onRollback: OnRollback): boolean;
}

interface KeptRow {
  readonly place: number;
  readonly bytes: number;
}

/** Maximum number of contents removed in one transaction. */
const STEP_ROWS = 20;

/** @param now epoch ms by the clock of the file */
export function createKeptContents(
  db: DatabaseSync,
  { retainContentMs, maxBytes }: KeptContentsOptions,
  now: () => number,
): KeptContents {
  // RETAIN_CONTENT may have been lowered.
  db.prepare('UPDATE kept_contents SET leaves_at = ?1 WHERE leaves_at > ?1').run(now() + retainContentMs);
  const keep = db.prepare('INSERT OR REPLACE INTO kept_contents VALUES (?, ?, ?)');
  const oldest = db.prepare(
    'SELECT place, bytes FROM kept_contents WHERE leaves_at <= ? ORDER BY leaves_at LIMIT ?',
  );
  const remove = db.prepare('DELETE FROM kept_contents WHERE place = ?');
  const removeContent = db.prepare('DELETE FROM contents WHERE place = ?');
  let total = Number(db.prepare('SELECT coalesce(sum(bytes), 0) AS bytes FROM kept_contents').get()?.bytes);

  function count(bytes: number, onRollback: OnRollback) {
    total += bytes;
    onRollback(() => {
      total -= bytes;
    });
  }

  function drop({ place, bytes }: KeptRow, onRollback: OnRollback) {
    remove.run(place);
    removeContent.run(place);
    count(-bytes, onRollback);
  }

  return {
    settle(place, bytes, onRollback) {
      if (retainContentMs === 0) {
        removeContent.run(place);
        return;
      }
      keep.run(place, now() + retainContentMs, bytes);
      count(bytes, onRollback);
      while (total > maxBytes) {
        const [row] = oldest.all(Number.MAX_SAFE_INTEGER, 1) as unknown as KeptRow[];
        if (row === undefined) return;
        drop(row, onRollback);
      }
    },
    removeExpired(onRollback) {
      const rows = oldest.all(now(), STEP_ROWS) as unknown as KeptRow[];
      for (const row of rows) drop(row, onRollback);
      return rows.length > 0;
    },
  };
}
