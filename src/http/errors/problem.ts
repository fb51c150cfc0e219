import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify';
import { AppError, ERRORS, type ErrorCode, summarize } from '../../core/errors.ts';
import { refusalOf, requestOn } from '../request/access-log.ts';
import { refuseMediaType } from '../request/media-type.ts';
import { isResendPath, speaksResend, toResendError } from '../resend/errors.ts';
import type { Problem } from '../schemas/problem.ts';

const CONTENT_TYPE = 'application/problem+json';

/** What Fastify, its router and its plugins say by status, in our codes. Other 4xx are `invalid_json`. */
const CODE_BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  403: 'not_found',
  404: 'not_found',
  408: 'request_timeout',
  413: 'message_too_large',
  414: 'not_found',
  431: 'headers_too_large',
};

export function newRequestId(): string {
  return `req_${randomUUID()}`;
}

/** The path of a request, without its query. */
export function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] ?? '';
}

/** A problem (RFC 9457) made of a row of ERRORS and of what this request adds to it. */
export function toProblem(
  code: ErrorCode,
  particulars: Pick<Problem, 'detail' | 'instance' | 'request_id'> &
    Partial<Pick<Problem, 'errors' | 'hint' | 'smtp' | 'message'>>,
): Problem {
  const { status, title, retryable, hint } = ERRORS[code];
  const { detail, instance, request_id, errors = [], ...rest } = particulars;
  return {
    type: `/problems/${code}`,
    title,
    status,
    detail,
    instance,
    code,
    retryable,
    request_id,
    errors,
    hint,
    ...rest,
  };
}

/** Any exception as an error of ours. What is not known to be the caller's doing is `internal_error`, and keeps what happened to itself. */
export function toAppError(error: unknown, request: FastifyRequest): AppError {
  if (error instanceof AppError) return error;
  if (!(error instanceof Error)) return new AppError('internal_error', { cause: error });
  // The connection was cut under a body, by the caller or for lack of time. Nobody hears of this, but the log has it.
  if ('code' in error && error.code === 'ECONNRESET')
    return new AppError('request_timeout', { cause: error });
  const status = 'statusCode' in error ? Number(error.statusCode) : 500;
  if (status < 400 || status > 499) return new AppError('internal_error', { cause: error });
  if (status === 415) return refuseMediaType(request.headers);
  const code = CODE_BY_STATUS[status] ?? 'invalid_json';
  return new AppError(code, { cause: error, ...(status === 413 && { detail: describeBody(request) }) });
}

/** What a failure is to the request that met it. */
export function toProblemOf(failure: AppError, request: FastifyRequest): Problem {
  const { code, message, errors } = failure;
  return toProblem(code, { detail: message, instance: pathOf(request), request_id: request.id, errors });
}

/** The same refusal, of a part of the body: its pointers begin there. */
export function placedAt(place: string, { code, message, errors, retryAfter, cause }: AppError): AppError {
  // Those that do not begin with a slash point elsewhere than into the body.
  const placed = errors.map((error) =>
    /^(?!\/|$)/.test(error.pointer) ? error : { ...error, pointer: `${place}${error.pointer}` },
  );
  const detail = placed.length > 0 ? summarize(placed) : `${place}: ${message}`;
  return new AppError(code, {
    detail,
    errors: placed,
    cause,
    ...(retryAfter !== undefined && { retryAfter }),
  });
}

/** What came and what is allowed. A chunked body does not say how long it is. */
function describeBody({ headers, routeOptions }: FastifyRequest): string {
  const length = headers['content-length'];
  const limit = routeOptions.bodyLimit;
  if (length === undefined) return `The body is larger than the maximum of ${limit} bytes.`;
  return `The body has ${length} bytes; the maximum is ${limit}.`;
}

/** Seconds. What is a service's trouble and not the caller's passes about as soon as a queue drains or a process restarts. */
const RETRY_AFTER = 5;

/**
 * Answers with a problem, and leaves word of it for the log line.
 *
 * Fastify closes the connection after a body that it did not like. There is no need to once the body has been read; and before that, closing
 * would make the kernel reset the connection under a caller who still writes, and who would never see the answer. Node reads on and throws
 * away what comes, for as long as a request may take.
 */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const failure = toAppError(error, request);
  request.failure = failure;
  // Set on the raw response, it is Fastify's farewell while the service closes.
  const leaving = failure.code === 'shutting_down' || reply.raw.hasHeader('connection');
  if (!leaving) reply.removeHeader('connection');
  const problem = toProblemOf(failure, request);
  const retryAfter = failure.retryAfter ?? (problem.status === 503 ? RETRY_AFTER : undefined);
  if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter));
  const { status, type, body } = inShapeFor(speaksResend(request), problem);
  if (status === 401) reply.header('www-authenticate', 'Bearer');
  return reply.code(status).type(type).send(body);
}

function inShapeFor(isResend: boolean, problem: Problem) {
  if (!isResend) return { status: problem.status, type: CONTENT_TYPE, body: problem };
  const body = toResendError(problem);
  return { status: body.statusCode, type: 'application/json; charset=utf-8', body };
}

/** How long a caller may go on writing what nobody reads any more. */
const LINGER_MS = 1000;

/**
 * Answers what Node's HTTP parser refuses, which never becomes a request: malformed or oversized headers, framing that two parsers could read
 * differently, and whatever takes too long to arrive. The connection is of no further use.
 */
export function answerClientError(
  error: Error & { code?: string; rawPacket?: unknown },
  socket: Socket,
  logger: FastifyBaseLogger,
): void {
  // Not writable: it has been answered, and more of the same comes in.
  if (error.code === 'ECONNRESET' || !socket.writable) return;
  const code =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? 'request_timeout'
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? 'headers_too_large'
        : 'invalid_json';
  const request = requestOn(socket);
  const request_id = request?.id ?? newRequestId();
  const target = request?.originalUrl ?? targetIn(error.rawPacket);
  const refusal = refusalOf(target, request?.ip ?? socket.remoteAddress);
  const problem = toProblem(code, { detail: ERRORS[code].title, instance: '', request_id });
  const isResend = request ? speaksResend(request) : isResendPath(target ?? '');
  socket.end(formatAnswer(inShapeFor(isResend, problem), request_id));
  // Destroyed with bytes unread, the connection would be reset, and the answer might be lost with it.
  setTimeout(() => socket.destroy(error), LINGER_MS).unref();
  logger.info({ request_id, status: problem.status, code, ...refusal }, 'request');
}

/** The target of the request that a packet begins with, if it does; the parser keeps what came before. */
function targetIn(packet: unknown): string | undefined {
  return Buffer.isBuffer(packet) ? /^[A-Z]{1,20} ([/*h]\S*)/.exec(packet.toString('latin1'))?.[1] : undefined;
}

function formatAnswer({ status, type, body }: ReturnType<typeof inShapeFor>, requestId: string): string {
  const json = JSON.stringify(body);
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    `Content-Type: ${type}`,
    `Content-Length: ${Buffer.byteLength(json)}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${requestId}`,
    '',
    json,
  ].join('\r\n');
}
