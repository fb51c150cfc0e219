import type { IdempotencyLedger, StoredAnswer } from '../../core/ports.ts';
import { createRetained, type RetainedOptions } from './retained.ts';

/** An IdempotencyLedger in memory. */
export function createMemoryIdempotency(retained: RetainedOptions): IdempotencyLedger {
  const claimed = new Map<string, string>();
  const answered = createRetained<{ fingerprint: string; answer: StoredAnswer }>(retained);

  return {
    async claim(key, fingerprint) {
      const inProgress = claimed.get(key);
      if (inProgress !== undefined) return { kind: inProgress === fingerprint ? 'in_progress' : 'mismatch' };
      const known = answered.get(key);
      if (known) return known.fingerprint === fingerprint ? { kind: 'answered', answer: known.answer } : { kind: 'mismatch' };
      claimed.set(key, fingerprint);
      return { kind: 'new' };
    },
    async answer(key, answer) {
      const fingerprint = claimed.get(key);
      if (fingerprint === undefined) return;
      claimed.delete(key);
      answered.set(key, { fingerprint, answer }, answer.body.length + key.length);
    },
    async forget(key) {
      claimed.delete(key);
    },
  };
}
