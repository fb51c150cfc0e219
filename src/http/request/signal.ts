import type { FastifyReply } from 'fastify';

/** Aborted when the connection is gone, or the answer is. */
export function toSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => controller.abort());
  return controller.signal;
}
