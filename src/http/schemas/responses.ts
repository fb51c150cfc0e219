import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../../core/errors.ts';
import { type Problem, problem } from './problem.ts';

/** Documented headers, by name. */
type Headers = Readonly<Record<string, { type: string; description: string; examples?: readonly unknown[] }>>;

/** Every answer to a request with a good key has these. */
export const RATE_LIMIT_HEADERS = {
  'RateLimit-Policy': {
    type: 'string',
    description:
      'What this key may do: q requests in w seconds, where a batch counts as its messages; for a message, also what its account may send: q messages in w seconds.',
    examples: ['"key";q=3000;w=60, "account";q=2000;w=86400'],
  },
  RateLimit: {
    type: 'string',
    description:
      'What is left: r requests, until the window ends in t seconds; of the account, r messages of this priority, more in t seconds. Past it, mail waits.',
    examples: ['"key";r=2999;t=42, "account";r=1788;t=3600'],
  },
} as const satisfies Headers;

export const LOCATION = {
  Location: {
    type: 'string',
    description: 'Where to see what becomes of it.',
    examples: ['/messages/msg_01k7m4q2'],
  },
} as const satisfies Headers;
export const REPLAYED = {
  'Idempotency-Replayed': {
    type: 'string',
    description: 'Present if this is the answer to an earlier request.',
    examples: ['true'],
  },
} as const satisfies Headers;

const RETRY_AFTER = {
  'Retry-After': { type: 'integer', description: 'Seconds to wait.', examples: [5] },
} as const satisfies Headers;
const WWW_AUTHENTICATE = {
  'WWW-Authenticate': { type: 'string', description: 'Bearer.', examples: ['Bearer'] },
} as const satisfies Headers;

/** What any request with a key may be answered. */
export const KEY_CODES = [
  'invalid_json',
  'missing_api_key',
  'invalid_api_key',
  'insufficient_scope',
  'rate_limited',
  'internal_error',
  'queue_unavailable',
] as const satisfies ErrorCode[];

/** What any request with a body may be answered, whether the route reads the body or not. */
export const BODY_CODES = [
  'request_timeout',
  'message_too_large',
  'unsupported_media_type',
  'queue_full',
] as const satisfies ErrorCode[];

/** One documented answer, in its media type. */
export interface Answer {
  readonly description: string;
  readonly headers: Headers;
  readonly content: Readonly<Record<string, { readonly schema: z.ZodType }>>;
  /** Of an error: its codes, and the body that is sent for a problem. */
  readonly errors?: { readonly codes: readonly ErrorCode[]; readonly toBody: (problem: Problem) => unknown };
}

export function answer(
  description: string,
  schema: z.ZodType,
  options: { headers?: Headers; type?: string } = {},
): Answer {
  return {
    description,
    headers: options.headers ?? {},
    content: { [options.type ?? 'application/json']: { schema } },
  };
}

/** The documented answers of a route by status, its own and its problems; `common` are the headers that all of these have. */
export function answers(
  own: Readonly<Record<number, Answer>>,
  codes: readonly ErrorCode[],
  common: Headers = {},
): Record<string, Answer> {
  const successes = Object.entries(own).map(
    ([status, given]) => [status, { ...given, headers: { ...given.headers, ...common } }] as const,
  );
  const problems = [...Map.groupBy(codes, (code) => ERRORS[code].status)].map(
    ([status, group]) => [status, toProblems(status, group, common)] as const,
  );
  return Object.fromEntries([...successes, ...problems]);
}

/** The same for a route that needs a key: with what any of these may be answered. */
export function answersToKey(
  own: Readonly<Record<number, Answer>>,
  codes: readonly ErrorCode[] = [],
): Record<string, Answer> {
  return answers(own, [...KEY_CODES, ...codes], RATE_LIMIT_HEADERS);
}

function toProblems(status: number, codes: readonly ErrorCode[], common: Headers): Answer {
  const description = codes.map((code) => `\`${code}\`: ${ERRORS[code].title}.`).join('\n\n');
  const documented = answer(description, withCodes(problem, codes), {
    headers: headersOf(status, common),
    type: 'application/problem+json',
  });
  return { ...documented, errors: { codes, toBody: (found) => found } };
}

/** The documented headers of an error of this status. */
export function headersOf(status: number, common: Headers = {}): Headers {
  if (status === 401) return WWW_AUTHENTICATE;
  // The parser gives up on a request that takes too long, and knows nothing of its key.
  if (status === 408) return {};
  return status === 429 || status === 503 ? { ...common, ...RETRY_AFTER } : common;
}

/** An error that has one of these codes: what a client can branch on, told by the schema and not by its description only. */
export function withCodes(error: z.ZodType, codes: readonly ErrorCode[]): z.ZodType {
  return z.intersection(error, z.object({ code: z.enum(codes) }));
}
