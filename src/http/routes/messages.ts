import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { ErrorCode } from '../../core/errors.ts';
import type { Messages } from '../../core/messages.ts';
import type { Backend } from '../../core/ports.ts';
import { refuseByClock } from '../acceptance.ts';
import { callerOf } from '../caller.ts';
import { toPage } from '../page.ts';
import { toResource } from '../resource.ts';
import { answer, answers, BODY_CODES, LOCATION, RATE_LIMIT_HEADERS } from '../schemas/answers.ts';
import { messageList, messageQuery, messageResource, reschedule } from '../schemas/message.ts';

export interface MessageOptions {
  readonly messages: Messages;
  readonly durability: Backend['durability'];
}

const COMMON = [
  'invalid_json',
  'missing_api_key',
  'invalid_api_key',
  'insufficient_scope',
  'rate_limited',
  'internal_error',
  'queue_unavailable',
] as const satisfies ErrorCode[];

const params = z.object({ id: z.string().meta({ examples: ['msg_01k7m4q2'] }) });

/** /messages: what became of them, and what can still be changed. Another key's message is as unknown as one that never was. */
export const messageRoutes: FastifyPluginAsyncZod<MessageOptions> = async (app, { messages, durability }) => {
  app.get(
    '/messages/:id',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getMessage',
        tags: ['messages'],
        summary: 'See what became of a message',
        description: 'A key sees the messages it sent, an admin key all. Finished messages are kept for RETAIN.',
        params,
        response: answers({ 200: answer('The message.', messageResource) }, [...COMMON, 'message_not_found'], RATE_LIMIT_HEADERS),
      },
    },
    async (request) => toResource(await messages.get(idOf(request, request.params), callerOf(request)), durability),
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
        response: answers({ 200: answer('A page of them.', messageList) }, [...COMMON, 'validation_failed'], RATE_LIMIT_HEADERS),
      },
    },
    async (request) => {
      const { limit, ...query } = request.query;
      const found = await messages.list({ ...query, limit: limit + 1 }, callerOf(request));
      const { items, next_cursor } = toPage(found, limit, ({ createdAt, id }) => [String(createdAt), id]);
      return { messages: items.map((delivery) => toResource(delivery, durability)), next_cursor };
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
        params,
        response: answers(
          { 200: answer('It is canceled, and will not be sent.', messageResource) },
          [...COMMON, ...BODY_CODES, 'message_not_found', 'not_cancelable'],
          RATE_LIMIT_HEADERS,
        ),
      },
    },
    async (request) => toResource(await messages.cancel(idOf(request, request.params), callerOf(request)), durability),
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
        params,
        response: answers(
          { 202: answer('It is queued again.', messageResource, { headers: LOCATION }) },
          [...COMMON, ...BODY_CODES, 'message_not_found', 'not_retryable', 'queue_full', 'shutting_down'],
          RATE_LIMIT_HEADERS,
        ),
      },
    },
    async (request, reply) => {
      const delivery = await messages.retry(idOf(request, request.params), callerOf(request));
      return reply.code(202).header('location', `/messages/${delivery.id}`).send(toResource(delivery, durability));
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
        params,
        body: reschedule,
        response: answers(
          { 200: answer('It has the new time.', messageResource) },
          [...COMMON, ...BODY_CODES, 'message_not_found', 'not_reschedulable', 'validation_failed'],
          RATE_LIMIT_HEADERS,
        ),
      },
    },
    async (request) => {
      const scheduledAt = request.body.scheduled_at;
      refuseByClock({ scheduledAt, expiresAt: null });
      return toResource(await messages.reschedule(idOf(request, request.params), scheduledAt, callerOf(request)), durability);
    },
  );
};

/** The id in the path, noted for the log line. */
function idOf(request: FastifyRequest, { id }: z.output<typeof params>): string {
  request.messageId = id;
  return id;
}
