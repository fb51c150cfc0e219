import type { ErrorCode } from '../errors.ts';

/** An answer as it went out, to be given again word for word. */
export interface CachedResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What a request came to: small, and enough to respond to it again when its answer is not stored. */
export interface Receipt {
  /** The ids of the messages that were accepted, in the order of the request. */
  readonly ids: readonly string[];
  /** The messages that were refused, by their index in the request. */
  readonly refused: readonly { readonly index: number; readonly code: ErrorCode }[];
}

export type IdempotencyClaim =
  /** `seed`: at least 128 random bits, the same whenever this request is taken up again. What it makes gets its ids from it, and so is made once. */
  | { readonly kind: 'new'; readonly seed: string }
  | { readonly kind: 'in_progress' }
  | { readonly kind: 'mismatch' }
  /** `answer`: null if none was stored, or the stored one was dropped. */
  | { readonly kind: 'accepted'; readonly receipt: Receipt; readonly answer: CachedResponse | null }
  /** Written by a former version, which stored no receipt. */
  | { readonly kind: 'answered'; readonly answer: CachedResponse };

/**
 * Remembers which requests were made. `key` already names the API key and the route; `owner` is the API key alone.
 *
 * - `claim` is atomic: of any number of callers, one gets `new`.
 * - A claim ends in `accept`, in `forget` (the next caller gets `new`, with another seed), or in `suspend`.
 * - An accepted claim is kept for RETAIN, counted from the first `accept`. A later `accept`, by any instance, adds or replaces the answer.
 * - A claim that was suspended, or whose instance died before it ended, is taken up by the next caller with the same fingerprint, who gets `new`
 *   with the same seed.
 * - In memory it is bounded. The owner with the most claims loses its oldest first, so that one owner never costs another its claims. Answers
 *   are bounded apart from claims, in the same way.
 */
export interface IdempotencyStore {
  claim(key: string, fingerprint: string, owner: string): Promise<IdempotencyClaim>;
  /** @param answer null if none is to be stored yet */
  accept(key: string, receipt: Receipt, answer: CachedResponse | null): Promise<void>;
  release(key: string): Promise<void>;
  /** What came of it is not known. */
  markUnknown(key: string): Promise<void>;
}
