import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Delivery } from '../../core/delivery/delivery.ts';
import { AppError } from '../../core/errors.ts';
import type { Backend } from '../../core/ports/backend.ts';
import type { DeliveryStore } from '../../core/ports/delivery-store.ts';
import type { CachedResponse } from '../../core/ports/idempotency-store.ts';
import type { Waiters } from '../../core/waiters.ts';
import { pathOf, toProblem } from '../errors/problem.ts';
import { toDropped, toPreview, toResource } from '../presenters/resources.ts';
import { callerOf } from '../request/caller.ts';
import { PREFERENCE_APPLIED, parseWait, preferWait } from '../request/prefer.ts';
import { toSignal } from '../request/signal.ts';
import { messageResource, sendResult } from '../schemas/message.ts';
import { BODY_CODES, keyedResponses, LOCATION, REPLAYED, success } from '../schemas/responses.ts';
import { idempotencyKey, sendRequest } from '../schemas/send.ts';
import { sendCached, toJsonResponse } from '../submission/idempotency.ts';
import { type Accepted, headerOf, type Submission } from '../submission/submission.ts';

export interface SendOptions {
  readonly acceptance: Submission;
  readonly waiters: Pick<Waiters, 'wait'>;
  readonly store: Pick<DeliveryStore, 'get'>;
  readonly durability: Backend['durability'];
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

A repeated request with the same \`Idempotency-Key\` gets the same response, and nothing is sent twice. With
\`Prefer: wait\` it waits again until the outcome is known.`,
  headers: z.object({
    Prefer: preferWait,
    'Idempotency-Key': idempotencyKey,
  }),
  body: sendRequest,
  response: keyedResponses(
    {
      200: success(SETTLED, sendResult, {
        headers: HEADERS,
      }),
      202: success('The message was accepted.', messageResource, { headers: HEADERS }),
    },
    [
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

/** POST /send: accept one message. */
export const sendRoutes: FastifyPluginAsyncZod<SendOptions> = async (
  app,
  { acceptance, waiters, store, durability },
) => {
  /** What to say of an accepted message: at once, or when the caller has waited for it. */
  function toAnswer(
    accepted: Accepted,
    seconds: number | null,
    request: FastifyRequest,
    reply: FastifyReply,
  ): CachedResponse | Promise<CachedResponse> {
    if (accepted.kind === 'dropped') return toJsonResponse(200, toDropped(accepted));
    const { delivery } = accepted;
    return seconds === null || delivery.status === 'scheduled'
      ? toAccepted(delivery, request)
      : waitFor(delivery, seconds, request, reply);
  }

  async function waitFor(
    delivery: Delivery,
    seconds: number,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<CachedResponse> {
    const applied = { 'preference-applied': `wait=${seconds}` };
    const settled = await waiters.wait(delivery.id, seconds * 1000, toSignal(reply));
    if (settled !== null) return toSettled(settled, request, applied);
    // Nothing that goes wrong now may hide that the message was accepted.
    const latest = await store.get(delivery.id).catch(() => null);
    return toAccepted(latest ?? delivery, request, applied);
  }

  function toAccepted(
    delivery: Delivery,
    request: FastifyRequest,
    headers: Record<string, string> = {},
    status = 202,
  ): CachedResponse {
    const resource = toResource(delivery, durability, callerOf(request));
    return toJsonResponse(status, resource, { ...headers, location: `/messages/${delivery.id}` });
  }

  function toSettled(
    delivery: Delivery,
    request: FastifyRequest,
    headers: Record<string, string>,
  ): CachedResponse {
    const { status, error } = delivery;
    if (status === 'sent' || status === 'partially_sent' || error === null)
      return toAccepted(delivery, request, headers, 200);
    request.failure = new AppError(error.code);
    const problem = toProblem(error.code, {
      detail: error.detail,
      instance: pathOf(request),
      request_id: request.id,
      hint: error.hint,
      ...(error.smtp && { smtp: error.smtp }),
      message: toResource(delivery, durability, callerOf(request)),
    });
    return {
      status: problem.status,
      headers: { ...headers, 'content-type': 'application/problem+json' },
      body: JSON.stringify(problem),
    };
  }

  app.post(
    '/send',
    { schema, config: { scope: 'send' }, onRequest: acceptance.refuseEarly },
    async (request, reply) => {
      const draft = acceptance.toDraft(request.body);
      if (request.body.dry_run) {
        const preview = await acceptance.preview(draft, request);
        acceptance.tellBudget(preview.delivery, reply);
        return toPreview(preview);
      }

      const seconds = parseWait(headerOf(request, 'prefer'));
      const answer = (accepted: Accepted) => toAnswer(accepted, seconds, request, reply);
      return sendCached(
        await acceptance.acceptOnce(draft, request, reply, { waits: seconds !== null, answer }),
        reply,
      );
    },
  );
};
