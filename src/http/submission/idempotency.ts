import { AppError, type ErrorCode } from '../../core/errors.ts';
import { messageIdFrom } from '../../core/id.ts';
import type {
  CachedResponse,
  IdempotencyClaim,
  IdempotencyStore,
  Receipt,
} from '../../core/ports/idempotency-store.ts';
import { retryInBackground, runOrRetryInBackground } from '../../core/retry-until-available.ts';

/**
 * Returns the id for the message at an index of the request, the same whenever the request is
 * executed again. Undefined if any id will do.
 */
export type IdAt = (index: number) => string | undefined;

/**
 * A request that submits messages. A request without an Idempotency-Key uses only `submit` and
 * `toResponse`.
 */
export interface SubmissionRequest<Result> {
  /**
   * Whether the client waits for the outcome. A `202` has none, so it is not cached: a repeated
   * request waits again.
   */
  readonly waits: boolean;
  /** Throws if nothing was accepted. */
  submit(idAt: IdAt): Promise<Result>;
  toResponse(result: Result): CachedResponse | Promise<CachedResponse>;
  fingerprint(): string | Promise<string>;
  /** What to remember of the result, even if the response is lost. */
  toReceipt(result: Result): Receipt;
  /** Returns the current state of what an earlier request accepted. */
  restore(receipt: Receipt): Promise<Result>;
}

/** The key of an idempotent request. */
export interface IdempotencyScope {
  /** Names the API key, the route and the Idempotency-Key. */
  readonly key: string;
  /** Name of the API key. */
  readonly owner: string;
}

/**
 * Executes a request at most once per key. A repeated request gets the cached response unchanged.
 * If none is cached, or the client waits for an outcome that it does not contain, the response is
 * built from the current state of the messages.
 *
 * Once `submit` has resolved, the claim is never released, whatever fails. A repeated request gets
 * `idempotency_in_progress` at worst, never a second message.
 *
 * @param onCacheError Called if the response is sent but could not be cached.
 * @throws {AppError} `idempotency_in_progress`, `idempotency_key_reused`, and the errors of
 *   `submit`
 */
export async function runIdempotent<Result>(
  store: IdempotencyStore,
  { key, owner }: IdempotencyScope,
  request: SubmissionRequest<Result>,
  onCacheError: (error: unknown) => void,
): Promise<CachedResponse> {
  const cache: Cache = (receipt, response) =>
    runOrRetryInBackground(() => store.accept(key, receipt, response)).catch(onCacheError);
  const claim = await store.claim(key, await request.fingerprint(), owner).catch((error) => {
    // The claim may have been granted although the response was lost. Two executions create one
    // message, as their seed is the same.
    retryInBackground(() => store.markUnknown(key));
    throw error;
  });
  switch (claim.kind) {
    case 'new':
      return execute(request, claim.seed, cache, (completion) => release(store, key, completion));
    case 'accepted':
      return markReplayed(await replay(request, claim, cache));
    case 'responded':
      return markReplayed(claim.response);
    case 'in_progress':
      throw new AppError('idempotency_in_progress', { retryAfter: 1 });
    case 'mismatch':
      throw new AppError('idempotency_key_reused');
  }
}

/** Stores the receipt of an accepted request, and the response if it is final. */
type Cache = (receipt: Receipt, response: CachedResponse | null) => Promise<void>;

/**
 * How a request ended. `unknown`: a message may have been accepted, and repeating the request finds
 * out.
 */
type Completion = 'accepted' | 'refused' | 'unknown';

async function execute<Result>(
  request: SubmissionRequest<Result>,
  seed: string,
  cache: Cache,
  releaseClaim: (completion: Exclude<Completion, 'accepted'>) => Promise<void>,
): Promise<CachedResponse> {
  const result = await request
    .submit((index) => messageIdFrom(seed, index))
    .catch(async (error) => {
      await releaseClaim(isUnknown(error) ? 'unknown' : 'refused');
      throw error;
    });
  const receipt = request.toReceipt(result);
  const completion = completionOf(receipt);
  // From now on a repeated request can wait too.
  if (completion === 'accepted' && request.waits) await cache(receipt, null);
  const response = await request.toResponse(result);
  if (completion !== 'accepted') await releaseClaim(completion);
  else if (isFinal(response, request)) await cache(receipt, response);
  return response;
}

/** Builds the response to a request that an earlier one has executed. */
async function replay<Result>(
  request: SubmissionRequest<Result>,
  { receipt, response: cached }: Extract<IdempotencyClaim, { kind: 'accepted' }>,
  cache: Cache,
): Promise<CachedResponse> {
  if (cached !== null && isFinal(cached, request)) return cached;
  const response = await request.toResponse(await request.restore(receipt));
  if (request.waits && isFinal(response, request)) await cache(receipt, response);
  return response;
}

/** Codes after which it is unknown whether the message is stored. */
const UNKNOWN_OUTCOME: readonly ErrorCode[] = ['queue_unavailable', 'internal_error'];

function isUnknown(error: unknown): boolean {
  return !(error instanceof AppError) || UNKNOWN_OUTCOME.includes(error.code);
}

function completionOf({ ids, refused }: Receipt): Completion {
  if (refused.some(({ code }) => UNKNOWN_OUTCOME.includes(code))) return 'unknown';
  return ids.length > 0 ? 'accepted' : 'refused';
}

function isFinal({ status }: CachedResponse, { waits }: { readonly waits: boolean }): boolean {
  return !waits || status !== 202;
}

function markReplayed(response: CachedResponse): CachedResponse {
  return { ...response, headers: { ...response.headers, 'idempotency-replayed': 'true' } };
}

/** Ends a claim without an accepted request. */
function release(
  store: IdempotencyStore,
  key: string,
  completion: Exclude<Completion, 'accepted'>,
): Promise<void> {
  return runOrRetryInBackground(() =>
    completion === 'refused' ? store.release(key) : store.markUnknown(key),
  );
}
