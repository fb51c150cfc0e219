import { Queue, Worker } from 'bullmq';
import Fastify from 'fastify';
import { createTransport } from 'nodemailer';
import { authorization, type Message, message, port, redis, server, toMail } from './mail.ts';

/** Fastify, BullMQ and nodemailer's pool, web server and worker in one process. */
const connections = 5;
const transport = createTransport({ ...server, pool: true, maxConnections: connections });
const queue = new Queue<Message>('mail', {
  connection: redis,
  defaultJobOptions: {
    attempts: 5,
    backoff: { type: 'exponential', delay: 1000 },
    removeOnComplete: { count: 1000 },
  },
});
const worker = new Worker<Message>('mail', ({ data }) => transport.sendMail(toMail(data)), {
  connection: redis,
  concurrency: connections,
});

const app = Fastify();
worker.on('error', (error) => app.log.error(error));
app.post('/send', async (request, reply) => {
  if (request.headers.authorization !== authorization) return reply.code(401).send({ error: 'wrong key' });
  const parsed = message.safeParse(request.body);
  if (!parsed.success) return reply.code(422).send({ error: parsed.error.issues });
  const { id } = await queue.add('send', parsed.data);
  return reply.code(202).send({ id, status: 'queued' });
});
await app.listen({ host: '127.0.0.1', port });
