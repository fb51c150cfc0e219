import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../../core/errors.ts';
import type { Budget } from '../../core/quota.ts';
import { callerOf } from '../caller.ts';

/** How many requests one address may make that lead nowhere: without a good key, or to no route. */
const STRIKES = { max: 60, windowMs: 60_000 };

export interface Limits {
  /**
   * Spends one request of its caller's allowance, and tells what is left of it.
   *
   * @throws {AppError} `rate_limited`, `queue_unavailable`
   */
  spend(request: FastifyRequest, reply: FastifyReply): Promise<void>;
  /**
   * Counts a request that leads nowhere against its address, or the /64 of an IPv6 address. Good keys are never counted here.
   *
   * @throws {AppError} `rate_limited`
   */
  strike(request: FastifyRequest): Promise<void>;
}

/** So many requests in each window of time. */
export interface Rate {
  readonly max: number;
  readonly windowMs: number;
}

/**
 * Rate limits by key and by address. What is left of a key's is told in the header fields of draft-ietf-httpapi-ratelimit-headers-10.
 *
 * @param app with @fastify/rate-limit registered
 * @param usual the rate of keys that have none of their own
 */
export function createLimits(app: FastifyInstance, usual: Rate): Limits {
  const rateOf = (request: FastifyRequest) => callerOf(request).rateLimit ?? usual;
  const perKey = app.createRateLimit({
    max: (request) => rateOf(request).max,
    timeWindow: (request) => rateOf(request).windowMs,
    keyGenerator: (request) => `key:${callerOf(request).name}`,
  });
  const perAddress = app.createRateLimit({ max: STRIKES.max, timeWindow: STRIKES.windowMs });

  return {
    async spend(request, reply) {
      const limit = await perKey(request).catch(toUnavailable);
      if (limit.isAllowed) return;
      reply.header('ratelimit-policy', `"key";q=${limit.max};w=${Math.ceil(limit.timeWindow / 1000)}`);
      reply.header('ratelimit', `"key";r=${limit.remaining};t=${limit.ttlInSeconds}`);
      if (limit.isExceeded) throw tooMany(limit.ttlInSeconds);
    },
    async strike(request) {
      // Who is refused in any case learns why, also while nobody can count.
      const limit = await perAddress(request).catch(() => null);
      if (limit && !limit.isAllowed && limit.isExceeded) throw tooMany(limit.ttlInSeconds);
    },
  };
}

/** Where instances count together, and what they count in is away. */
function toUnavailable(cause: unknown): never {
  throw new AppError('queue_unavailable', { cause });
}

const DAY_S = 24 * 60 * 60;

/** Adds the budget of the account that will send the message to what is told of the key's allowance. Past it mail waits; it is not refused. */
export function tellBudget(reply: FastifyReply, { limit, left, freesAt }: Budget): void {
  const freesInS = freesAt === null ? DAY_S : Math.max(0, Math.ceil((freesAt - Date.now()) / 1000));
  reply.header('ratelimit-policy', joined(reply.getHeader('ratelimit-policy'), `"account";q=${limit};w=${DAY_S}`));
  reply.header('ratelimit', joined(reply.getHeader('ratelimit'), `"account";r=${left};t=${freesInS}`));
}

function joined(former: ReturnType<FastifyReply['getHeader']>, item: string): string {
  return former === undefined ? item : `${former}, ${item}`;
}

function tooMany(retryAfter: number): AppError {
  return new AppError('rate_limited', { retryAfter: Math.max(1, retryAfter) });
}
