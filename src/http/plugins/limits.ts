import { normalizeIP } from '@fastify/rate-limit';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../../core/errors.ts';
import type { Rate, RateCounters, RateState } from '../../core/ports.ts';
import type { Budget } from '../../core/quota.ts';
import { callerOf } from '../caller.ts';
import { invalidFields } from '../fields.ts';

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
   * Spends the rest of a batch, whose first message {@link Limits.spend} has counted as the request: all of it in one step, or nothing.
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

/**
 * Rate limits by key and by address. What is left of a key's is told in the header fields of draft-ietf-httpapi-ratelimit-headers-10.
 *
 * @param usual the rate of keys that have none of their own
 */
export function createLimits({ keys, addresses }: RateCounters, usual: Rate): Limits {
  const rateOf = (request: FastifyRequest) => callerOf(request).rateLimit ?? usual;

  /** Spends, and tells what is left, whether it fitted or not. */
  async function spend(cost: number, request: FastifyRequest, reply: FastifyReply): Promise<RateState> {
    const rate = rateOf(request);
    const state = await keys.spend(callerOf(request).name, cost, rate);
    reply.header('ratelimit-policy', `"key";q=${rate.max};w=${Math.ceil(rate.windowMs / 1000)}`);
    reply.header('ratelimit', `"key";r=${state.left};t=${Math.ceil(state.resetMs / 1000)}`);
    return state;
  }

  return {
    async spend(request, reply) {
      const state = await spend(1, request, reply);
      if (!state.fits) throw tooMany(state);
    },
    async spendBatch(count, pointer, request, reply) {
      if (count === 1) return;
      const { max } = rateOf(request);
      if (count > max) throw neverFits(count, max, pointer);
      const state = await spend(count - 1, request, reply);
      if (state.fits) return;
      const room = state.left === 0 ? 'no other' : `only ${state.left} more`;
      throw tooMany(state, `The batch counts as ${count} messages, and ${room} may follow in this window. Nothing was accepted.`);
    },
    async strike({ ip }) {
      // Who is refused in any case learns why, also while nobody can count.
      const state = await addresses.spend(normalizeIP(ip), 1, STRIKES).catch(() => null);
      if (state !== null && !state.fits) throw tooMany(state);
    },
  };
}

function tooMany({ resetMs }: RateState, detail?: string): AppError {
  return new AppError('rate_limited', { retryAfter: Math.max(1, Math.ceil(resetMs / 1000)), ...(detail !== undefined && { detail }) });
}

function neverFits(count: number, max: number, pointer: string): AppError {
  const detail = `The batch has ${count} messages, and the rate limit of this key allows ${max} in one window: send at most ${max} in one batch.`;
  return invalidFields([{ pointer, code: 'too_many', detail }]);
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
