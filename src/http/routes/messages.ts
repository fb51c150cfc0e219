import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Delivery } from '../../core/delivery/delivery.ts';
import type { Messages } from '../../core/messages.ts';
import type { Durability } from '../../core/ports/backend.ts';
import { MAILBOX_CODES } from '../../core/ports/mailbox.ts';
import type { Reconciliation } from '../../core/reconcile/reconciliation.ts';
import type { Waiters } from '../../core/waiters.ts';
import { toMessageResource } from '../presenters/message.ts';
import { PREFERENCE_APPLIED, parseWait, preferWait } from '../request/prefer.ts';
import { callerOf, headerOf, messageIdOf, toSignal } from '../request/request-context.ts';
import { messageList, messageParams, messageQuery, messageResource, reschedule } from '../schemas/message.ts';
import { BODY_CODES, keyedResponses, LOCATION, success } from '../schemas/responses.ts';
import { toPage } from '../validation/pagination.ts';

export interface MessageOptions {
  readonly messages: Messages;
  readonly reconciliation: Reconciliation;
  readonly waiters: Pick<Waiters, 'wait'>;
  readonly durability: Durability;
}

/**
 * /messages: their state, and the changes that are still possible. Messages of other keys are
 * reported as unknown.
 */
export const messageRoutes: FastifyPluginAsyncZod<MessageOptions> = async (
  app,
  { messages, reconciliation, waiters, durability },
) => {
  const present = (delivery: Delivery, request: FastifyRequest) =>
    toMessageResource(delivery, durability, callerOf(request));

  app.get(
    '/messages/:id',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getMessage',
        tags: ['messages'],
        summary: 'Get a message',
        description: `A key can read the messages it sent, an admin key all messages. Finished messages are
kept for RETAIN.

With \`Prefer: wait\` the response is sent when the message is settled, or after that time with its current
state.`,
        params: messageParams,
        headers: z.object({ Prefer: preferWait }),
        response: keyedResponses(
          { 200: success('The message.', messageResource, { headers: PREFERENCE_APPLIED }) },
          ['message_not_found'],
        ),
      },
    },
    async (request, reply) => {
      const caller = callerOf(request);
      const id = messageIdOf(request);
      const delivery = await messages.get(id, caller);
      const seconds = parseWait(headerOf(request, 'prefer'));
      if (seconds === null) return present(delivery, request);
      reply.header('preference-applied', `wait=${seconds}`);
      const settled = await waiters.wait(id, seconds * 1000, toSignal(reply), { throughPauses: true });
      return present(settled ?? (await messages.get(id, caller)), request);
    },
  );

  app.get(
    '/messages',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listMessages',
        tags: ['messages'],
        summary: 'List messages',
        description:
          'Newest first, unless `order` is `oldest`. A cursor stays valid while messages are added and removed: no message is listed twice or skipped.',
        querystring: messageQuery,
        response: keyedResponses({ 200: success('A page of messages.', messageList) }, ['validation_failed']),
      },
    },
    async (request) => {
      const { limit, ...query } = request.query;
      const found = await messages.list({ ...query, limit: limit + 1 }, callerOf(request));
      const { items, next_cursor } = toPage(found, limit, ({ createdAt, id }) => [String(createdAt), id]);
      return { messages: items.map((delivery) => present(delivery, request)), next_cursor };
    },
  );

  app.post(
    '/messages/:id/cancel',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'cancelMessage',
        tags: ['messages'],
        summary: 'Cancel a message',
        description:
          'Cancels a message that is scheduled, queued or deferred. If an attempt starts at the same time, either the cancellation or the attempt succeeds, as the response shows.',
        params: messageParams,
        response: keyedResponses({ 200: success('The canceled message.', messageResource) }, [
          ...BODY_CODES,
          'message_not_found',
          'not_cancelable',
        ]),
      },
    },
    async (request) => present(await messages.cancel(messageIdOf(request), callerOf(request)), request),
  );

  app.post(
    '/messages/:id/retry',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'retryMessage',
        tags: ['messages'],
        summary: 'Retry a message',
        description: `Queues a failed, expired or uncertain message again, with the same Message-ID and a
new RETRY_FOR. An \`expires_at\` in the past is ignored. Retrying an uncertain message can deliver a second
copy, so it sets \`possible_duplicate\`.`,
        params: messageParams,
        response: keyedResponses(
          { 202: success('The message, which is queued again.', messageResource, { headers: LOCATION }) },
          [...BODY_CODES, 'message_not_found', 'not_retryable', 'shutting_down'],
        ),
      },
    },
    async (request, reply) => {
      const delivery = await messages.retry(messageIdOf(request), callerOf(request));
      return reply.code(202).header('location', `/messages/${delivery.id}`).send(present(delivery, request));
    },
  );

  app.post(
    '/messages/:id/reconcile',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'reconcileMessage',
        tags: ['messages'],
        summary: 'Search Sent Mail for a message',
        description: `Searches Sent Mail of the account for an uncertain message, or for one that waits
after an attempt whose outcome is unknown. If it is there, the message becomes \`sent\`, with \`confirmed_by\`.
If not, \`error\` of the message reports it, and nothing else changes: absence is no proof.`,
        params: messageParams,
        response: keyedResponses(
          {
            200: success('The message after the search.', messageResource),
            202: success('The message. The search goes on.', messageResource, { headers: LOCATION }),
          },
          [...BODY_CODES, 'message_not_found', 'not_reconcilable', ...MAILBOX_CODES, 'shutting_down'],
        ),
      },
    },
    async (request, reply) => {
      const id = messageIdOf(request);
      const { delivery, isSearched } = await reconciliation.reconcile(id, callerOf(request), toSignal(reply));
      if (!isSearched) reply.code(202).header('location', `/messages/${id}`);
      return present(delivery, request);
    },
  );

  app.patch(
    '/messages/:id',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'rescheduleMessage',
        tags: ['messages'],
        summary: 'Reschedule a message',
        description:
          'Changes the time of a scheduled message, to at most one year ahead. A time in the past means now.',
        params: messageParams,
        body: reschedule,
        response: keyedResponses({ 200: success('The message with its new time.', messageResource) }, [
          ...BODY_CODES,
          'message_not_found',
          'not_reschedulable',
          'validation_failed',
        ]),
      },
    },
    async (request) => {
      const rescheduled = await messages.reschedule(
        messageIdOf(request),
        request.body.scheduled_at,
        callerOf(request),
      );
      return present(rescheduled, request);
    },
  );
};
