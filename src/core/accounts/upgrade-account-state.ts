import type { StoredValue } from '../ports/shared-state.ts';
import { mergeBuckets, type UsageBucket } from '../usage.ts';
import { type AccountState, newAccountState } from './account-state.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import type { Slowdown } from './concurrency-limit.ts';

/**
 * The parts of an account's value in version 0.1 that are kept: its quota had one bucket for each
 * minute.
 */
interface AccountBook {
  readonly gate: {
    readonly state: 'unproven' | 'ready' | 'paused';
    readonly paused: CircuitBreaker['pause'];
    readonly failures: number;
  };
  readonly quota: AccountState['quota'] & { readonly buckets: readonly UsageBucket[] };
  readonly pace: { readonly nextAt: number; readonly seen: number[] };
  readonly concurrency: { readonly slowdown: Slowdown | null };
  readonly askedAt: number;
}

const BREAKER_STATES = { unproven: 'half-open', ready: 'closed', paused: 'open' } as const;

/**
 * Converts an account's value of version 0.1. What instances had under way is left out: those
 * instances are gone.
 */
export function upgradeAccountState(stored: object): StoredValue<AccountState> | null {
  if (!('gate' in stored)) return null;
  const { gate, quota, pace, concurrency, askedAt } = stored as AccountBook;
  const value: AccountState = {
    ...newAccountState(quota.countedSince),
    breaker: { state: BREAKER_STATES[gate.state], pause: gate.paused, failures: gate.failures },
    quota: { countedSince: quota.countedSince, learned: quota.learned },
    rateLimiter: { nextAt: pace.nextAt, committed: pace.seen },
    concurrency: { slowdown: concurrency.slowdown },
    probeRequestedAt: askedAt,
  };
  return { value, usage: mergeBuckets(quota.buckets) };
}
