import { hash, randomBytes } from 'node:crypto';
import type { CachedResponse, IdempotencyStore, Receipt } from '../../core/ports/idempotency-store.ts';
import { createRetained, type RetainedOptions } from './retained.ts';

const SEED_BYTES = 16;
/** Approximate size of a claim without its receipt, in bytes. */
const CLAIM_BYTES = 512;
/** Approximate size of an id or a refusal in a receipt, in bytes. */
const RECEIPT_ITEM_BYTES = 64;

export interface MemoryIdempotencyOptions {
  readonly claims: RetainedOptions;
  readonly responses: RetainedOptions;
}

interface Claim {
  readonly fingerprint: string;
  readonly seed: string;
  readonly owner: string;
  /** Null: in progress, or the outcome is unknown. */
  readonly receipt: Receipt | null;
}

/**
 * Creates an IdempotencyStore in memory. Claims are small and bounded separately from responses,
 * which may be large.
 */
export function createMemoryIdempotency(options: MemoryIdempotencyOptions): IdempotencyStore {
  const inProgress = new Map<string, Claim>();
  const ended = createRetained<Claim>(options.claims);
  const responses = createRetained<CachedResponse>(options.responses);

  /** Ends a claim that is in progress. */
  function end(name: string, receipt: Receipt | null) {
    const claim = inProgress.get(name);
    if (!claim) return;
    inProgress.delete(name);
    ended.set(name, { ...claim, receipt }, { owner: claim.owner, bytes: sizeOf(receipt) });
  }

  return {
    async claim(key, fingerprint, owner) {
      const name = toName(key);
      const running = inProgress.get(name);
      const known = running ?? ended.get(name);
      if (known && known.fingerprint !== fingerprint) return { kind: 'mismatch' };
      if (running) return { kind: 'in_progress' };
      if (known?.receipt)
        return { kind: 'accepted', receipt: known.receipt, response: responses.get(name) ?? null };
      const seed = known?.seed ?? randomBytes(SEED_BYTES).toString('hex');
      ended.delete(name);
      responses.delete(name);
      inProgress.set(name, { fingerprint, seed, owner, receipt: null });
      return { kind: 'new', seed };
    },
    async accept(key, receipt, response) {
      const name = toName(key);
      end(name, receipt);
      const claim = ended.get(name);
      if (claim && response)
        responses.set(name, response, { owner: claim.owner, bytes: response.body.length });
    },
    async release(key) {
      inProgress.delete(toName(key));
    },
    async markUnknown(key) {
      end(toName(key), null);
    },
  };
}

/** Hashes the key, so that a long key uses no more memory than a short one. */
function toName(key: string): string {
  return hash('sha256', key, 'base64');
}

function sizeOf(receipt: Receipt | null): number {
  const items = receipt === null ? 0 : receipt.ids.length + receipt.refused.length;
  return CLAIM_BYTES + RECEIPT_ITEM_BYTES * items;
}
