import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { CachedResponse, IdempotencyClaim, Receipt } from '../../../core/ports/idempotency-store.ts';
import type { OnRollback } from './transactions.ts';

const SEED_BYTES = 16;

interface Row {
  readonly fingerprint: string;
  readonly seed: string;
  readonly receipt: string | null;
  readonly response: string | null;
}

/**
 * Procedures of the IdempotencyStore. A stored claim without a receipt that is not in progress here
 * has an unknown outcome, or its process died.
 *
 * @param now epoch ms by the clock of the file
 */
export function createIdempotency(db: DatabaseSync, retainMs: number, now: () => number) {
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
    return now() + retainMs;
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
    writes: {
      claimKey(onRollback: OnRollback, key: string, fingerprint: string): IdempotencyClaim {
        const claim = toClaim(find.get(key, now()) as Row | undefined, key, fingerprint);
        if (claim.kind !== 'new') return claim;
        insert.run(key, fingerprint, claim.seed);
        inProgress.add(key);
        onRollback(() => inProgress.delete(key));
        return claim;
      },
      acceptKey(
        onRollback: OnRollback,
        key: string,
        receipt: Receipt,
        response: CachedResponse | null,
      ): void {
        end(key, onRollback, () => accept.run(JSON.stringify(receipt), expiry(), key));
        if (response) setResponse.run(JSON.stringify(response), key);
      },
      releaseKey: (onRollback: OnRollback, key: string): void => end(key, onRollback, () => remove.run(key)),
      markKeyUnknown: (onRollback: OnRollback, key: string): void =>
        end(key, onRollback, () => setExpiry.run(expiry(), key)),
    },
  };
}
