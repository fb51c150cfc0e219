import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyBaseLogger } from 'fastify';
import { traceIdOf } from '../../core/delivery/trace-context.ts';
import { ERRORS, type ErrorCode } from '../../core/errors.ts';
import { clientOf, type ErrorPresenter, type ErrorResponse } from '../errors/error-handler.ts';
import { toProblem } from '../presenters/problem.ts';
import { currentRequest, describeOrigin } from './access-log.ts';
import { newRequestId } from './request-context.ts';

/** An error of Node's HTTP parser. */
type ClientError = Error & { code?: string; rawPacket?: unknown };

/** How long the connection stays open for a client that is still writing, in ms. */
const LINGER_MS = 1000;

/**
 * Creates the handler of errors of Node's HTTP parser, for which there is no Fastify request:
 * malformed or oversized headers, ambiguous framing, and requests that take too long to arrive.
 * Responds, logs, and closes the connection.
 */
export function createClientErrorHandler(present: ErrorPresenter, logger: FastifyBaseLogger) {
  return (error: ClientError, socket: Socket): void => {
    // Not writable: the response has been sent, and the client continues to send.
    if (error.code === 'ECONNRESET' || !socket.writable) return;
    const code = toErrorCode(error);
    const request = currentRequest(socket);
    const request_id = request?.id ?? newRequestId();
    const target = request?.originalUrl ?? targetIn(error.rawPacket);
    const client = request ? clientOf(request) : { path: target ?? '', userAgent: undefined };
    const problem = toProblem(code, { detail: ERRORS[code].title, instance: '', request_id });
    socket.end(formatResponse(present(problem, client), request_id));
    // Destroying a connection with unread bytes resets it, and the response might be lost.
    setTimeout(() => socket.destroy(error), LINGER_MS).unref();
    const origin = describeOrigin(target, request?.ip ?? socket.remoteAddress);
    const trace_id = traceIdOf(request?.trace);
    logger.info({ request_id, trace_id, status: problem.status, code, ...origin }, 'request');
  };
}

function toErrorCode({ code }: ClientError): ErrorCode {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request_timeout';
  return code === 'HPE_HEADER_OVERFLOW' ? 'headers_too_large' : 'invalid_json';
}

/** Returns the target of the request that a packet begins with. The packet may begin elsewhere. */
function targetIn(packet: unknown): string | undefined {
  return Buffer.isBuffer(packet) ? /^[A-Z]{1,20} ([/*h]\S*)/.exec(packet.toString('latin1'))?.[1] : undefined;
}

function formatResponse({ status, contentType, body }: ErrorResponse, requestId: string): string {
  const json = JSON.stringify(body);
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    `Content-Type: ${contentType}`,
    `Content-Length: ${Buffer.byteLength(json)}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${requestId}`,
    '',
    json,
  ].join('\r\n');
}
