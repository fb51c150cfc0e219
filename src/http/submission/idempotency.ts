import { hash, webcrypto } from 'node:crypto';
import type { FastifyReply } from 'fastify';
import { AppError, type ErrorCode } from '../../core/errors.ts';
import { messageIdFrom } from '../../core/id.ts';
import type { Draft } from '../../core/message/message.ts';
import type {
  CachedResponse,
  IdempotencyClaim,
  IdempotencyStore,
  Receipt,
} from '../../core/ports/idempotency-store.ts';
import { retryInBackground, runOrRetryInBackground } from '../../core/retry-until-available.ts';
import { invalidFields } from '../validation/validation.ts';

const { subtle } = webcrypto;

/** A structured-field string (RFC 9651, section 3.3.3), as the draft of the header has it. */
const QUOTED = /^"((?:[^"\\]|\\["\\])*)"$/;
const VISIBLE_ASCII = /^[!-~]{1,256}$/;

/**
 * The key of an `Idempotency-Key` header; `"abc"` is the same key as `abc`. Null without one.
 *
 * @throws {AppError} `validation_failed`
 */
export function parseIdempotencyKey(header: string | undefined): string | null {
  if (header === undefined) return null;
  const key = header.startsWith('"') ? QUOTED.exec(header)?.[1]?.replace(/\\(.)/g, '$1') : header;
  if (key !== undefined && VISIBLE_ASCII.test(key)) return key;
  throw invalidFields([
    {
      pointer: 'header:Idempotency-Key',
      code: 'invalid_format',
      detail: 'Must be one key of 1 to 256 visible ASCII characters without spaces, such as a UUID.',
    },
  ]);
}

/** Equal for drafts that ask for the same. Bodies of attachments count by their digest. */
export async function toFingerprint(draft: Draft): Promise<string> {
  const attachments = await Promise.all(
    draft.content.attachments.map(async (file) => ({ ...file, content: await digestOf(file.content) })),
  );
  return fingerprintOf({ ...draft, content: { ...draft.content, attachments } });
}

/** Equal for lists whose parts are the same JSON, or fingerprints that are the same. */
export async function fingerprintOfAll(parts: readonly unknown[]): Promise<string> {
  return fingerprintOf(await Promise.all(parts));
}

/** Equal for values that are the same JSON, whatever the order of their keys. */
function fingerprintOf(value: unknown): string {
  return hash('sha256', JSON.stringify(value, sortKeys), 'base64');
}

/** Off the event loop, as it may be many megabytes. */
async function digestOf(content: Uint8Array): Promise<string> {
  return Buffer.from(await subtle.digest('SHA-256', content as Uint8Array<ArrayBuffer>)).toString('base64');
}

function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function toJsonResponse(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): CachedResponse {
  return {
    status,
    headers: { ...headers, 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify(body),
  };
}

/** Answers a request with it. */
export function sendCached({ status, headers, body }: CachedResponse, reply: FastifyReply): FastifyReply {
  return reply.code(status).headers(headers).send(body);
}

/** `answered`: it is remembered. `refused`: nothing was done. `unknown`: something may have been, and the same request again finds out. */
export type Completion = 'answered' | 'refused' | 'unknown';

/** After these it is not known whether the message is kept. */
const UNKNOWN: readonly ErrorCode[] = ['queue_unavailable', 'internal_error'];

function endOfRefusal(error: unknown): Completion {
  return error instanceof AppError && !UNKNOWN.includes(error.code) ? 'refused' : 'unknown';
}

/** How a request for many ended: whether some were accepted, and why the others were not. */
export function endOfBatch(someAccepted: boolean, refusals: readonly ErrorCode[]): Completion {
  if (refusals.some((code) => UNKNOWN.includes(code))) return 'unknown';
  return someAccepted ? 'answered' : 'refused';
}

/** The id of the message that a request makes at each of its places, the same when it is taken up again; undefined if it may be any. */
export type IdAt = (index: number) => string | undefined;

/** A request that must be done at most once, if its caller asks for that. */
export interface IdempotentRequest<T> {
  /** Names the API key, the route, and what the caller calls it; null: it was not asked for, and the request is like any other. */
  readonly key: string | null;
  /** The name of the API key. */
  readonly owner: string;
  /** Whether the caller waits for the outcome. Then a `202`, which has none, is not the answer to repeat: a repeated request waits again. */
  readonly waits: boolean;
  fingerprint(): string | Promise<string>;
  /** Refuses by throwing: then nothing is remembered. */
  accept(idAt: IdAt): Promise<T>;
  /** How it ended, if that cannot be told from `accept` having thrown or not. */
  endOf?(accepted: T): Completion;
  /** What to remember of what was done, whatever becomes of the answer. */
  receiptOf(accepted: T): Receipt;
  /** What an earlier request did, as it is now. */
  restore(receipt: Receipt): Promise<T>;
  /** What to say of what was done. */
  answer(accepted: T): Promise<CachedResponse>;
  /** The answer could not be kept, but is given all the same. */
  onUnkept(error: unknown): void;
}

/**
 * Does something at most once per key. A repeated request gets the stored answer, word for word. Where none is stored, or the caller waits for an
 * outcome that it does not have, the answer is made anew from the state of the messages.
 *
 * Once `accept` has resolved the claim is never forgotten, whatever goes wrong: the worst a repeated request can meet is
 * `idempotency_in_progress`, never a second message.
 *
 * @throws {AppError} `idempotency_in_progress`, `idempotency_key_reused`, and what `accept` throws
 */
export async function runIdempotent<T>(
  ledger: IdempotencyStore,
  request: IdempotentRequest<T>,
): Promise<CachedResponse> {
  const { key } = request;
  if (key === null) return request.answer(await request.accept(() => undefined));
  const claim = await ledger.claim(key, await request.fingerprint(), request.owner).catch((error) => {
    // It may have been given, and only the answer lost. Taken up by two at once it still makes one message, as their seed is the same.
    retryInBackground(() => ledger.markUnknown(key));
    throw error;
  });
  switch (claim.kind) {
    case 'responded':
      return replayed(claim.response);
    case 'accepted':
      return replayed(await answerAgain(ledger, request, key, claim));
    case 'in_progress':
      throw new AppError('idempotency_in_progress', { retryAfter: 1 });
    case 'mismatch':
      throw new AppError('idempotency_key_reused');
    case 'new':
  }

  const { seed } = claim;
  const accepted = await request
    .accept((index) => messageIdFrom(seed, index))
    .catch(async (refusal) => {
      await release(ledger, key, endOfRefusal(refusal));
      throw refusal;
    });
  const end = request.endOf?.(accepted) ?? 'answered';
  // From now on a repeated request can wait too.
  if (end === 'answered' && request.waits)
    await keep(ledger, request, key, request.receiptOf(accepted), null);
  const answer = await request.answer(accepted);
  if (end !== 'answered') await release(ledger, key, end);
  else if (suffices(answer, request)) await keep(ledger, request, key, request.receiptOf(accepted), answer);
  return answer;
}

type AcceptedClaim = Extract<IdempotencyClaim, { kind: 'accepted' }>;

/** The answer to a request that an earlier one has had accepted. */
async function answerAgain<T>(
  ledger: IdempotencyStore,
  request: IdempotentRequest<T>,
  key: string,
  { receipt, response: stored }: AcceptedClaim,
): Promise<CachedResponse> {
  if (stored !== null && suffices(stored, request)) return stored;
  const answer = await request.answer(await request.restore(receipt));
  if (request.waits && suffices(answer, request)) await keep(ledger, request, key, receipt, answer);
  return answer;
}

function suffices({ status }: CachedResponse, { waits }: Pick<IdempotentRequest<unknown>, 'waits'>): boolean {
  return !waits || status !== 202;
}

/** Remembers that the request was accepted, and the answer if there is one to repeat. */
function keep<T>(
  ledger: IdempotencyStore,
  { onUnkept }: IdempotentRequest<T>,
  key: string,
  receipt: Receipt,
  answer: CachedResponse | null,
): Promise<void> {
  return runOrRetryInBackground(() => ledger.accept(key, receipt, answer)).catch(onUnkept);
}

function replayed(answer: CachedResponse): CachedResponse {
  return { ...answer, headers: { ...answer.headers, 'idempotency-replayed': 'true' } };
}

/** Lets the next caller have the key. */
function release(ledger: IdempotencyStore, key: string, end: Completion): Promise<void> {
  return runOrRetryInBackground(() => (end === 'refused' ? ledger.release(key) : ledger.markUnknown(key)));
}
