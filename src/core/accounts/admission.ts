import { type Consumption, type Demand, quotaErrorOf, quotaStatusOf, waitForQuota } from '../quota.ts';
import type { Usage } from '../usage.ts';
import {
  type AccountRules,
  type AccountState,
  beginProbe,
  inFlightOf,
  isProbing,
  leaseOf,
  reachOf,
} from './account-state.ts';
import { type Pause, pauseOf } from './circuit-breaker.ts';
import { limitOf } from './concurrency-limit.ts';
import { liveLeases } from './connection-shares.ts';
import { startMessage, waitForRate } from './rate-limiter.ts';

/** Whether a message may go now. */
export type Admission =
  | { readonly kind: 'admitted'; readonly isProbe: boolean }
  /** The account or this instance is paused. */
  | { readonly kind: 'paused'; readonly pause: Pause }
  /** The quota is used up. */
  | { readonly kind: 'over_quota'; readonly pause: Pause }
  /** Decide again after this wait, in ms, or when something changes. Infinity: only then. */
  | { readonly kind: 'busy'; readonly waitMs: number };

/** Admits a message, whose attempt begins now, or gives the reason why it must wait. */
export function admit(
  state: AccountState,
  usage: Readonly<Usage>,
  rules: AccountRules,
  now: number,
  demand: Demand,
): Admission {
  const pause = currentPause(state, rules, now);
  if (pause) return { kind: 'paused', pause };
  const shortage = currentShortage(state, usage, rules, now, demand);
  if (shortage) return { kind: 'over_quota', pause: shortage };
  const waitMs = waitForTurn(state, rules, now);
  if (waitMs > 0) return { kind: 'busy', waitMs };

  const isProbe = needsProbe(state, rules);
  if (isProbe) beginProbe(state, rules, now);
  const lease = leaseOf(state, rules.instance);
  lease.messages += 1;
  lease.recipients += demand.recipients;
  lease.uncommitted += 1;
  if (rules.rate !== null) startMessage(state.rateLimiter, rules.rate, now);
  return { kind: 'admitted', isProbe };
}

/** Whether a message would be admitted now or within moments. */
export function canAdmit(
  state: AccountState,
  usage: Readonly<Usage>,
  rules: AccountRules,
  now: number,
  demand: Demand,
): boolean {
  if (currentPause(state, rules, now)) return false;
  return waitForQuota(consumptionOf(state, usage, now), rules, now, demand) === 0;
}

/** The pause of the account, or of this instance. Null if there is none or it is over. */
export function currentPause(state: AccountState, { instance }: AccountRules, now: number): Pause | null {
  return pauseOf(state.breaker, now) ?? pauseOf(reachOf(state, instance), now);
}

export function consumptionOf(state: AccountState, usage: Readonly<Usage>, now: number): Consumption {
  return { usage, inFlight: inFlightOf(state, now), learned: state.quota.learned };
}

function currentShortage(
  state: AccountState,
  usage: Readonly<Usage>,
  rules: AccountRules,
  now: number,
  demand: Demand,
): Pause | null {
  const forMs = waitForQuota(consumptionOf(state, usage, now), rules, now, demand);
  if (forMs === 0) return null;
  const status = quotaStatusOf(state.quota, usage, rules.allowance, now);
  return { error: quotaErrorOf(status, demand.priority), forMs };
}

/** How long until there is a free attempt and the rate allows another message, in ms. */
function waitForTurn(state: AccountState, rules: AccountRules, now: number): number {
  const { instance, rate, connections } = rules;
  const isPresent = leaseOf(state, instance).expiresAt > now;
  const isFull = inFlightOf(state, now).messages >= limitOf(state.concurrency, connections);
  if (isProbing(state, now) || !isPresent || isFull) return Number.POSITIVE_INFINITY;
  return rate === null ? 0 : waitForRate(state.rateLimiter, rate, uncommittedOf(state, now), now);
}

function uncommittedOf({ leases }: AccountState, now: number): number {
  return liveLeases(leases, now).reduce((sum, { uncommitted }) => sum + uncommitted, 0);
}

function needsProbe(state: AccountState, { instance }: AccountRules): boolean {
  return state.breaker.state !== 'closed' || reachOf(state, instance).state !== 'closed';
}
