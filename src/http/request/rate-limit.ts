import rateLimit, { type FastifyRateLimitStore } from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../../core/errors.ts';
import type { Rate, RateCounters } from '../../core/ports/rate-counter.ts';
import type { Budget } from '../../core/quota.ts';
import { invalidFields } from '../validation/validation.ts';
import { callerOf } from './request-context.ts';

/** Failed requests allowed for one address: without a valid API key, or to an unknown route. */
const FAILURES = { max: 60, windowMs: 60_000 };

export interface RateLimits {
  /**
   * Counts one request of an API key, and sets the headers with what remains of its rate.
   *
   * @throws {AppError} `rate_limited`, `queue_unavailable`
   */
  spend(request: FastifyRequest, reply: FastifyReply): Promise<void>;
  /**
   * Counts the messages of a batch, all in one step or none. {@link RateLimits.spend} has counted
   * the first one as the request.
   *
   * @param count Number of messages in the batch, including dry runs.
   * @param pointer Pointer to the list of messages in the body.
   * @throws {AppError} `rate_limited`; `validation_failed` if the batch exceeds the rate of a whole
   *   window; `queue_unavailable`
   */
  spendBatch(count: number, pointer: string, request: FastifyRequest, reply: FastifyReply): Promise<void>;
  /**
   * Counts a failed request of an address, or of the /64 of an IPv6 address. Requests with a valid
   * key are not counted here.
   *
   * @throws {AppError} `rate_limited`
   */
  countFailure(request: FastifyRequest): Promise<void>;
}

/** A limit of the plugin. */
type RateLimit = ReturnType<FastifyInstance['createRateLimit']>;

/** A window of the plugin after requests were counted or refused. */
type RateWindow = Extract<Awaited<ReturnType<RateLimit>>, { isAllowed: false }>;

/**
 * Creates rate limits by API key and by address. Those of keys are reported in the headers of
 * draft-ietf-httpapi-ratelimit-headers-10.
 *
 * @param defaultRate Rate of keys without their own.
 */
export async function createRateLimits(
  app: FastifyInstance,
  counters: RateCounters,
  defaultRate: Rate,
): Promise<RateLimits> {
  await app.register(rateLimit, { global: false, store: toPluginStore(counters) });
  /** Costs of requests that count as other than 1. */
  const costs = new WeakMap<FastifyRequest, number>();
  const rateOf = (request: FastifyRequest) => callerOf(request).rateLimit ?? defaultRate;
  const keyGenerator = (request: FastifyRequest) =>
    toStoreKey(callerOf(request).name, costs.get(request) ?? 1);
  /** One limit for each rate, since the plugin waits for rates that are functions. */
  const limitsByRate = new WeakMap<Rate, RateLimit>();
  function perKey(request: FastifyRequest): ReturnType<RateLimit> {
    const rate = rateOf(request);
    let limit = limitsByRate.get(rate);
    if (limit === undefined) {
      limit = app.createRateLimit({ max: rate.max, timeWindow: rate.windowMs, keyGenerator });
      limitsByRate.set(rate, limit);
    }
    return limit(request);
  }
  const perAddress = app.createRateLimit({ max: FAILURES.max, timeWindow: FAILURES.windowMs });

  function setHeaders({ max, timeWindow, remaining, ttlInSeconds }: RateWindow, reply: FastifyReply) {
    reply.header('ratelimit-policy', `"key";q=${max};w=${Math.ceil(timeWindow / 1000)}`);
    reply.header('ratelimit', `"key";r=${remaining};t=${ttlInSeconds}`);
  }

  return {
    async spend(request, reply) {
      const window = await perKey(request);
      if (window.isAllowed) return;
      setHeaders(window, reply);
      if (window.isExceeded) throw rateLimited(window);
    },
    async spendBatch(count, pointer, request, reply) {
      if (count === 1) return;
      const { max } = rateOf(request);
      if (count > max) throw batchTooLarge(count, max, pointer);
      costs.set(request, count - 1);
      const window = await perKey(request);
      if (window.isAllowed) return;
      // Nothing was counted, so the headers of the request are still right.
      if (window.isExceeded)
        throw rateLimited(
          window,
          `The batch counts as ${count} messages, more than remain in this window. Nothing was accepted.`,
        );
      setHeaders(window, reply);
    },
    async countFailure(request) {
      // The request is refused anyway, with its own error if the counter is unavailable.
      const window = await perAddress(request).catch(() => null);
      if (window && !window.isAllowed && window.isExceeded) throw rateLimited(window);
    },
  };
}

const STORE_KEY = /^key:(\d+):(.*)$/s;

/**
 * The plugin's store interface has no cost, so it is part of the key. Keys of addresses are left
 * unchanged.
 */
function toStoreKey(name: string, cost: number): string {
  return `key:${cost}:${name}`;
}

/**
 * Adapts our counters to the store interface of @fastify/rate-limit. A cost above 1 is counted in
 * one step or not at all.
 */
function toPluginStore({ keys, addresses }: RateCounters): new () => FastifyRateLimitStore {
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

function rateLimited({ ttlInSeconds }: RateWindow, detail?: string): AppError {
  return new AppError('rate_limited', {
    retryAfter: Math.max(1, ttlInSeconds),
    ...(detail !== undefined && { detail }),
  });
}

function batchTooLarge(count: number, max: number, pointer: string): AppError {
  const detail = `The batch has ${count} messages, but the rate limit of this key allows ${max} per window: send at most ${max} in one batch.`;
  return invalidFields([{ pointer, code: 'too_many', detail }]);
}

const DAY_S = 24 * 60 * 60;

/**
 * Adds the remaining quota of the sending account to the rate limit headers. Beyond it mail waits;
 * it is not refused.
 */
export function addAccountBudget(reply: FastifyReply, { limit, left, freesAt }: Budget): void {
  const freesInS = freesAt === null ? DAY_S : Math.max(0, Math.ceil((freesAt - Date.now()) / 1000));
  appendHeader(reply, 'ratelimit-policy', `"account";q=${limit};w=${DAY_S}`);
  appendHeader(reply, 'ratelimit', `"account";r=${left};t=${freesInS}`);
}

function appendHeader(reply: FastifyReply, name: string, item: string): void {
  const current = reply.getHeader(name);
  reply.header(name, current === undefined ? item : `${current}, ${item}`);
}
