import { randomUUID } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../../core/auth/caller.ts';
import type { TraceContext } from '../../core/delivery/trace-context.ts';
import type { AppError } from '../../core/errors.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The API key; null until it is checked, and on routes without authentication. */
    caller: Caller | null;
    /** Its trace, and that of the messages that it submits. */
    trace: TraceContext | null;
    /** Id of the message that the request is about, for the log line. */
    messageId: string | null;
    /** Why the request was refused or failed, for the log line. */
    failure: AppError | null;
  }
}

export function newRequestId(): string {
  return `req_${randomUUID()}`;
}

/** Returns the API key of a request to a route that requires one. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new Error(`${request.routeOptions.url} has no authentication`);
  return request.caller;
}

/** Returns a header. Several values are joined by commas. */
export function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** What the log reports as `msg_id`. Anything else is visible in the path of the log line. */
const MESSAGE_ID = /^msg_\w{1,60}$/;

/** Returns the message id in the path, and sets it for the log line. */
export function messageIdOf(request: FastifyRequest<{ Params: { id: string } }>): string {
  const { id } = request.params;
  if (MESSAGE_ID.test(id)) request.messageId = id;
  return id;
}

/** Returns a signal that is aborted when the connection is closed before the response was sent. */
export function toSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
}
