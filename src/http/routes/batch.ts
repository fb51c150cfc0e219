import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { AppError } from '../../core/errors.ts';
import type { Draft } from '../../core/message/message.ts';
import type { Backend } from '../../core/ports/backend.ts';
import type { Receipt } from '../../core/ports/idempotency-store.ts';
import { placedAt, toAppError, toProblemOf } from '../errors/problem.ts';
import { toDropped, toPreview, toResource } from '../presenters/resources.ts';
import { callerOf } from '../request/caller.ts';
import { type BatchResult, batchAnswer, batchRequest } from '../schemas/batch.ts';
import { BODY_CODES, keyedResponses, REPLAYED, success } from '../schemas/responses.ts';
import { idempotencyKey, sendRequest } from '../schemas/send.ts';
import {
  endOfBatch,
  fingerprintOfAll,
  sendCached,
  toFingerprint,
  toJsonResponse,
} from '../submission/idempotency.ts';
import { orRefusal, type Submission } from '../submission/submission.ts';
import { validate } from '../validation/validation.ts';

export interface BatchOptions {
  readonly acceptance: Submission;
  readonly durability: Backend['durability'];
}

/** As many as a hundred messages of many recipients take. */
const MAX_VALUES = 200_000;

const schema = {
  operationId: 'sendBatch',
  tags: ['messages'],
  summary: 'Send up to 100 messages',
  description: `Handles each message separately, as POST /send does. The results are in the order of the
messages. Status 207 means that at least one message was refused; its result has the reason. The size limit
of the body is that of one message. A batch counts as its messages towards the rate limit, dry runs
included.

A repeated request with the same \`Idempotency-Key\` gets the same response, including refusals, unless
every message was refused. To resend refused messages, use a new batch with a new key.`,
  headers: z.object({ 'Idempotency-Key': idempotencyKey }),
  body: batchRequest,
  response: keyedResponses(
    {
      202: success('Every message was accepted.', batchAnswer, { headers: REPLAYED }),
      207: success('At least one message was refused.', batchAnswer, { headers: REPLAYED }),
    },
    [
      'idempotency_in_progress',
      ...BODY_CODES,
      'validation_failed',
      'idempotency_key_reused',
      'shutting_down',
    ],
  ),
};

/** One of the messages, validated; or why it is refused. */
type Judged = { readonly draft: Draft; readonly dryRun: boolean } | { readonly refusal: AppError };

/** POST /send/batch: accept many, each judged on its own. */
export const batchRoutes: FastifyPluginAsyncZod<BatchOptions> = async (app, { acceptance, durability }) => {
  function judge(item: unknown): Judged {
    return orRefusal(() => {
      const body = validate(sendRequest, item);
      return { draft: acceptance.toDraft(body), dryRun: body.dry_run ?? false };
    });
  }

  async function accept(
    judged: Judged,
    request: FastifyRequest,
    id: string | undefined,
  ): Promise<Omit<BatchResult, 'error'>> {
    if ('refusal' in judged) throw judged.refusal;
    if (judged.dryRun)
      return { status: 200, preview: toPreview(await acceptance.preview(judged.draft, request)) };
    return {
      status: 202,
      message: toResource(await acceptance.accept(judged.draft, request, id), durability, callerOf(request)),
    };
  }

  async function resultOf(
    judged: Judged,
    index: number,
    request: FastifyRequest,
    id: string | undefined,
  ): Promise<BatchResult> {
    try {
      return await accept(judged, request, id);
    } catch (error) {
      const failure = toAppError(error, request);
      // The log line of the request has room for one.
      if (failure.code === 'internal_error') request.failure = failure;
      return toRefusal(failure, index, request);
    }
  }

  function toRefusal(failure: AppError, index: number, request: FastifyRequest): BatchResult {
    const problem = toProblemOf(placedAt(`/messages/${index}`, failure), request);
    return { status: problem.status, error: problem };
  }

  /** The message that an earlier request has had accepted, as it is now. */
  async function find(id: string, request: FastifyRequest): Promise<BatchResult> {
    const accepted = await acceptance.find(id, request);
    if (accepted.kind === 'dropped') return { status: 200, message: toDropped(accepted) };
    return { status: 202, message: toResource(accepted.delivery, durability, callerOf(request)) };
  }

  async function restore(
    { ids, refused }: Receipt,
    judged: readonly Judged[],
    request: FastifyRequest,
  ): Promise<BatchResult[]> {
    const codes = new Map(refused.map(({ index, code }) => [index, code]));
    const accepted = ids.values();
    const results: BatchResult[] = [];
    for (const [i, one] of judged.entries()) {
      const code = codes.get(i);
      if (code !== undefined)
        results.push(toRefusal('refusal' in one ? one.refusal : new AppError(code), i, request));
      else if ('draft' in one && one.dryRun) results.push(await resultOf(one, i, request, undefined));
      else results.push(await find(accepted.next().value ?? '', request));
    }
    return results;
  }

  app.post(
    '/send/batch',
    { schema, config: { scope: 'send', maxValues: MAX_VALUES }, onRequest: acceptance.refuseEarly },
    async (request, reply) => {
      const judged = request.body.messages.map(judge);
      const given = await acceptance.once<BatchResult[]>(request, {
        waits: false,
        fingerprint: () =>
          fingerprintOfAll(
            judged.flatMap((one, i) =>
              'draft' in one ? [toFingerprint(one.draft), one.dryRun] : [request.body.messages[i]],
            ),
          ),
        async accept(idAt) {
          await acceptance.spendBatch(judged.length, '/messages', request, reply);
          const results: BatchResult[] = [];
          for (const [i, one] of judged.entries()) results.push(await resultOf(one, i, request, idAt(i)));
          return results;
        },
        endOf: (results) =>
          endOfBatch(
            results.some(({ message }) => message),
            results.flatMap(({ error }) => error?.code ?? []),
          ),
        receiptOf: (results) => ({
          ids: results.flatMap(({ message }) => message?.id ?? []),
          refused: results.flatMap(({ error }, index) => (error ? { index, code: error.code } : [])),
        }),
        restore: (receipt) => restore(receipt, judged, request),
        async answer(results) {
          const accepted = results.filter(({ message }) => message).length;
          const refused = results.filter(({ error }) => error).length;
          return toJsonResponse(refused === 0 ? 202 : 207, { accepted, refused, results });
        },
      });
      return sendCached(given, reply);
    },
  );
};
