import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Delivery } from '../../core/delivery/delivery.ts';
import { AppError } from '../../core/errors.ts';
import type { Durability } from '../../core/ports/backend.ts';
import type { DeliveryStore } from '../../core/ports/delivery-store.ts';
import type { CachedResponse } from '../../core/ports/idempotency-store.ts';
import type { Waiters } from '../../core/waiters.ts';
import { pathOf } from '../errors/error-handler.ts';
import { FORM } from '../errors/media-type.ts';
import { toDroppedMessage, toMessageResource, toPreviewResource } from '../presenters/message.ts';
import { toProblem } from '../presenters/problem.ts';
import { PREFERENCE_APPLIED, parseWait, preferWait } from '../request/prefer.ts';
import { callerOf, headerOf, toSignal } from '../request/request-context.ts';
import { TRACE_HEADERS } from '../request/trace-context.ts';
import { messageResource, sendResult } from '../schemas/message.ts';
import { BODY_CODES, keyedResponses, LOCATION, REPLAYED, success } from '../schemas/responses.ts';
import { idempotencyKey, sendRequest } from '../schemas/send.ts';
import { sendCached, toJsonResponse } from '../submission/cached-response.ts';
import type { Accepted, Submission } from '../submission/submission.ts';

export interface SendOptions {
  readonly submission: Submission;
  readonly waiters: Pick<Waiters, 'wait'>;
  readonly store: Pick<DeliveryStore, 'get'>;
  readonly durability: Durability;
}

const HEADERS = { ...LOCATION, ...PREFERENCE_APPLIED, ...REPLAYED };

const SETTLED = `The message was sent, partially sent or canceled while the request waited. For a dry run:
what would be sent. For a repeated request: what remains of a finished message that is no longer stored.`;

const schema = {
  operationId: 'send',
  tags: ['messages'],
  summary: 'Send a message',
  description: `Accepts one message and responds before it is sent. With \`Prefer: wait\` the response has
the outcome.

As \`multipart/form-data\`, the part \`message\` has the JSON, and every part with a file name is an
attachment, after those in \`attachments\`. A part named \`cid:logo\` is an inline image, which \`html\` refers
to by that name.

A repeated request with the same \`Idempotency-Key\` gets the same response, and nothing is sent twice. With
\`Prefer: wait\` it waits again until the outcome is known.`,
  headers: z.object({
    Prefer: preferWait,
    'Idempotency-Key': idempotencyKey,
    ...TRACE_HEADERS,
  }),
  consumes: ['application/json', FORM],
  body: sendRequest,
  response: keyedResponses(
    {
      200: success(SETTLED, sendResult, {
        headers: HEADERS,
      }),
      202: success('The message was accepted.', messageResource, { headers: HEADERS }),
    },
    [
      'cross_site_request',
      'sender_not_allowed',
      'recipient_not_allowed',
      'idempotency_in_progress',
      ...BODY_CODES,
      'validation_failed',
      'idempotency_key_reused',
      'template_not_found',
      'template_failed',
      'attachment_blocked',
      'recipient_suppressed',
      'recipients_rejected',
      'mailbox_full',
      'content_rejected',
      'sender_rejected',
      'policy_rejected',
      'smtp_rejected',
      'retries_exhausted',
      'delivery_uncertain',
      'shutting_down',
      'expired',
    ],
  ),
};

/** POST /send: accepts one message. */
export const sendRoutes: FastifyPluginAsyncZod<SendOptions> = async (
  app,
  { submission, waiters, store, durability },
) => {
  const { refuseEarly } = submission;

  app.post('/send', { schema, config: { scope: 'send' }, onRequest: refuseEarly }, async (request, reply) => {
    const draft = submission.toDraft(request.body);
    if (request.body.dry_run) {
      const preview = await submission.preview(draft, request);
      submission.addBudget(preview.delivery, reply);
      return toPreviewResource(preview);
    }

    const seconds = parseWait(headerOf(request, 'prefer'));
    const response = await submission.submitOne(draft, request, reply, {
      waits: seconds !== null,
      toResponse: (accepted) => toResponse(accepted, seconds, request, reply),
    });
    return sendCached(response, reply);
  });

  /** Responds at once, or when the client has waited for the outcome. */
  function toResponse(
    accepted: Accepted,
    seconds: number | null,
    request: FastifyRequest,
    reply: FastifyReply,
  ): CachedResponse | Promise<CachedResponse> {
    if (accepted.kind === 'dropped') return toJsonResponse(200, toDroppedMessage(accepted));
    const { delivery } = accepted;
    return seconds === null || delivery.status === 'scheduled'
      ? toMessageResponse(202, delivery, request)
      : waitForOutcome(delivery, seconds, request, reply);
  }

  async function waitForOutcome(
    delivery: Delivery,
    seconds: number,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<CachedResponse> {
    const applied = { 'preference-applied': `wait=${seconds}` };
    const settled = await waiters.wait(delivery.id, seconds * 1000, toSignal(reply));
    if (settled !== null) return toOutcomeResponse(settled, request, applied);
    // The message is accepted, so a failing read must not fail the request.
    const latest = await store.get(delivery.id).catch(() => null);
    return toMessageResponse(202, latest ?? delivery, request, applied);
  }

  function toMessageResponse(
    status: number,
    delivery: Delivery,
    request: FastifyRequest,
    headers: Record<string, string> = {},
  ): CachedResponse {
    const resource = toMessageResource(delivery, durability, callerOf(request));
    return toJsonResponse(status, resource, { ...headers, location: `/messages/${delivery.id}` });
  }

  /** A settled message without an error is the message; with an error it is a problem. */
  function toOutcomeResponse(
    delivery: Delivery,
    request: FastifyRequest,
    headers: Record<string, string>,
  ): CachedResponse {
    const { status, error } = delivery;
    if (status === 'sent' || status === 'partially_sent' || error === null)
      return toMessageResponse(200, delivery, request, headers);
    request.failure = new AppError(error.code);
    const problem = toProblem(error.code, {
      detail: error.detail,
      instance: pathOf(request),
      request_id: request.id,
      hint: error.hint,
      ...(error.smtp && { smtp: error.smtp }),
      message: toMessageResource(delivery, durability, callerOf(request)),
    });
    return {
      status: problem.status,
      headers: { ...headers, 'content-type': 'application/problem+json' },
      body: JSON.stringify(problem),
    };
  }
};
