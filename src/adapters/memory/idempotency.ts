import { hash, randomBytes } from 'node:crypto';
import type { CachedResponse, IdempotencyStore, Receipt } from '../../core/ports/idempotency-store.ts';
import { createRetained, type RetainedOptions } from './retained.ts';

const SEED_BYTES = 16;
/** Roughly what a claim occupies, and each id or refusal of its receipt, in bytes. */
const CLAIM_BYTES = 512;
const RECEIPT_ITEM_BYTES = 64;

export interface MemoryIdempotencyOptions {
  readonly claims: RetainedOptions;
  readonly responses: RetainedOptions;
}

interface Claim {
  readonly fingerprint: string;
  readonly seed: string;
  readonly owner: string;
  /** Null: suspended. */
  readonly receipt: Receipt | null;
}

/** An IdempotencyLedger in memory. Claims are small, and bounded apart from the answers, which may be large. */
export function createMemoryIdempotency(options: MemoryIdempotencyOptions): IdempotencyStore {
  const inProgress = new Map<string, Claim>();
  const ended = createRetained<Claim>(options.claims);
  const answers = createRetained<CachedResponse>(options.responses);

  /** Ends a claim that is in progress. */
  function end(name: string, receipt: Receipt | null) {
    const claim = inProgress.get(name);
    if (!claim) return;
    inProgress.delete(name);
    ended.set(name, { ...claim, receipt }, { owner: claim.owner, bytes: bytesOf(receipt) });
  }

  return {
    async claim(key, fingerprint, owner) {
      const name = nameOf(key);
      const running = inProgress.get(name);
      const known = running ?? ended.get(name);
      if (known && known.fingerprint !== fingerprint) return { kind: 'mismatch' };
      if (running) return { kind: 'in_progress' };
      if (known?.receipt)
        return { kind: 'accepted', receipt: known.receipt, answer: answers.get(name) ?? null };
      const seed = known?.seed ?? randomBytes(SEED_BYTES).toString('hex');
      ended.delete(name);
      answers.delete(name);
      inProgress.set(name, { fingerprint, seed, owner, receipt: null });
      return { kind: 'new', seed };
    },
    async accept(key, receipt, answer) {
      const name = nameOf(key);
      end(name, receipt);
      const claim = ended.get(name);
      if (claim && answer) answers.set(name, answer, { owner: claim.owner, bytes: answer.body.length });
    },
    async release(key) {
      inProgress.delete(nameOf(key));
    },
    async markUnknown(key) {
      end(nameOf(key), null);
    },
  };
}

/** Of a fixed length, however long the key is. */
function nameOf(key: string): string {
  return hash('sha256', key, 'base64');
}

function bytesOf(receipt: Receipt | null): number {
  return (
    CLAIM_BYTES + RECEIPT_ITEM_BYTES * (receipt === null ? 0 : receipt.ids.length + receipt.refused.length)
  );
}
