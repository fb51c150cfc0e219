import type { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { GroupCommit } from './group-commit.ts';

const EVERY_MS = 10_000;
/** Maximum number of rows removed in one transaction. */
const STEP_ROWS = 100;
/** Maximum number of bytes removed in one transaction, unless a single row has more. */
const STEP_BYTES = 1024 * 1024;

/**
 * Removes rows that have been kept for RETAIN, in small steps between which the event loop runs.
 */
export interface Retention {
  /** Removes everything that has expired now. */
  prune(): Promise<void>;
  stop(): void;
}

export function startRetention(db: DatabaseSync, groupCommit: GroupCommit): Retention {
  const expired = db.prepare(
    'SELECT place, bytes FROM deliveries WHERE leaves_at <= ? ORDER BY leaves_at LIMIT ?',
  );
  const remove = db.prepare('DELETE FROM deliveries WHERE place = ?');
  const removeClaims = db.prepare(
    'DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE leaves_at <= ? ORDER BY leaves_at LIMIT ?)',
  );
  let running = false;
  let stopped = false;

  /** Removes one step. Returns whether there may be more. */
  function removeSome(): boolean {
    const now = groupCommit.now();
    let bytes = 0;
    const rows = expired.all(now, STEP_ROWS) as unknown as { place: number; bytes: number }[];
    for (const row of rows) {
      if (bytes > 0 && bytes + row.bytes > STEP_BYTES) break;
      bytes += row.bytes;
      remove.run(row.place);
    }
    return rows.length > 0 || Number(removeClaims.run(now, STEP_ROWS).changes) > 0;
  }

  async function prune() {
    if (running) return;
    running = true;
    try {
      while (!stopped && (await groupCommit.write(removeSome))) await nextTurn();
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
