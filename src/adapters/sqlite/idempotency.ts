import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { IdempotencyClaim, IdempotencyStore } from '../../core/ports/idempotency-store.ts';
import type { GroupCommit, OnRollback } from './group-commit.ts';

const SEED_BYTES = 16;

interface Row {
  readonly fingerprint: string;
  readonly seed: string;
  readonly receipt: string | null;
  readonly answer: string | null;
}

/** An IdempotencyLedger in a file. A claim there that is not in progress here was suspended, or its process died. */
export function createSqliteIdempotency(
  db: DatabaseSync,
  commits: GroupCommit,
  retainMs: number,
): IdempotencyStore {
  const find = db.prepare(
    'SELECT fingerprint, seed, receipt, answer FROM idempotency WHERE key = ? AND coalesce(leaves_at > ?, 1)',
  );
  const insert = db.prepare('INSERT OR REPLACE INTO idempotency (key, fingerprint, seed) VALUES (?, ?, ?)');
  const accept = db.prepare('UPDATE idempotency SET receipt = ?, leaves_at = ? WHERE key = ?');
  const answer = db.prepare('UPDATE idempotency SET answer = ? WHERE key = ? AND receipt IS NOT NULL');
  const suspend = db.prepare('UPDATE idempotency SET leaves_at = ? WHERE key = ?');
  const remove = db.prepare('DELETE FROM idempotency WHERE key = ?');
  const inProgress = new Set<string>();

  // Nobody may ever take these up again: they go when their answers would have gone.
  db.prepare('UPDATE idempotency SET leaves_at = ? WHERE leaves_at IS NULL').run(commits.now() + retainMs);

  /** Ends a claim of this process; it stands again if that cannot be kept. */
  function end(key: string, onRollback: OnRollback, write: () => void): void {
    if (!inProgress.delete(key)) return;
    onRollback(() => inProgress.add(key));
    write();
  }

  function toClaim(row: Row | undefined, key: string, fingerprint: string): IdempotencyClaim {
    if (row === undefined) return { kind: 'new', seed: randomBytes(SEED_BYTES).toString('hex') };
    if (row.fingerprint !== fingerprint) return { kind: 'mismatch' };
    const given = row.answer && JSON.parse(row.answer);
    if (row.receipt !== null) return { kind: 'accepted', receipt: JSON.parse(row.receipt), answer: given };
    if (given !== null) return { kind: 'answered', answer: given };
    return inProgress.has(key) ? { kind: 'in_progress' } : { kind: 'new', seed: row.seed };
  }

  return {
    claim(key, fingerprint) {
      return commits.write((onRollback) => {
        const claim = toClaim(find.get(key, commits.now()) as Row | undefined, key, fingerprint);
        if (claim.kind !== 'new') return claim;
        insert.run(key, fingerprint, claim.seed);
        inProgress.add(key);
        onRollback(() => inProgress.delete(key));
        return claim;
      });
    },
    accept(key, receipt, given) {
      return commits.write((onRollback) => {
        end(key, onRollback, () => accept.run(JSON.stringify(receipt), commits.now() + retainMs, key));
        if (given) answer.run(JSON.stringify(given), key);
      });
    },
    release: (key) => commits.write((onRollback) => end(key, onRollback, () => remove.run(key))),
    markUnknown: (key) =>
      commits.write((onRollback) => end(key, onRollback, () => suspend.run(commits.now() + retainMs, key))),
  };
}
