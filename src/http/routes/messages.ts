import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import { AppError } from '../../core/errors.ts';
import type { Backend, Store } from '../../core/ports.ts';
import { callerOf } from '../caller.ts';
import { toResource } from '../resource.ts';
import { answer, answers, RATE_LIMIT_HEADERS } from '../schemas/answers.ts';
import { messageResource } from '../schemas/message.ts';

export interface MessageOptions {
  readonly store: Pick<Store, 'get'>;
  readonly durability: Backend['durability'];
}

/** GET /messages/{id}: the message resource. Another key's message is as unknown as one that never was. */
export const messageRoutes: FastifyPluginAsyncZod<MessageOptions> = async (app, { store, durability }) => {
  app.get(
    '/messages/:id',
    {
      schema: {
        operationId: 'getMessage',
        tags: ['messages'],
        summary: 'See what became of a message',
        description: 'A key sees the messages it sent, an admin key all. Finished messages are kept for RETAIN.',
        params: z.object({ id: z.string().meta({ examples: ['msg_01k7m4q2'] }) }),
        response: answers(
          {
            200: answer('The message.', messageResource),
          },
          [
            'invalid_json',
            'missing_api_key',
            'invalid_api_key',
            'message_not_found',
            'rate_limited',
            'internal_error',
            'queue_unavailable',
          ],
          RATE_LIMIT_HEADERS,
        ),
      },
    },
    async (request) => {
      const { name, admin } = callerOf(request);
      const delivery = await store.get(request.params.id);
      if (delivery === null || (delivery.owner !== name && !admin)) throw new AppError('message_not_found');
      request.messageId = delivery.id;
      return toResource(delivery, durability);
    },
  );
};
