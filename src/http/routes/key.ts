import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import { SCOPES } from '../../core/auth/caller.ts';
import { callerOf } from '../request/request-context.ts';
import { anyKeyResponses, success } from '../schemas/responses.ts';

const apiKey = z.object({
  name: z.string().meta({ examples: ['crm'] }),
  scopes: z.array(z.enum(SCOPES)).meta({
    description: '`admin` includes the others, for the messages of every key.',
    examples: [['send', 'read']],
  }),
  test: z.boolean().meta({
    description: 'Whether its mail goes to the built-in simulator, never to Gmail.',
  }),
});

/** GET /key: the API key of the request. */
export const keyRoutes: FastifyPluginAsyncZod = async (app) => {
  app.get(
    '/key',
    {
      config: { scope: 'any' },
      schema: {
        operationId: 'getKey',
        tags: ['keys'],
        summary: 'Get the API key in use',
        description: 'Returns the name and the scopes of the API key that the request was sent with.',
        response: anyKeyResponses({ 200: success('The API key.', apiKey) }, [
          'invalid_json',
          'missing_api_key',
          'invalid_api_key',
          'rate_limited',
        ]),
      },
    },
    async (request) => {
      const { name, scopes, test } = callerOf(request);
      return { name, scopes: [...scopes], test };
    },
  );
};
