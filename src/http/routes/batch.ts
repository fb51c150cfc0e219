import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { AppError, type ErrorCode } from '../../core/errors.ts';
import type { Preview } from '../../core/intake/intake.ts';
import type { Draft } from '../../core/message/message.ts';
import type { Durability } from '../../core/ports/backend.ts';
import type { Receipt } from '../../core/ports/idempotency-store.ts';
import { toRequestProblem } from '../errors/error-handler.ts';
import { toDroppedMessage, toMessageResource, toPreviewResource } from '../presenters/message.ts';
import { callerOf } from '../request/request-context.ts';
import { TRACE_HEADERS } from '../request/trace-context.ts';
import { type BatchResult, batchAnswer, batchRequest } from '../schemas/batch.ts';
import { BODY_CODES, keyedResponses, REPLAYED, success } from '../schemas/responses.ts';
import { idempotencyKey, sendRequest } from '../schemas/send.ts';
import {
  type BatchItem,
  type ItemResult,
  MAX_BATCH_VALUES,
  parseItems,
  submitEach,
  submitItem,
} from '../submission/batch.ts';
import { type MergedMessages, mergeDefaults } from '../submission/batch-defaults.ts';
import { sendCached, toJsonResponse } from '../submission/cached-response.ts';
import { toBatchFingerprint, toFingerprint } from '../submission/idempotency-key.ts';
import type { Accepted, Submission } from '../submission/submission.ts';
import { validate } from '../validation/validation.ts';

export interface BatchOptions {
  readonly submission: Submission;
  readonly durability: Durability;
}

const schema = {
  operationId: 'sendBatch',
  tags: ['messages'],
  summary: 'Send up to 100 messages',
  description: `Handles each message separately, as POST /send does. The results are in the order of the
messages. Status 207 means that at least one message was refused; its result has the reason. The size limit
of the body is that of one message. A batch counts as its messages towards the rate limit, dry runs
included.

\`defaults\` has the fields that all messages share, such as \`template\` or \`attachments\`, which are then
sent and decoded once. If they are invalid, the whole batch is refused. If a default does not fit a message,
that message is refused, with a pointer into \`/defaults\`.

A repeated request with the same \`Idempotency-Key\` gets the same response, including refusals, unless
every message was refused. To resend refused messages, use a new batch with a new key.`,
  headers: z.object({ 'Idempotency-Key': idempotencyKey, ...TRACE_HEADERS }),
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

/** One message of a batch. */
interface BatchMessage {
  readonly draft: Draft;
  readonly dryRun: boolean;
}

type Submitted = Accepted | { readonly kind: 'preview'; readonly preview: Preview };

/** POST /send/batch: accepts up to 100 messages, each on its own. */
export const batchRoutes: FastifyPluginAsyncZod<BatchOptions> = async (app, { submission, durability }) => {
  const config = { scope: 'send', maxValues: MAX_BATCH_VALUES } as const;

  app.post('/send/batch', { schema, config, onRequest: submission.refuseEarly }, async (request, reply) => {
    const { messages, locate } = mergeDefaults(request.body.defaults, request.body.messages);
    const items = await parseItems(messages, parseMessage);
    const response = await submission.submit<readonly BatchResult[]>(request, {
      waits: false,
      async submit(idAt) {
        await submission.spendBatch(items.length, '/messages', request, reply);
        const results = await submitEach(items, request, (message, index) =>
          submitMessage(message, request, idAt(index)),
        );
        return results.map((result, index) => present(result, index, locate, request));
      },
      toResponse: (results) => {
        const accepted = results.filter(({ message }) => message).length;
        const refused = results.filter(({ error }) => error).length;
        return toJsonResponse(refused === 0 ? 202 : 207, { accepted, refused, results });
      },
      fingerprint: () => fingerprintOf(items, messages),
      toReceipt: (results) => ({
        ids: results.flatMap(({ message }) => message?.id ?? []),
        refused: results.flatMap(({ error }, index) => (error ? { index, code: error.code } : [])),
      }),
      restore: (receipt) => restore(receipt, items, locate, request),
    });
    return sendCached(response, reply);
  });

  function parseMessage(item: unknown): BatchMessage {
    const body = validate(sendRequest, item);
    return { draft: submission.toDraft(body), dryRun: body.dry_run ?? false };
  }

  async function submitMessage(
    message: BatchMessage,
    request: FastifyRequest,
    id: string | undefined,
  ): Promise<Submitted> {
    if (message.dryRun) return preview(message, request);
    const delivery = await submission.accept(message.draft, request, id);
    return { kind: 'stored', id: delivery.id, delivery };
  }

  async function preview({ draft }: BatchMessage, request: FastifyRequest): Promise<Submitted> {
    return { kind: 'preview', preview: await submission.preview(draft, request) };
  }

  function present(
    result: ItemResult<Submitted>,
    index: number,
    locate: MergedMessages['locate'],
    request: FastifyRequest,
  ): BatchResult {
    if (result.kind === 'refused') {
      const problem = toRequestProblem(locate(index, result.error), request);
      return { status: problem.status, error: problem };
    }
    const submitted = result.result;
    switch (submitted.kind) {
      case 'preview':
        return { status: 200, preview: toPreviewResource(submitted.preview) };
      case 'dropped':
        return { status: 200, message: toDroppedMessage(submitted) };
      case 'stored':
        return {
          status: 202,
          message: toMessageResource(submitted.delivery, durability, callerOf(request)),
        };
    }
  }

  /**
   * Returns the results of an earlier request, with the messages in their current state. Dry runs
   * are repeated.
   */
  async function restore(
    { ids, refused }: Receipt,
    items: readonly BatchItem<BatchMessage>[],
    locate: MergedMessages['locate'],
    request: FastifyRequest,
  ): Promise<readonly BatchResult[]> {
    const codes = new Map(refused.map(({ index, code }) => [index, code]));
    const accepted = ids.values();
    const results: BatchResult[] = [];
    for (const [index, item] of items.entries()) {
      const code = codes.get(index);
      const result = await restoreItem(item, code, () => accepted.next().value ?? '', index, request);
      results.push(present(result, index, locate, request));
    }
    return results;
  }

  async function restoreItem(
    item: BatchItem<BatchMessage>,
    refusal: ErrorCode | undefined,
    nextId: () => string,
    index: number,
    request: FastifyRequest,
  ): Promise<ItemResult<Submitted>> {
    if (refusal !== undefined)
      return item.kind === 'refused' ? item : { kind: 'refused', error: new AppError(refusal) };
    if (item.kind === 'valid' && item.value.dryRun)
      return submitItem(item, index, request, (message) => preview(message, request));
    return { kind: 'accepted', result: await submission.find(nextId(), request) };
  }
};

function fingerprintOf(
  items: readonly BatchItem<BatchMessage>[],
  messages: readonly unknown[],
): Promise<string> {
  return toBatchFingerprint(
    items.flatMap((item, index) =>
      item.kind === 'valid' ? [toFingerprint(item.value.draft), item.value.dryRun] : [messages[index]],
    ),
  );
}
