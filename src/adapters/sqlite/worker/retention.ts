import type { DatabaseSync, StatementSync } from 'node:sqlite';

/** Maximum number of rows removed in one transaction. */
const STEP_ROWS = 100;
/** Maximum number of bytes removed in one transaction, unless a single row has more. */
const STEP_BYTES = 1024 * 1024;

/**
 * Procedure that removes rows that have expired, in small steps.
 *
 * @param now epoch ms by the clock of the file
 */
export function createRetention(db: DatabaseSync, now: () => number) {
  const expired = db.prepare(
    'SELECT place, bytes FROM deliveries WHERE leaves_at <= ? ORDER BY leaves_at LIMIT ?',
  );
  const remove = db.prepare('DELETE FROM deliveries WHERE place = ?');
  const removeClaims = db.prepare(
    'DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE leaves_at <= ? ORDER BY leaves_at LIMIT ?)',
  );
  const removeSent = db.prepare(
    'DELETE FROM sent_index WHERE id IN (SELECT id FROM sent_index WHERE leaves_at <= ? ORDER BY leaves_at LIMIT ?)',
  );
  const removeRows = (statement: StatementSync) => Number(statement.run(now(), STEP_ROWS).changes);

  return {
    writes: {
      /** Removes one step. Returns whether there may be more. */
      removeExpired(): boolean {
        let bytes = 0;
        const rows = expired.all(now(), STEP_ROWS) as unknown as { place: number; bytes: number }[];
        for (const row of rows) {
          if (bytes > 0 && bytes + row.bytes > STEP_BYTES) break;
          bytes += row.bytes;
          remove.run(row.place);
        }
        return rows.length > 0 || removeRows(removeClaims) > 0 || removeRows(removeSent) > 0;
      },
    },
  };
}
