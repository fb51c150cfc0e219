import type { ErrorCode } from '../errors.ts';

/** A response as it was sent, to be sent again unchanged. */
export interface CachedResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * The result of an accepted request: small, and enough to respond to it again when its response is
 * not stored.
 */
export interface Receipt {
  /** Ids of the accepted messages, in the order of the request. */
  readonly ids: readonly string[];
  /** Refused messages, by their index in the request. */
  readonly refused: readonly { readonly index: number; readonly code: ErrorCode }[];
}

/** What `claim` found for a key. */
export type IdempotencyClaim =
  /**
   * The caller must execute the request and end the claim.
   *
   * `seed`: at least 128 random bits, the same whenever this request is executed again. The ids of
   * its messages derive from it, so executing it again creates no second message.
   */
  | { readonly kind: 'new'; readonly seed: string }
  /** Another caller is executing the request. */
  | { readonly kind: 'in_progress' }
  /** The key was used with another fingerprint. */
  | { readonly kind: 'mismatch' }
  /**
   * The request was accepted. `response` is null if none was stored, or the stored one was dropped.
   */
  | { readonly kind: 'accepted'; readonly receipt: Receipt; readonly response: CachedResponse | null }
  /** A version before receipts existed stored the response. */
  | { readonly kind: 'responded'; readonly response: CachedResponse };

/**
 * Remembers which requests were made. `key` contains the API key and the route; `owner` is the API
 * key alone.
 *
 * - `claim` is atomic: of concurrent callers, exactly one gets `new`.
 * - A claim ends with `accept`, `release` (the next caller gets `new` with another seed) or
 *   `markUnknown`.
 * - An accepted claim is kept for RETAIN, counted from the first `accept`. A later `accept`, by any
 *   instance, adds or replaces the response.
 * - A claim with an unknown outcome, or whose instance died before ending it, goes to the next
 *   caller with the same fingerprint, who gets `new` with the same seed.
 * - In memory the number of claims is bounded. The owner with the most claims loses its oldest
 *   first, so no owner loses claims because of another. Responses are bounded separately, in the
 *   same way.
 */
export interface IdempotencyStore {
  claim(key: string, fingerprint: string, owner: string): Promise<IdempotencyClaim>;
  /** @param response null if none is to be stored yet */
  accept(key: string, receipt: Receipt, response: CachedResponse | null): Promise<void>;
  /** Forgets the claim: nothing came of the request. */
  release(key: string): Promise<void>;
  /** Ends the claim with an unknown outcome. */
  markUnknown(key: string): Promise<void>;
}
