import { randomUUID } from 'node:crypto';
import Fastify from 'fastify';
import { createTransport } from 'nodemailer';
import { authorization, type Message, message, port, server, toMail } from './mail.ts';

/** Fastify, an array as the queue, and nodemailer's pool: fast, but loses its messages in a crash. */
const connections = 5;
const transport = createTransport({ ...server, pool: true, maxConnections: connections });
const queue: Message[] = [];
let sending = 0;

function sendNext() {
  while (sending < connections && queue.length > 0) {
    sending += 1;
    transport
      .sendMail(toMail(queue.shift() as Message))
      .catch((error) => app.log.error(error))
      .finally(() => {
        sending -= 1;
        sendNext();
      });
  }
}

const app = Fastify();
app.post('/send', async (request, reply) => {
  if (request.headers.authorization !== authorization) return reply.code(401).send({ error: 'wrong key' });
  const parsed = message.safeParse(request.body);
  if (!parsed.success) return reply.code(422).send({ error: parsed.error.issues });
  queue.push(parsed.data);
  sendNext();
  return reply.code(202).send({ id: randomUUID(), status: 'queued' });
});
await app.listen({ host: '127.0.0.1', port });
