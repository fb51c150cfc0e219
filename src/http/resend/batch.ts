import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Delivery } from '../../core/delivery/delivery.ts';
import { AppError } from '../../core/errors.ts';
import type { Draft } from '../../core/message/message.ts';
import type { CachedResponse } from '../../core/ports/idempotency-store.ts';
import { toRequestProblem, withPointerPrefix } from '../errors/error-handler.ts';
import { headerOf } from '../request/request-context.ts';
import { type BatchItem, type ItemResult, parseItems, submitEach } from '../submission/batch.ts';
import { toJsonResponse } from '../submission/cached-response.ts';
import type { IdAt } from '../submission/idempotency.ts';
import { toBatchFingerprint, toFingerprint } from '../submission/idempotency-key.ts';
import type { Submission } from '../submission/submission.ts';
import { invalidFields, validate } from '../validation/validation.ts';
import { toMessage, toResendError } from './errors.ts';
import { emailRequest } from './schemas.ts';

/**
 * What a refused email means for the rest of its batch: `strict` accepts none of them, `permissive`
 * the valid ones.
 */
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

interface BatchOutcome {
  /** Ids of the accepted emails. */
  readonly accepted: readonly string[];
  /**
   * Refused emails by their index. In strict mode at most one, after which no email was submitted.
   */
  readonly refused: readonly { readonly index: number; readonly error: AppError }[];
}

/** Accepts an array of emails and returns the response. */
export async function submitBatch(
  emails: readonly unknown[],
  request: FastifyRequest,
  reply: FastifyReply,
  submission: Submission,
): Promise<CachedResponse> {
  const mode = parseMode(headerOf(request, 'x-batch-validation'));
  const items = await parseItems(emails, (email) => submission.toDraft(validate(emailRequest, email)));
  return submission.submit<BatchOutcome>(request, {
    waits: false,
    async submit(idAt) {
      // An invalid strict batch counts as one request in the rate limit.
      if (mode === 'strict') throwFirstRefusal(items);
      await submission.spendBatch(items.length, '', request, reply);
      const submitItems = mode === 'strict' ? submitAllOrNone : submitValid;
      return submitItems(items, request, submission, idAt);
    },
    toResponse: (outcome) =>
      mode === 'strict' ? toStrictResponse(outcome, request) : toPermissiveResponse(outcome, request),
    fingerprint: () =>
      toBatchFingerprint([
        mode,
        ...items.map((item, index) => (item.kind === 'valid' ? toFingerprint(item.value) : emails[index])),
      ]),
    toReceipt: ({ accepted, refused }) => ({
      ids: accepted,
      refused: refused.map(({ index, error }) => ({ index, code: error.code })),
    }),
    restore: async ({ ids, refused }) => ({
      accepted: ids,
      refused: refused.map(({ index, code }) => ({ index, error: atIndex(index, new AppError(code)) })),
    }),
  });
}

type SubmitItems = (
  items: readonly BatchItem<Draft>[],
  request: FastifyRequest,
  submission: Submission,
  idAt: IdAt,
) => Promise<BatchOutcome>;

const submitValid: SubmitItems = async (items, request, submission, idAt) => {
  const accept = (draft: Draft, index: number) => submission.accept(draft, request, idAt(index));
  return toOutcome(await submitEach(items, request, accept));
};

/**
 * Accepts all emails or none, as far as this can be known in advance: every problem of an email
 * itself (fields, sender, recipients, suppressions, template, attachments, size) is found before
 * the first one is accepted. Later refusals concern the service or the key: a full or unavailable
 * queue, a shutdown, the daily limit of the key. Emails accepted by then may be on their way and
 * cannot be recalled, so the response lists them.
 */
const submitAllOrNone: SubmitItems = async (items, request, submission, idAt) => {
  const check = (draft: Draft) => submission.check(draft, request);
  throwFirstRefusal(await submitEach(items, request, check, { stopAtRefusal: true }));
  const accept = (draft: Draft, index: number) => submission.accept(draft, request, idAt(index));
  const results = await submitEach(items, request, accept, { stopAtRefusal: true });
  const outcome = toOutcome(results);
  if (outcome.accepted.length === 0) throwFirstRefusal(results);
  return {
    ...outcome,
    refused: outcome.refused.map(({ index, error }) => ({ index, error: atIndex(index, error) })),
  };
};

/** @throws {AppError} the first refusal, if there is one, with pointers into the batch */
function throwFirstRefusal(items: readonly (BatchItem<unknown> | ItemResult<unknown>)[]): void {
  for (const [index, item] of items.entries()) if (item.kind === 'refused') throw atIndex(index, item.error);
}

function atIndex(index: number, error: AppError): AppError {
  return withPointerPrefix(`/${index}`, error);
}

function toOutcome(results: readonly ItemResult<Delivery>[]): BatchOutcome {
  return {
    accepted: results.flatMap((item) => (item.kind === 'accepted' ? [item.result.id] : [])),
    refused: results.flatMap((item, index) =>
      item.kind === 'refused' ? [{ index, error: item.error }] : [],
    ),
  };
}

/**
 * A batch that failed half-way. The error is stored for the Idempotency-Key like any response, so
 * repeating the request sends nothing twice. It has no Retry-After, which would suggest repeating
 * it.
 */
function toStrictResponse(
  { accepted, refused: [stop] }: BatchOutcome,
  request: FastifyRequest,
): CachedResponse {
  const data = accepted.map((id) => ({ id }));
  if (stop === undefined) return toJsonResponse(200, { data });
  request.failure = stop.error;
  const hint = `The emails before /${stop.index} were accepted, see \`accepted\`. Send only those from /${stop.index} on again, in another request.`;
  const error = toResendError({ ...toRequestProblem(stop.error, request), hint });
  return toJsonResponse(error.statusCode, { ...error, retryable: false, accepted: data });
}

function toPermissiveResponse({ accepted, refused }: BatchOutcome, request: FastifyRequest): CachedResponse {
  const data = accepted.map((id) => ({ id }));
  const errors = refused.map(({ index, error }) => ({
    index,
    message: toMessage(toRequestProblem(error, request)),
  }));
  return toJsonResponse(200, { data, errors });
}
