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

/**
 * Sends a response that may have been stored, at the end of this turn of the event loop. Responses
 * that are written one after another wake the process that reads them once, not once each.
 */
export async function sendCached(
  { status, headers, body }: CachedResponse,
  reply: FastifyReply,
): Promise<FastifyReply> {
  await endOfTurn();
  return reply.code(status).headers(headers).send(body);
}

let turn: Promise<void> | null = null;

/** Resolves once the requests that have arrived in this turn are handled. */
function endOfTurn(): Promise<void> {
  turn ??= new Promise((resolve) =>
    setImmediate(() => {
      turn = null;
      resolve();
    }),
  );
  return turn;
}
