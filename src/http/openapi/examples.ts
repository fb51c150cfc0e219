import type { FastifySchema } from 'fastify';
import { z } from 'zod';
import { AppError, ERRORS, type ErrorCode } from '../../core/errors.ts';
import { toProblem } from '../presenters/problem.ts';
import type { Problem } from '../schemas/problem.ts';
import type { Answer } from '../schemas/responses.ts';
import { validate } from '../validation/validation.ts';

/** A route as the OpenAPI document sees it. `url` has its parameters as `:id`. */
export interface DocumentedRoute {
  readonly schema: FastifySchema;
  readonly url: string;
}

/** One example in an OpenAPI document. */
interface Example {
  readonly summary: string;
  readonly value: unknown;
}

const REQUEST_ID = 'req_6f1c9e0a-7d3b-4c51-9f57-0c2a8b1f4e11';
const PATH: Readonly<Record<string, string>> = {
  id: 'msg_01k7m4q2',
  email: 'nobody@example.com',
  user: 'bot@acme.com',
  code: 'unknown',
};

/** What a route responds for each code of an error, as it would be sent. Undefined for an answer that is no error. */
export function errorExamples(
  { errors }: Answer,
  route: DocumentedRoute,
): Record<string, Example> | undefined {
  if (errors === undefined) return undefined;
  const instance = route.url
    .replace('/templates/:id', '/templates/invoice')
    .replace(/:(\w+)/g, (_, name) => PATH[name] ?? '');
  const toExample = (code: ErrorCode): Example => {
    const { message, errors: found } = failureOf(code, route.schema);
    const problem = toProblem(code, { detail: message, instance, request_id: REQUEST_ID, errors: found });
    return { summary: ERRORS[code].title, value: errors.toBody(problem) };
  };
  return Object.fromEntries(errors.codes.map((code) => [code, toExample(code)]));
}

/** An example for where a problem stands inside another answer. */
export function problemExample(): Problem {
  const code = 'recipient_not_allowed';
  return toProblem(code, { detail: ERRORS[code].title, instance: '/send/batch', request_id: REQUEST_ID });
}

function failureOf(code: ErrorCode, schema: FastifySchema): AppError {
  return (code === 'validation_failed' && findInvalid(schema)) || new AppError(code);
}

/** Requests that are invalid in some route. */
const INVALID = {
  body: [{}, { unknown: true }],
  querystring: [{ limit: '0' }],
  params: [{ email: 'nobody' }],
} as const;

/** The failure of the first of {@link INVALID} that a route refuses. */
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

/** The first example of the body, which Swagger UI puts into the form: it must be accepted as it is. */
export function bodyExample(body: unknown): unknown {
  if (!(body instanceof z.ZodType)) return undefined;
  const { examples } = z.globalRegistry.get(body) ?? {};
  // A copy: what is the same object twice would become an alias in YAML.
  return Array.isArray(examples) ? structuredClone(examples[0]) : undefined;
}
