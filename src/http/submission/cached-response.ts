import type { FastifyReply } from 'fastify';
import type { CachedResponse } from '../../core/ports/idempotency-store.ts';

/** Creates a JSON response that can be stored and sent again unchanged. */
export function toJsonResponse(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): CachedResponse {
  return {
    status,
    headers: { ...headers, 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify(body),
  };
}

/** Sends a response that may have been stored. */
export function sendCached({ status, headers, body }: CachedResponse, reply: FastifyReply): FastifyReply {
  return reply.code(status).headers(headers).send(body);
}
