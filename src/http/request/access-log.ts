import type { Socket } from 'node:net';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { traceIdOf } from '../../core/delivery/trace-context.ts';
import { describeUnexpectedError, ERRORS } from '../../core/errors.ts';
import type { Metrics } from '../../core/ports/metrics.ts';
import { redactAddresses } from '../../core/redact-addresses.ts';
import { readTraceContext } from './trace-context.ts';

/** Counts a request that has ended. */
export type CountRequest = Metrics['countRequest'];

/** Sets the common response headers of each request, and logs and counts it when it ends. */
export function logRequests(app: FastifyInstance, logger: FastifyBaseLogger, count: CountRequest): void {
  app.decorateRequest('caller', null);
  app.decorateRequest('trace', null);
  app.decorateRequest('messageId', null);
  app.decorateRequest('failure', null);
  app.addHook('onRequest', (request, reply, done) => {
    observeRequest(request, reply, logger, count);
    done();
  });
}

/** Does the same for a request that the router refuses, for which Fastify runs no hook. */
export function observeRequest(
  request: FastifyRequest,
  reply: FastifyReply,
  logger: FastifyBaseLogger,
  count: CountRequest,
): void {
  reply.headers({
    'x-request-id': request.id,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  });
  request.trace = readTraceContext(request.headers);
  // A closed connection has no address, so it is read now.
  const address = request.ip;
  const { socket } = request.raw;
  activeRequests.set(socket, request);
  // Unlike Fastify's onResponse, `close` is also emitted if the client disconnects before the
  // response.
  reply.raw.on('close', () => {
    if (activeRequests.get(socket) === request) activeRequests.delete(socket);
    // The client disconnected before the response ended.
    const status = reply.raw.writableEnded ? reply.statusCode : undefined;
    const durationMs = reply.elapsedTime;
    count({ method: request.method, route: request.routeOptions.url, status, durationMs });
    logRequest(logger, request, { status, durationMs }, address);
  });
}

const activeRequests = new WeakMap<object, FastifyRequest>();

/**
 * Returns the active request of a connection, if any: the HTTP parser can still refuse the rest of
 * its body.
 */
export function currentRequest(socket: Socket): FastifyRequest | undefined {
  return activeRequests.get(socket);
}

/** Routes that machines and browsers poll. Their successful requests are logged at level debug. */
const QUIET = /^\/($|(livez|readyz|metrics|docs|openapi\.yaml|problems|ui)(\/|$))/;

/** Whether machines and browsers poll a route, so that it is of no interest while it works. */
export function isPolled(route: string | undefined): boolean {
  return route !== undefined && QUIET.test(route);
}

/**
 * Logs no headers, bodies or queries. Only failed requests show their path; all show the pattern of
 * their route.
 */
function logRequest(
  logger: FastifyBaseLogger,
  request: FastifyRequest,
  { status, durationMs }: { readonly status: number | undefined; readonly durationMs: number },
  address: string,
): void {
  const { failure } = request;
  const aborted = status === undefined;
  const failed = aborted || status >= 400;
  const line = {
    request_id: request.id,
    trace_id: traceIdOf(request.trace),
    method: request.method,
    route: request.routeOptions.url,
    status,
    duration_ms: Math.round(durationMs * 1000) / 1000,
    key: request.caller?.name,
    msg_id: request.messageId ?? undefined,
    code: failure?.code,
    aborted: aborted || undefined,
    ...(failed && describeOrigin(request.originalUrl, address)),
  };
  if (failure?.code === 'internal_error')
    logger.error({ ...line, err: describeUnexpectedError(failure.cause) }, ERRORS.internal_error.title);
  else if (!failed && isPolled(request.routeOptions.url)) logger.debug(line, 'request');
  else logger.info(line, 'request');
}

const MAX_LOGGED_LENGTH = 200;

/**
 * Log fields of a failed request that help to find the client: its path, in which a mail address is
 * redacted, and its IP address.
 */
export function describeOrigin(target: string | undefined, address: string | undefined) {
  return {
    path: target === undefined ? undefined : toPrintable(pathIn(target)),
    client_address: toPrintable(address ?? '') || undefined,
  };
}

/**
 * Returns the path of a request target, which can be a whole URL with user and password (RFC 9112,
 * section 3.2).
 */
function pathIn(target: string): string {
  const [withoutQuery = ''] = target.split(/[?#]/, 1);
  const path = withoutQuery.replace(/^[a-z][a-z\d+.-]*:\/\/[^/]*/i, '') || '/';
  return path
    .split('/')
    .map((segment) => redactAddresses(segment))
    .join('/');
}

/**
 * Visible ASCII only. Terminals interpret control characters, including those beyond ASCII, which
 * JSON does not escape.
 */
function toPrintable(text: string): string {
  const cut = text.slice(0, MAX_LOGGED_LENGTH);
  return cut
    .replace(
      /[^!-~]/g,
      (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`,
    )
    .slice(0, MAX_LOGGED_LENGTH);
}
