import { hash, timingSafeEqual } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import rateLimit from '@fastify/rate-limit';
import Fastify from 'fastify';
import { z } from 'zod';
import { createLogger } from '../../src/log.ts';
import { answerQuestions, readSetup } from './children.ts';

/**
 * Baseline: the minimum cost of Outtray's packages. The bare route with a zod schema, a rate limit,
 * a hashed key and one log line, but no queue.
 */
const { key } = readSetup<{ key: string }>();
const digest = Buffer.from(hash('sha256', key, 'buffer'));
const logger = createLogger('info', 'json');
const body = z.strictObject({ to: z.email(), subject: z.string(), text: z.string() });

const app = Fastify();
await app.register(rateLimit, { max: 1e9, timeWindow: 60_000, keyGenerator: () => 'bench' });
app.addHook('onRequest', async ({ headers }) => {
  const secret = headers.authorization?.slice('Bearer '.length) ?? '';
  if (!timingSafeEqual(hash('sha256', secret, 'buffer'), digest)) throw new Error('wrong key');
});
app.addHook('onResponse', async ({ id, method }, { statusCode, elapsedTime }) => {
  logger.info(
    {
      request_id: id,
      method,
      route: '/send',
      status: statusCode,
      duration_ms: elapsedTime,
      key: 'bench',
      msg_id: 'msg_0',
    },
    'request',
  );
});
app.setValidatorCompiler<z.ZodType>(({ schema }) => (value) => ({ value: schema.parse(value) }));
app.post('/send', { schema: { body } }, async (_request, reply) =>
  reply.code(202).send({ id: 'msg_0', status: 'queued' }),
);
await app.listen({ host: '127.0.0.1', port: 0 });
answerQuestions({ port: (app.server.address() as AddressInfo).port }, {});
