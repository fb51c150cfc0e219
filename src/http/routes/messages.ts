import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Delivery } from '../../core/delivery/delivery.ts';
import type { Messages } from '../../core/messages.ts';
import type { Durability } from '../../core/ports/backend.ts';
import type { Waiters } from '../../core/waiters.ts';
import { toMessageResource } from '../presenters/message.ts';
import { PREFERENCE_APPLIED, parseWait, preferWait } from '../request/prefer.ts';
import { callerOf, headerOf, messageIdOf, toSignal } from '../request/request-context.ts';
import { messageList, messageParams, messageQuery, messageResource, reschedule } from '../schemas/message.ts';
import { answer, answersToKey, BODY_CODES, LOCATION } from '../schemas/responses.ts';
import { toPage } from '../validation/pagination.ts';

export interface MessageOptions {
  readonly messages: Messages;
  readonly waiters: Pick<Waiters, 'wait'>;
  readonly durability: Durability;
}

/**
 * /messages: their state, and the changes that are still possible. Messages of other keys are
 * reported as unknown.
 */
export const messageRoutes: FastifyPluginAsyncZod<MessageOptions> = async (
  app,
  { messages, waiters, durability },
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
        summary: 'See what became of a message',
        description: `A key sees the messages it sent, an admin key all. Finished messages are kept for RETAIN.

With \`Prefer: wait\` the answer comes when the message is settled, or after that time with its state then.`,
        params: messageParams,
        headers: z.object({ Prefer: preferWait }),
        response: answersToKey(
          { 200: answer('The message.', messageResource, { headers: PREFERENCE_APPLIED }) },
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
        summary: 'Find messages',
        description:
          'Newest first. A cursor stays right while messages come and go: nothing is listed twice, and nothing that was there is left out.',
        querystring: messageQuery,
        response: answersToKey({ 200: answer('A page of them.', messageList) }, ['validation_failed']),
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
          'One that is scheduled, queued or deferred. If an attempt starts at the same moment, one of the two wins, and the answer says which.',
        params: messageParams,
        response: answersToKey({ 200: answer('It is canceled, and will not be sent.', messageResource) }, [
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
        summary: 'Try a message again',
        description: `One that failed, expired, or whose outcome is uncertain: with the same Message-ID, and RETRY_FOR from now on.
An expires_at that has passed no longer holds. Of an uncertain one a second copy may arrive: it then says possible_duplicate.`,
        params: messageParams,
        response: answersToKey(
          { 202: answer('It is queued again.', messageResource, { headers: LOCATION }) },
          [...BODY_CODES, 'message_not_found', 'not_retryable', 'shutting_down'],
        ),
      },
    },
    async (request, reply) => {
      const delivery = await messages.retry(messageIdOf(request), callerOf(request));
      return reply.code(202).header('location', `/messages/${delivery.id}`).send(present(delivery, request));
    },
  );

  app.patch(
    '/messages/:id',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'rescheduleMessage',
        tags: ['messages'],
        summary: 'Change when a scheduled message is sent',
        description: 'At most a year ahead. A time in the past is now.',
        params: messageParams,
        body: reschedule,
        response: answersToKey({ 200: answer('It has the new time.', messageResource) }, [
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
