import type { DatabaseSync } from 'node:sqlite';
import type { Usage } from '../../../core/usage.ts';
import type { OnRollback } from './transactions.ts';

/** Procedures of the SharedState: its values as JSON, and their usage, one row for each bucket. */
export function createSharedState(db: DatabaseSync) {
  const readValue = db.prepare('SELECT value FROM books WHERE name = ?');
  const putValue = db.prepare('INSERT OR REPLACE INTO books VALUES (?, ?)');
  const readUsage = db.prepare(
    'SELECT leaves_at, messages, recipients FROM usage WHERE name = ? ORDER BY leaves_at',
  );
  const putBucket = db.prepare('INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?)');
  const dropBucket = db.prepare('DELETE FROM usage WHERE name = ? AND leaves_at = ?');
  const dropUsage = db.prepare('DELETE FROM usage WHERE name = ?');

  return {
    reads: {
      /** `json` is null if there is no such value. */
      readShared(name: string): { readonly json: string | null; readonly usage: Usage } {
        const row = readValue.get(name);
        const usage = readUsage.all(name).map(({ leaves_at, messages, recipients }) => ({
          leavesAt: Number(leaves_at),
          messages: Number(messages),
          recipients: Number(recipients),
        }));
        return { json: row ? String(row.value) : null, usage };
      },
    },
    writes: {
      /**
       * @param buckets those that have changed, with zero messages if they are gone
       * @param isWhole whether they are the whole usage
       */
      writeShared(
        _onRollback: OnRollback,
        name: string,
        json: string,
        buckets: Readonly<Usage>,
        isWhole: boolean,
      ): void {
        putValue.run(name, json);
        if (isWhole) dropUsage.run(name);
        for (const { leavesAt, messages, recipients } of buckets) {
          if (messages === 0) dropBucket.run(name, leavesAt);
          else putBucket.run(name, leavesAt, messages, recipients);
        }
      },
    },
  };
}
