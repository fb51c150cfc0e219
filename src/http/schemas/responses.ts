import type { z } from 'zod';
import { ERRORS, type ErrorCode } from '../../core/errors.ts';
import { problem } from './problem.ts';

/**
 * What a route documents of its responses, by status; `src/http/openapi` turns it into the OpenAPI
 * document.
 */
export type DocumentedResponses = Readonly<Record<string, DocumentedResponse>>;

export interface DocumentedResponse {
  readonly description: string;
  readonly headers: Headers;
  /** By media type; empty for a response without a body. */
  readonly content: Readonly<Record<string, { readonly schema: z.ZodType }>>;
  /** The codes that an error can have. Undefined for other responses. */
  readonly codes?: readonly ErrorCode[];
}

type Headers = Readonly<Record<string, { type: string; description: string; examples?: readonly unknown[] }>>;

/** The headers of every response to a request with a valid key. */
export const RATE_LIMIT_HEADERS = {
  'RateLimit-Policy': {
    type: 'string',
    description:
      'Limits of the key: q requests in w seconds, where a batch counts as its messages. For a message, also the limit of its account: q messages in w seconds.',
    examples: ['"key";q=3000;w=60, "account";q=2000;w=86400'],
  },
  RateLimit: {
    type: 'string',
    description:
      'What remains of the limits: r requests, until the window ends in t seconds; for the account, r messages of this priority, and more in t seconds. Mail beyond the limit of the account waits.',
    examples: ['"key";r=2999;t=42, "account";r=1788;t=3600'],
  },
} as const satisfies Headers;

export const LOCATION = {
  Location: {
    type: 'string',
    description: 'The path of the message.',
    examples: ['/messages/msg_01k7m4q2'],
  },
} as const satisfies Headers;
export const REPLAYED = {
  'Idempotency-Replayed': {
    type: 'string',
    description: 'Present if this is the response to an earlier request with the same key.',
    examples: ['true'],
  },
} as const satisfies Headers;

const RETRY_AFTER = {
  'Retry-After': { type: 'integer', description: 'Time to wait, in seconds.', examples: [5] },
} as const satisfies Headers;
const WWW_AUTHENTICATE = {
  'WWW-Authenticate': {
    type: 'string',
    description: 'The authentication scheme.',
    examples: ['Bearer'],
  },
} as const satisfies Headers;

/** Errors of any request that needs a key. */
export const KEY_CODES = [
  'invalid_json',
  'missing_api_key',
  'invalid_api_key',
  'insufficient_scope',
  'rate_limited',
  'internal_error',
  'queue_unavailable',
] as const satisfies ErrorCode[];

/** Errors of any request that can have a body, whether the route reads the body or not. */
export const BODY_CODES = [
  'request_timeout',
  'message_too_large',
  'unsupported_media_type',
  'queue_full',
] as const satisfies ErrorCode[];

/** Documents one successful response. */
export function success(
  description: string,
  schema: z.ZodType,
  { headers = {}, type = 'application/json' }: { headers?: Headers; type?: string } = {},
): DocumentedResponse {
  return { description, headers, content: { [type]: { schema } } };
}

/**
 * Documents the responses of a route that needs no key: `successes` by status, and an error for
 * each code.
 */
export function publicResponses(
  successes: Readonly<Record<number, DocumentedResponse>>,
  codes: readonly ErrorCode[],
): DocumentedResponses {
  return { ...successes, ...problemResponses(codes, {}) };
}

/**
 * Documents the responses of a route that needs a key, including the errors and headers of every
 * such route.
 */
export function keyedResponses(
  successes: Readonly<Record<number, DocumentedResponse>>,
  codes: readonly ErrorCode[] = [],
): DocumentedResponses {
  return anyKeyResponses(successes, [...KEY_CODES, ...codes]);
}

/** Documents the responses of a route that needs a key of any scope. `codes` are all of its errors. */
export function anyKeyResponses(
  successes: Readonly<Record<number, DocumentedResponse>>,
  codes: readonly ErrorCode[],
): DocumentedResponses {
  return {
    ...withHeaders(successes, RATE_LIMIT_HEADERS),
    ...problemResponses(codes, RATE_LIMIT_HEADERS),
  };
}

/** Adds headers to each response. */
export function withHeaders(responses: DocumentedResponses, added: Headers): DocumentedResponses {
  return Object.fromEntries(
    Object.entries(responses).map(([status, response]) => [
      status,
      { ...response, headers: { ...response.headers, ...added } },
    ]),
  );
}

/** One response for each status that the codes have. */
function problemResponses(codes: readonly ErrorCode[], common: Headers): DocumentedResponses {
  const byStatus = Map.groupBy(codes, (code) => ERRORS[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, codesOfStatus]) => [
      status,
      {
        description: codesOfStatus.map((code) => `\`${code}\`: ${ERRORS[code].title}.`).join('\n\n'),
        headers: errorHeaders(status, common),
        content: { 'application/problem+json': { schema: problem } },
        codes: codesOfStatus,
      },
    ]),
  );
}

/** The documented headers of an error of this status; `common` are those of the route. */
export function errorHeaders(status: number, common: Headers): Headers {
  if (status === 401) return WWW_AUTHENTICATE;
  // The HTTP parser rejects a request that takes too long, before its key is known.
  if (status === 408) return {};
  return status === 429 || status === 503 ? { ...common, ...RETRY_AFTER } : common;
}
