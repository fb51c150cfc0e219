/** @import { operations, Problem } from '../client/schema.ts' */

/** How long a response may take, in ms. */
const TIMEOUT_MS = 20_000;

/** A response that is not a success, as the service explains it. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {Partial<Problem>} problem
   * @param {number | null} retryAfter Seconds to wait before the next request.
   */
  constructor(status, problem, retryAfter) {
    super(problem.detail ?? problem.title ?? `The service responded with status ${status}.`);
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

/** No response: the service or the network is down. */
export class ConnectionError extends Error {}

/**
 * How many requests the key may make, from the headers of a response. Null: not reported.
 *
 * @typedef {object} RateLimit
 * @property {number} max Requests in a window.
 * @property {number} windowS Seconds.
 * @property {number} left Requests until the window ends.
 * @property {number} endsInS Seconds until the window ends.
 */

/**
 * @typedef {object} Reply
 * @property {number} status
 * @property {any} data The parsed body, or null.
 */

/**
 * The body of status 200 of an operation, as the OpenAPI document describes it.
 *
 * @template {keyof operations} Id
 * @typedef {operations[Id]['responses'] extends { 200: { content: { 'application/json': infer Body } } } ? Body : never} Result
 */

/**
 * @typedef {object} RequestOptions
 * @property {Record<string, string | null | undefined>} [query] Empty values are left out.
 * @property {unknown} [body] Sent as JSON.
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal | undefined} [signal]
 * @property {number} [timeoutMs]
 */

/**
 * @typedef {object} Api
 * @property {(method: string, path: string, options?: RequestOptions) => Promise<Reply>} request
 *   Throws {@link ApiError} and {@link ConnectionError}. The path is relative to the page, so that
 *   it is right behind a proxy that strips a prefix.
 * @property {(path: string, options?: RequestOptions) => Promise<any>} get Returns the data.
 * @property {() => RateLimit | null} rateLimit
 */

/**
 * Creates a client of the API with one key.
 *
 * @param {string} secret
 * @param {() => void} onRejected Called if the key is not or no longer valid.
 * @returns {Api}
 */
export function createApi(secret, onRejected) {
  /** @type {RateLimit | null} */
  let rateLimit = null;

  /** @type {Api['request']} */
  async function request(method, path, options = {}) {
    const response = await send(method, path, secret, options);
    rateLimit = parseRateLimit(response.headers) ?? rateLimit;
    const data = await readJson(response);
    if (response.ok) return { status: response.status, data };
    if (response.status === 401) onRejected();
    throw new ApiError(response.status, data ?? {}, parseRetryAfter(response.headers));
  }

  return {
    request,
    get: async (path, options) => (await request('GET', path, options)).data,
    rateLimit: () => rateLimit,
  };
}

/**
 * @param {string} method
 * @param {string} path
 * @param {string} secret
 * @param {RequestOptions} options
 */
async function send(
  method,
  path,
  secret,
  { query = {}, body, headers = {}, signal, timeoutMs = TIMEOUT_MS },
) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) search.set(name, value);
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    return await fetch(search.size > 0 ? `${path}?${search}` : path, {
      method,
      headers: {
        authorization: `Bearer ${secret}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      credentials: 'omit',
      cache: 'no-store',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ConnectionError('The service cannot be reached.', { cause: error });
  }
}

/** @param {Response} response */
async function readJson(response) {
  if (!/json/.test(response.headers.get('content-type') ?? '')) return null;
  try {
    return await response.json();
  } catch (error) {
    throw new ConnectionError('The response of the service ended early.', { cause: error });
  }
}

/**
 * Reads the limit of the key from headers such as `"key";q=3000;w=60` and `"key";r=2999;t=42`.
 *
 * @param {Headers} headers
 * @returns {RateLimit | null}
 */
export function parseRateLimit(headers) {
  const policy = /"key";q=(\d+);w=(\d+)/.exec(headers.get('ratelimit-policy') ?? '');
  const state = /"key";r=(\d+);t=(\d+)/.exec(headers.get('ratelimit') ?? '');
  if (!policy || !state) return null;
  return {
    max: Number(policy[1]),
    windowS: Number(policy[2]),
    left: Number(state[1]),
    endsInS: Number(state[2]),
  };
}

/** @param {Headers} headers */
function parseRetryAfter(headers) {
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds : null;
}
