import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { IdempotencyClaim, IdempotencyStore } from '../../core/ports/idempotency-store.ts';
import type { GroupCommit, OnRollback } from './group-commit.ts';

const SEED_BYTES = 16;

interface Row {
  readonly fingerprint: string;
  readonly seed: string;
  readonly receipt: string | null;
  readonly response: string | null;
}

/**
 * Creates an IdempotencyStore in a file. A stored claim without a receipt that is not in progress
 * here has an unknown outcome, or its process died.
 */
export function createSqliteIdempotency(
  db: DatabaseSync,
  groupCommit: GroupCommit,
  retainMs: number,
): IdempotencyStore {
  const find = db.prepare(
    'SELECT fingerprint, seed, receipt, answer AS response FROM idempotency WHERE key = ? AND coalesce(leaves_at > ?, 1)',
  );
  const insert = db.prepare('INSERT OR REPLACE INTO idempotency (key, fingerprint, seed) VALUES (?, ?, ?)');
  const accept = db.prepare('UPDATE idempotency SET receipt = ?, leaves_at = ? WHERE key = ?');
  const setResponse = db.prepare('UPDATE idempotency SET answer = ? WHERE key = ? AND receipt IS NOT NULL');
  const setExpiry = db.prepare('UPDATE idempotency SET leaves_at = ? WHERE key = ?');
  const remove = db.prepare('DELETE FROM idempotency WHERE key = ?');
  const inProgress = new Set<string>();

  // Claims that the previous process left in progress expire even if their request is never
  // repeated.
  db.prepare('UPDATE idempotency SET leaves_at = ? WHERE leaves_at IS NULL').run(expiry());

  function expiry(): number {
    return groupCommit.now() + retainMs;
  }

  /**
   * Ends a claim of this process with a write. The claim is in progress again if the write fails.
   */
  function end(key: string, onRollback: OnRollback, write: () => void): void {
    if (!inProgress.delete(key)) return;
    onRollback(() => inProgress.add(key));
    write();
  }

  function toClaim(row: Row | undefined, key: string, fingerprint: string): IdempotencyClaim {
    if (row === undefined) return { kind: 'new', seed: randomBytes(SEED_BYTES).toString('hex') };
    if (row.fingerprint !== fingerprint) return { kind: 'mismatch' };
    const response = row.response && JSON.parse(row.response);
    if (row.receipt !== null) return { kind: 'accepted', receipt: JSON.parse(row.receipt), response };
    if (response !== null) return { kind: 'responded', response };
    return inProgress.has(key) ? { kind: 'in_progress' } : { kind: 'new', seed: row.seed };
  }

  return {
    claim(key, fingerprint) {
      return groupCommit.write((onRollback) => {
        const claim = toClaim(find.get(key, groupCommit.now()) as Row | undefined, key, fingerprint);
        if (claim.kind !== 'new') return claim;
        insert.run(key, fingerprint, claim.seed);
        inProgress.add(key);
        onRollback(() => inProgress.delete(key));
        return claim;
      });
    },
    accept(key, receipt, response) {
      return groupCommit.write((onRollback) => {
        end(key, onRollback, () => accept.run(JSON.stringify(receipt), expiry(), key));
        if (response) setResponse.run(JSON.stringify(response), key);
      });
    },
    release: (key) => groupCommit.write((onRollback) => end(key, onRollback, () => remove.run(key))),
    markUnknown: (key) =>
      groupCommit.write((onRollback) => end(key, onRollback, () => setExpiry.run(expiry(), key))),
  };
}
