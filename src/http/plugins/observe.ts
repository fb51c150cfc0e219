import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../../core/caller.ts';
import { type AppError, describeBug, ERRORS } from '../../core/errors.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; null until the key is checked, and on routes that need none. */
    caller: Caller | null;
    /** The id of the message the request is about. */
    messageId: string | null;
    /** Why the request was refused, or failed. */
    failure: AppError | null;
  }
}

/** Gives each request its common response headers and, once it is answered, one line in the log. */
export function observeRequests(app: FastifyInstance, logger: FastifyBaseLogger): void {
  app.decorateRequest('caller', null);
  app.decorateRequest('messageId', null);
  app.decorateRequest('failure', null);
  app.addHook('onRequest', (request, reply, done) => {
    observe(request, reply, logger);
    done();
  });
}

/** The same for a request that the router refuses, which no hook sees. */
export function observe(request: FastifyRequest, reply: FastifyReply, logger: FastifyBaseLogger): void {
  reply.headers({
    'x-request-id': request.id,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  });
  // Fastify's onResponse says nothing of a caller who left before the answer; this always comes.
  reply.raw.once('close', () => logRequest(logger, request, reply));
}

/** Neither headers nor bodies, and the pattern of the route in place of its URL: nothing in it can be a secret. */
function logRequest(logger: FastifyBaseLogger, request: FastifyRequest, reply: FastifyReply): void {
  const { failure } = request;
  // The caller left before there was an answer.
  const aborted = !reply.raw.writableEnded;
  const line = {
    request_id: request.id,
    method: request.method,
    route: request.routeOptions.url,
    status: aborted ? undefined : reply.statusCode,
    duration_ms: Math.round(reply.elapsedTime * 1000) / 1000,
    key: request.caller?.name,
    message_id: request.messageId ?? undefined,
    code: failure?.code,
    aborted: aborted || undefined,
  };
  if (failure?.code === 'internal_error') logger.error({ ...line, err: describeBug(failure.cause) }, ERRORS.internal_error.title);
  else logger.info(line, 'request');
}
