import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError, type ErrorCode, type FieldError, summarize } from '../../core/errors.ts';
import { toProblem } from '../presenters/problem.ts';
import type { Problem } from '../schemas/problem.ts';
import { unsupportedMediaType } from './media-type.ts';

/** An error as it is sent. */
export interface ErrorResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: unknown;
}

/** What is known about the client of a failed request, even if the request could not be parsed. */
export interface ErrorClient {
  /** Path of the route, or else the request target. */
  readonly path: string;
  readonly userAgent: string | undefined;
}

/** Turns a problem into the response that a client understands. */
export type ErrorPresenter = (problem: Problem, client: ErrorClient) => ErrorResponse;

/** Responds with the problem as it is: `application/problem+json` (RFC 9457). */
export function presentProblem(problem: Problem): ErrorResponse {
  return { status: problem.status, contentType: 'application/problem+json', body: problem };
}

/** Sends the response to a failed request. */
export type ErrorHandler = (error: unknown, request: FastifyRequest, reply: FastifyReply) => FastifyReply;

/**
 * Default Retry-After of a 503, in seconds: about the time in which a queue drains or a process
 * restarts.
 */
const RETRY_AFTER_S = 5;

/**
 * Creates the handler of failed requests. It also sets `request.failure` for the log line.
 *
 * Fastify closes the connection after a body that it refused. That is unnecessary once the body has
 * been read. Before that, the kernel would reset the connection while the client is still writing,
 * and the client would never see the response. Node reads and discards the rest, for at most the
 * request timeout.
 */
export function createErrorHandler(present: ErrorPresenter): ErrorHandler {
  return (error, request, reply) => {
    const failure = toAppError(error, request);
    request.failure = failure;
    // Fastify sets the header on the raw response while the service closes.
    const isClosing = failure.code === 'shutting_down' || reply.raw.hasHeader('connection');
    if (!isClosing) reply.removeHeader('connection');
    const problem = toRequestProblem(failure, request);
    const retryAfter = failure.retryAfter ?? (problem.status === 503 ? RETRY_AFTER_S : undefined);
    if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter));
    const { status, contentType, body } = present(problem, clientOf(request));
    if (status === 401) reply.header('www-authenticate', 'Bearer');
    return reply.code(status).type(contentType).send(body);
  };
}

/** Describes the client of a request for an {@link ErrorPresenter}. */
export function clientOf({ url, headers, routeOptions }: FastifyRequest): ErrorClient {
  return { path: routeOptions.url ?? url, userAgent: headers['user-agent'] };
}

/** Returns the path of a request, without its query. */
export function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] ?? '';
}

/** Returns the problem document for a failed request. */
export function toRequestProblem(failure: AppError, request: FastifyRequest): Problem {
  const { code, message, errors } = failure;
  return toProblem(code, { detail: message, instance: pathOf(request), request_id: request.id, errors });
}

/**
 * Codes for the statuses of errors that Fastify, its router and its plugins throw. Other 4xx become
 * `invalid_json`.
 */
const CODE_BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  403: 'not_found',
  404: 'not_found',
  408: 'request_timeout',
  413: 'message_too_large',
  414: 'not_found',
  431: 'headers_too_large',
};

/**
 * Converts any exception. Unless the client is known to have caused it, it becomes
 * `internal_error`, whose text reveals nothing.
 */
export function toAppError(error: unknown, request: FastifyRequest): AppError {
  if (error instanceof AppError) return error;
  if (!(error instanceof Error)) return new AppError('internal_error', { cause: error });
  // The connection closed during the body, by the client or by a timeout. No client sees this
  // error, but the log does.
  if ('code' in error && error.code === 'ECONNRESET')
    return new AppError('request_timeout', { cause: error });
  const status = 'statusCode' in error ? Number(error.statusCode) : 500;
  if (status < 400 || status > 499) return new AppError('internal_error', { cause: error });
  if (status === 415) return unsupportedMediaType(request);
  const code = CODE_BY_STATUS[status] ?? 'invalid_json';
  return new AppError(code, { cause: error, ...(status === 413 && { detail: describeBodySize(request) }) });
}

/** The size of the body, unless it is chunked, and the maximum. */
function describeBodySize({ headers, routeOptions }: FastifyRequest): string {
  const length = headers['content-length'];
  const limit = routeOptions.bodyLimit;
  if (length === undefined) return `The body is larger than the maximum of ${limit} bytes.`;
  return `The body has ${length} bytes; the maximum is ${limit}.`;
}

/**
 * Returns the failure of one item of a list in the body, with pointers relative to the whole body.
 */
export function withPointerPrefix(prefix: string, failure: AppError): AppError {
  return withPointers(failure, prefix, (error) => ({ ...error, pointer: `${prefix}${error.pointer}` }));
}

/**
 * Returns the failure of one item of a list in the body, with its errors relocated.
 *
 * @param path Pointer to the item, for a failure without field errors.
 * @param locate Relocates an error in the body.
 */
export function withPointers(
  { code, message, errors, retryAfter, cause }: AppError,
  path: string,
  locate: (error: FieldError) => FieldError,
): AppError {
  const located = errors.map((error) => (pointsIntoBody(error.pointer) ? locate(error) : error));
  const detail = located.length > 0 ? summarize(located) : `${path}: ${message}`;
  return new AppError(code, {
    detail,
    errors: located,
    cause,
    ...(retryAfter !== undefined && { retryAfter }),
  });
}

/** Pointers into other parts of a request begin with their name, such as `header:`. */
function pointsIntoBody(pointer: string): boolean {
  return pointer === '' || pointer.startsWith('/');
}
