import { randomBytes } from 'node:crypto';
import type { IdempotencyLedger, StoredAnswer } from '../../core/ports.ts';
import { createRetained, type RetainedOptions } from './retained.ts';

const SEED_BYTES = 16;

interface Claim {
  readonly fingerprint: string;
  readonly seed: string;
  readonly isSuspended: boolean;
}

/** An IdempotencyLedger in memory. */
export function createMemoryIdempotency(retained: RetainedOptions): IdempotencyLedger {
  const claimed = new Map<string, Claim>();
  const answered = createRetained<{ fingerprint: string; answer: StoredAnswer }>(retained);

  return {
    async claim(key, fingerprint) {
      const known = answered.get(key);
      const former = claimed.get(key);
      if ((known ?? former ?? { fingerprint }).fingerprint !== fingerprint) return { kind: 'mismatch' };
      if (known) return { kind: 'answered', answer: known.answer };
      if (former && !former.isSuspended) return { kind: 'in_progress' };
      const seed = former?.seed ?? randomBytes(SEED_BYTES).toString('hex');
      claimed.set(key, { fingerprint, seed, isSuspended: false });
      return { kind: 'new', seed };
    },
    async answer(key, answer) {
      const claim = claimed.get(key);
      if (!claim) return;
      claimed.delete(key);
      answered.set(key, { fingerprint: claim.fingerprint, answer }, answer.body.length + key.length);
    },
    async forget(key) {
      claimed.delete(key);
    },
    async suspend(key) {
      const claim = claimed.get(key);
      if (claim) claimed.set(key, { ...claim, isSuspended: true });
    },
  };
}
