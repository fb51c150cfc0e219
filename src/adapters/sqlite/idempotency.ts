import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { IdempotencyClaim, IdempotencyLedger } from '../../core/ports.ts';
import type { Commits } from './commits.ts';

const SEED_BYTES = 16;

interface Row {
  readonly fingerprint: string;
  readonly seed: string;
  readonly answer: string | null;
}

/** An IdempotencyLedger in a file. A claim there that is not in progress here was suspended, or its process died. */
export function createSqliteIdempotency(db: DatabaseSync, commits: Commits, retainMs: number): IdempotencyLedger {
  const find = db.prepare('SELECT fingerprint, seed, answer FROM idempotency WHERE key = ? AND coalesce(leaves_at > ?, 1)');
  const insert = db.prepare('INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, NULL, NULL)');
  const answer = db.prepare('UPDATE idempotency SET answer = ?, leaves_at = ? WHERE key = ?');
  const suspend = db.prepare('UPDATE idempotency SET leaves_at = ? WHERE key = ?');
  const remove = db.prepare('DELETE FROM idempotency WHERE key = ?');
  const inProgress = new Set<string>();

  // Nobody may ever take these up again: they go when their answers would have gone.
  db.prepare('UPDATE idempotency SET leaves_at = ? WHERE leaves_at IS NULL').run(Date.now() + retainMs);

  /** Ends a claim of this process; it stands again if that cannot be kept. */
  function end(key: string, write: () => void): Promise<void> {
    return commits.write((onRollback) => {
      if (!inProgress.delete(key)) return;
      onRollback(() => inProgress.add(key));
      write();
    });
  }

  function judge(row: Row | undefined, key: string, fingerprint: string): IdempotencyClaim {
    if (row === undefined) return { kind: 'new', seed: randomBytes(SEED_BYTES).toString('hex') };
    if (row.fingerprint !== fingerprint) return { kind: 'mismatch' };
    if (row.answer !== null) return { kind: 'answered', answer: JSON.parse(row.answer) };
    return inProgress.has(key) ? { kind: 'in_progress' } : { kind: 'new', seed: row.seed };
  }

  return {
    claim(key, fingerprint) {
      return commits.write((onRollback) => {
        const claim = judge(find.get(key, Date.now()) as Row | undefined, key, fingerprint);
        if (claim.kind !== 'new') return claim;
        insert.run(key, fingerprint, claim.seed);
        inProgress.add(key);
        onRollback(() => inProgress.delete(key));
        return claim;
      });
    },
    answer: (key, given) => end(key, () => answer.run(JSON.stringify(given), Date.now() + retainMs, key)),
    forget: (key) => end(key, () => remove.run(key)),
    suspend: (key) => end(key, () => suspend.run(Date.now() + retainMs, key)),
  };
}
