import rateLimit, { type FastifyRateLimitStore } from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../../core/errors.ts';
import type { Rate, RateCounters } from '../../core/ports/rate-counter.ts';
import type { Budget } from '../../core/quota.ts';
import { invalidFields } from '../validation/validation.ts';
import { callerOf } from './caller.ts';

/** How many requests one address may make that lead nowhere: without a good key, or to no route. */
const STRIKES = { max: 60, windowMs: 60_000 };

export interface RateLimits {
  /**
   * Spends one request of its caller's allowance, and tells what is left of it.
   *
   * @throws {AppError} `rate_limited`, `queue_unavailable`
   */
  spend(request: FastifyRequest, reply: FastifyReply): Promise<void>;
  /**
   * Spends the rest of a batch, whose first message {@link RateLimits.spend} has counted as the request: all of it in one step, or nothing.
   *
   * @param count Messages in the batch, dry runs included.
   * @param pointer Where the list of messages is in the body.
   * @throws {AppError} `rate_limited`; `validation_failed` if no window has room for so many; `queue_unavailable`
   */
  spendBatch(count: number, pointer: string, request: FastifyRequest, reply: FastifyReply): Promise<void>;
  /**
   * Counts a request that leads nowhere against its address, or the /64 of an IPv6 address. Good keys are never counted here.
   *
   * @throws {AppError} `rate_limited`
   */
  strike(request: FastifyRequest): Promise<void>;
}

/** A window of the plugin, after a cost was spent or refused. */
type Spent = Extract<
  Awaited<ReturnType<ReturnType<FastifyInstance['createRateLimit']>>>,
  { isAllowed: false }
>;

/**
 * Rate limits by key and by address. What is left of a key's is told in the header fields of draft-ietf-httpapi-ratelimit-headers-10.
 *
 * @param usual the rate of keys that have none of their own
 */
export async function createRateLimits(
  app: FastifyInstance,
  counters: RateCounters,
  usual: Rate,
): Promise<RateLimits> {
  await app.register(rateLimit, { global: false, store: storeOf(counters) });
  /** What a request costs in place of 1. */
  const costs = new WeakMap<FastifyRequest, number>();
  const rateOf = (request: FastifyRequest) => callerOf(request).rateLimit ?? usual;
  const perKey = app.createRateLimit({
    max: (request) => rateOf(request).max,
    timeWindow: (request) => rateOf(request).windowMs,
    keyGenerator: (request) => toStoreKey(callerOf(request).name, costs.get(request) ?? 1),
  });
  const perAddress = app.createRateLimit({ max: STRIKES.max, timeWindow: STRIKES.windowMs });

  function tell({ max, timeWindow, remaining, ttlInSeconds }: Spent, reply: FastifyReply) {
    reply.header('ratelimit-policy', `"key";q=${max};w=${Math.ceil(timeWindow / 1000)}`);
    reply.header('ratelimit', `"key";r=${remaining};t=${ttlInSeconds}`);
  }

  return {
    async spend(request, reply) {
      const spent = await perKey(request);
      if (spent.isAllowed) return;
      tell(spent, reply);
      if (spent.isExceeded) throw tooMany(spent);
    },
    async spendBatch(count, pointer, request, reply) {
      if (count === 1) return;
      const { max } = rateOf(request);
      if (count > max) throw neverFits(count, max, pointer);
      costs.set(request, count - 1);
      const spent = await perKey(request);
      if (spent.isAllowed) return;
      // The headers still say what is left: nothing was spent.
      if (spent.isExceeded)
        throw tooMany(
          spent,
          `The batch counts as ${count} messages, more than the window has left. Nothing was accepted.`,
        );
      tell(spent, reply);
    },
    async strike(request) {
      // Who is refused in any case learns why, also while nobody can count.
      const spent = await perAddress(request).catch(() => null);
      if (spent && !spent.isAllowed && spent.isExceeded) throw tooMany(spent);
    },
  };
}

const STORE_KEY = /^key:(\d+):(.*)$/s;

/** The contract of a store has no cost: it goes into the key. Keys of addresses are as the plugin makes them. */
function toStoreKey(name: string, cost: number): string {
  return `key:${cost}:${name}`;
}

/** A store of @fastify/rate-limit that counts by ours: costs of more than one are spent in one step, or not at all. */
function storeOf({ keys, addresses }: RateCounters): new () => FastifyRateLimitStore {
  return class implements FastifyRateLimitStore {
    incr(...[key, callback, windowMs, max]: Parameters<FastifyRateLimitStore['incr']>): void {
      const [, cost, name] = STORE_KEY.exec(key) ?? [];
      const rate = { max, windowMs };
      const spent = name === undefined ? addresses.spend(key, 1, rate) : keys.spend(name, Number(cost), rate);
      spent.then(
        ({ fits, left, resetMs }) => callback(null, { current: fits ? max - left : max + 1, ttl: resetMs }),
        callback,
      );
    }
    child() {
      return this;
    }
  };
}

function tooMany({ ttlInSeconds }: Pick<Spent, 'ttlInSeconds'>, detail?: string): AppError {
  return new AppError('rate_limited', {
    retryAfter: Math.max(1, ttlInSeconds),
    ...(detail !== undefined && { detail }),
  });
}

function neverFits(count: number, max: number, pointer: string): AppError {
  const detail = `The batch has ${count} messages, and the rate limit of this key allows ${max} in one window: send at most ${max} in one batch.`;
  return invalidFields([{ pointer, code: 'too_many', detail }]);
}

const DAY_S = 24 * 60 * 60;

/** Adds the budget of the account that will send the message to what is told of the key's allowance. Past it mail waits; it is not refused. */
export function setRateLimitHeaders(reply: FastifyReply, { limit, left, freesAt }: Budget): void {
  const freesInS = freesAt === null ? DAY_S : Math.max(0, Math.ceil((freesAt - Date.now()) / 1000));
  reply.header(
    'ratelimit-policy',
    joined(reply.getHeader('ratelimit-policy'), `"account";q=${limit};w=${DAY_S}`),
  );
  reply.header('ratelimit', joined(reply.getHeader('ratelimit'), `"account";r=${left};t=${freesInS}`));
}

function joined(former: ReturnType<FastifyReply['getHeader']>, item: string): string {
  return former === undefined ? item : `${former}, ${item}`;
}
