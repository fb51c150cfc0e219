import type { AddressInfo } from 'node:net';
import Fastify from 'fastify';
import { answerQuestions } from './children.ts';

/**
 * Baseline: one Fastify route with the same body, an ajv schema and a response schema, but no API
 * key, rate limit, log or queue.
 */
const text = { type: 'string' } as const;
const app = Fastify();
app.post(
  '/send',
  {
    schema: {
      body: {
        type: 'object',
        required: ['to', 'subject', 'text'],
        additionalProperties: false,
        properties: { to: text, subject: text, text },
      },
      response: { 202: { type: 'object', properties: { id: text, status: text } } },
    },
  },
  async (_request, reply) => reply.code(202).send({ id: 'msg_0', status: 'queued' }),
);
await app.listen({ host: '127.0.0.1', port: 0 });
answerQuestions({ port: (app.server.address() as AddressInfo).port }, {});
