import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../../core/errors.ts';
import type { Draft } from '../../core/message/message.ts';
import type { CachedResponse } from '../../core/ports/idempotency-store.ts';
import { placedAt, toAppError, toProblemOf } from '../errors/problem.ts';
import {
  endOfBatch,
  fingerprintOfAll,
  type IdAt,
  toFingerprint,
  toJsonResponse,
} from '../submission/idempotency.ts';
import { headerOf, orRefusal, type Submission } from '../submission/submission.ts';
import { invalidFields, validate } from '../validation/validation.ts';
import { toMessage, toResendError } from './errors.ts';
import { emailRequest } from './schemas.ts';

/** How an email of a batch that is refused touches the others: with `strict` none is accepted, with `permissive` they are. */
const MODES = ['strict', 'permissive'] as const;
type Mode = (typeof MODES)[number];

/** @throws {AppError} `validation_failed` */
function parseMode(header: string | undefined): Mode {
  const mode = MODES.find((one) => one === (header ?? 'strict'));
  if (mode !== undefined) return mode;
  throw invalidFields([
    {
      pointer: 'header:x-batch-validation',
      code: 'invalid_value',
      detail: 'Must be "strict" or "permissive".',
    },
  ]);
}

/** One of the emails, validated; or why it is refused. */
type Judged = { readonly draft: Draft } | { readonly refusal: AppError };

interface Outcome {
  /** The ids of those that were accepted. */
  readonly accepted: readonly string[];
  /** Those that were not, each with its place. In strict mode at most one: nothing after it was tried. */
  readonly refused: readonly { readonly index: number; readonly failure: AppError }[];
}

/** Accepts an array of emails, once only if the request has an Idempotency-Key. */
export async function acceptBatch(
  emails: readonly unknown[],
  request: FastifyRequest,
  reply: FastifyReply,
  acceptance: Submission,
): Promise<CachedResponse> {
  const mode = parseMode(headerOf(request, 'x-batch-validation'));
  const judged = emails.map(
    (email): Judged => orRefusal(() => ({ draft: acceptance.toDraft(validate(emailRequest, email)) })),
  );
  return acceptance.once<Outcome>(request, {
    waits: false,
    fingerprint: () =>
      fingerprintOfAll([
        mode,
        ...judged.map((one, i) => ('draft' in one ? toFingerprint(one.draft) : emails[i])),
      ]),
    async accept(idAt) {
      // A strict batch with an invalid email costs one request.
      const drafts = mode === 'strict' ? draftsOf(judged) : null;
      await acceptance.spendBatch(judged.length, '', request, reply);
      return drafts === null
        ? acceptEach(judged, request, acceptance, idAt)
        : acceptAll(drafts, request, acceptance, idAt);
    },
    endOf: ({ accepted, refused }) =>
      endOfBatch(
        accepted.length > 0,
        refused.map(({ failure }) => failure.code),
      ),
    receiptOf: ({ accepted, refused }) => ({
      ids: accepted,
      refused: refused.map(({ index, failure }) => ({ index, code: failure.code })),
    }),
    restore: async ({ ids, refused }) => ({
      accepted: ids,
      refused: refused.map(({ index, code }) => ({
        index,
        failure: placedAt(`/${index}`, new AppError(code)),
      })),
    }),
    answer: async (outcome) =>
      mode === 'strict' ? toStrictAnswer(outcome, request) : toPermissiveAnswer(outcome, request),
  });
}

/** @throws {AppError} the first refusal, with its place */
function draftsOf(judged: readonly Judged[]): readonly Draft[] {
  return judged.map((one, index) => {
    if ('refusal' in one) throw placedAt(`/${index}`, one.refusal);
    return one.draft;
  });
}

/**
 * All or none, as far as can be known: whatever is wrong with a message itself (its fields, sender, recipients, suppressions, template,
 * attachments, size) is found before the first is accepted. What can still come between is of the service and the key: the queue is full or
 * gone, the service stops, the daily limit of the key is reached. What was accepted by then is on its way and cannot be called back for sure;
 * the answer says what it was.
 */
async function acceptAll(
  drafts: readonly Draft[],
  request: FastifyRequest,
  acceptance: Submission,
  idAt: IdAt,
): Promise<Outcome> {
  for (const [index, draft] of drafts.entries()) {
    try {
      await acceptance.check(draft, request);
    } catch (error) {
      throw placedAt(`/${index}`, toAppError(error, request));
    }
  }
  const accepted: string[] = [];
  for (const [index, draft] of drafts.entries()) {
    try {
      accepted.push((await acceptance.accept(draft, request, idAt(index))).id);
    } catch (error) {
      const failure = placedAt(`/${index}`, toAppError(error, request));
      if (index === 0) throw failure;
      return { accepted, refused: [{ index, failure }] };
    }
  }
  return { accepted, refused: [] };
}

async function acceptEach(
  judged: readonly Judged[],
  request: FastifyRequest,
  acceptance: Submission,
  idAt: IdAt,
): Promise<Outcome> {
  const accepted: string[] = [];
  const refused: { index: number; failure: AppError }[] = [];
  for (const [index, one] of judged.entries()) {
    try {
      if ('refusal' in one) throw one.refusal;
      accepted.push((await acceptance.accept(one.draft, request, idAt(index))).id);
    } catch (error) {
      const failure = toAppError(error, request);
      // The log line of the request has room for one.
      if (failure.code === 'internal_error') request.failure = failure;
      refused.push({ index, failure });
    }
  }
  return { accepted, refused };
}

/**
 * If it failed half-way, the error says so. It is kept for the Idempotency-Key like any answer, so that the same request again sends nothing
 * twice; and has no Retry-After, since that would ask for just this.
 */
function toStrictAnswer({ accepted, refused: [stop] }: Outcome, request: FastifyRequest): CachedResponse {
  const data = accepted.map((id) => ({ id }));
  if (stop === undefined) return toJsonResponse(200, { data });
  request.failure = stop.failure;
  const hint = `The emails before /${stop.index} were accepted, see accepted: send only those from /${stop.index} on again, in a request of their own.`;
  const error = toResendError({ ...toProblemOf(stop.failure, request), hint });
  return toJsonResponse(error.statusCode, { ...error, retryable: false, accepted: data });
}

function toPermissiveAnswer({ accepted, refused }: Outcome, request: FastifyRequest): CachedResponse {
  const data = accepted.map((id) => ({ id }));
  const errors = refused.map(({ index, failure }) => ({
    index,
    message: toMessage(toProblemOf(failure, request)),
  }));
  return toJsonResponse(200, { data, errors });
}
