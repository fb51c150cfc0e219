import type { FastifySchema } from 'fastify';
import { z } from 'zod';
import { AppError, ERRORS, type ErrorCode } from '../../core/errors.ts';
import { toError } from '../presenters/message.ts';
import { toProblem } from '../presenters/problem.ts';
import type { ErrorExample } from '../routes/problem-pages.ts';
import type { Problem } from '../schemas/problem.ts';
import type { DocumentedResponses } from '../schemas/responses.ts';
import { validate } from '../validation/validation.ts';

/** A route as the document describes it. */
export interface DocumentedRoute {
  readonly schema: FastifySchema;
  /** With parameters as `:id`. */
  readonly url: string;
}

const REQUEST_ID = 'req_6f1c9e0a-7d3b-4c51-9f57-0c2a8b1f4e11';
const PATH: Readonly<Record<string, string>> = {
  id: 'msg_01k7m4q2',
  email: 'nobody@example.com',
  user: 'bot@acme.com',
  code: 'unknown',
};

/**
 * Makes an example of an error from its row of ERRORS. A code has one example for all operations:
 * that of POST /send if the route documents the code, else that of the first route that does.
 */
export function errorExample(code: ErrorCode, routes: readonly DocumentedRoute[]): Problem {
  const candidates = routes.filter((route) => hasCode(route, code));
  const route = candidates.find(({ url }) => url === '/send') ?? candidates[0];
  const failure = (code === 'validation_failed' && route && findInvalid(route.schema)) || new AppError(code);
  return toProblem(code, {
    detail: failure.message,
    instance: toInstance(route?.url ?? '/send'),
    request_id: REQUEST_ID,
    errors: failure.errors,
  });
}

/**
 * Makes the example of an error for its page. Unless a response can have the code, it is the `error`
 * of a message.
 */
export function exampleOnPage(code: ErrorCode, routes: readonly DocumentedRoute[]): ErrorExample {
  const { title, hint, scope } = ERRORS[code];
  if (scope === 'request' || routes.some((route) => hasCode(route, code)))
    return { kind: 'response', body: errorExample(code, routes) };
  return { kind: 'message', error: toError({ code, detail: title, hint, scope, smtp: null }) };
}

/** An example for the schema of a problem, which also occurs inside other responses. */
export function problemExample(): Problem {
  const code = 'recipient_not_allowed';
  return toProblem(code, { detail: ERRORS[code].title, instance: '/send/batch', request_id: REQUEST_ID });
}

function hasCode({ schema }: DocumentedRoute, code: ErrorCode): boolean {
  const responses = Object.values((schema.response ?? {}) as DocumentedResponses);
  return responses.some(({ codes }) => codes?.includes(code));
}

function toInstance(url: string): string {
  return url
    .replace('/templates/:id', '/templates/invoice')
    .replace(/:(\w+)/g, (_, name) => PATH[name] ?? '');
}

/** Requests that are invalid for some routes. */
const INVALID = {
  body: [{}, { unknown: true }],
  querystring: [{ limit: '0' }],
  params: [{ email: 'nobody' }],
} as const;

/** The failure of the first of {@link INVALID} that a route rejects. */
function findInvalid(schema: FastifySchema): AppError | null {
  for (const part of ['body', 'querystring', 'params'] as const) {
    const own = schema[part];
    if (!(own instanceof z.ZodType)) continue;
    for (const value of INVALID[part]) {
      try {
        validate(own, value, part);
      } catch (error) {
        if (error instanceof AppError) return error;
        throw error;
      }
    }
  }
  return null;
}
