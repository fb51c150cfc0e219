import type { Socket } from 'node:net';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../../core/auth/caller.ts';
import { type AppError, describeUnexpectedError, ERRORS } from '../../core/errors.ts';

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
export function logRequests(app: FastifyInstance, logger: FastifyBaseLogger): void {
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
  // The address is read now: a connection that has closed has none.
  const address = request.ip;
  const { socket } = request.raw;
  underWay.set(socket, request);
  reply.raw.once('close', () => {
    if (underWay.get(socket) === request) underWay.delete(socket);
    logRequest(logger, request, reply, address);
  });
}

const underWay = new WeakMap<object, FastifyRequest>();

/** The request under way on a connection: the parser can still refuse the rest of its body. */
export function requestOn(socket: Socket): FastifyRequest | undefined {
  return underWay.get(socket);
}

/** Successful requests to these routes are made by machines and browsers all the time, and say nothing of mail. */
const QUIET = /^\/(livez|readyz|docs|openapi\.yaml|problems)(\/|$)/;

/** Neither headers, bodies nor queries. Only a refused request shows its path; others show the pattern of their route. */
function logRequest(
  logger: FastifyBaseLogger,
  request: FastifyRequest,
  reply: FastifyReply,
  address: string,
): void {
  const { failure } = request;
  // The caller left before there was an answer.
  const aborted = !reply.raw.writableEnded;
  const failed = aborted || reply.statusCode >= 400;
  const line = {
    request_id: request.id,
    method: request.method,
    route: request.routeOptions.url,
    status: aborted ? undefined : reply.statusCode,
    duration_ms: Math.round(reply.elapsedTime * 1000) / 1000,
    key: request.caller?.name,
    msg_id: request.messageId ?? undefined,
    code: failure?.code,
    aborted: aborted || undefined,
    ...(failed && refusalOf(request.originalUrl, address)),
  };
  if (failure?.code === 'internal_error')
    logger.error({ ...line, err: describeUnexpectedError(failure.cause) }, ERRORS.internal_error.title);
  else if (!failed && QUIET.test(request.routeOptions.url ?? '')) logger.debug(line, 'request');
  else logger.info(line, 'request');
}

const MAX_LOGGED_LENGTH = 200;

/** Where a refused request went and came from: what finds the client that must be fixed. */
export function refusalOf(target: string | undefined, address: string | undefined) {
  return {
    path: target === undefined ? undefined : printable(pathIn(target)),
    client_address: printable(address ?? '') || undefined,
  };
}

/** The path of a request target, which can be a whole URL with a user and a password in it (RFC 9112, section 3.2). */
function pathIn(target: string): string {
  const [withoutQuery = ''] = target.split(/[?#]/, 1);
  return withoutQuery.replace(/^[a-z][a-z\d+.-]*:\/\/[^/]*/i, '') || '/';
}

/** Visible ASCII only: a terminal obeys control characters, also those beyond ASCII, which JSON leaves as they are. */
function printable(text: string): string {
  const cut = text.slice(0, MAX_LOGGED_LENGTH);
  return cut
    .replace(
      /[^!-~]/g,
      (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`,
    )
    .slice(0, MAX_LOGGED_LENGTH);
}
