import type { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { GroupCommit } from './group-commit.ts';

const EVERY_MS = 10_000;
/** What goes in one transaction: so many rows, and no more than so many bytes unless one alone has them. */
const STEP_ROWS = 100;
const STEP_BYTES = 1024 * 1024;

/** Removes what has been kept for RETAIN, in small steps between which the event loop turns. */
export interface Retention {
  /** Removes what is due now. */
  prune(): Promise<void>;
  stop(): void;
}

export function startRetention(db: DatabaseSync, commits: GroupCommit): Retention {
  const due = db.prepare(
    'SELECT place, bytes FROM deliveries WHERE leaves_at <= ? ORDER BY leaves_at LIMIT ?',
  );
  const remove = db.prepare('DELETE FROM deliveries WHERE place = ?');
  const removeAnswers = db.prepare(
    'DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE leaves_at <= ? ORDER BY leaves_at LIMIT ?)',
  );
  let running = false;
  let stopped = false;

  /** Answers whether there may be more. */
  function removeSome(): boolean {
    const now = commits.now();
    let bytes = 0;
    const rows = due.all(now, STEP_ROWS) as unknown as { place: number; bytes: number }[];
    for (const row of rows) {
      if (bytes > 0 && bytes + row.bytes > STEP_BYTES) break;
      bytes += row.bytes;
      remove.run(row.place);
    }
    return rows.length > 0 || Number(removeAnswers.run(now, STEP_ROWS).changes) > 0;
  }

  async function prune() {
    if (running) return;
    running = true;
    try {
      while (!stopped && (await commits.write(removeSome))) await nextTurn();
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
