import type { Fault } from '../delivery/outcome.ts';
import { learnLimit } from '../quota.ts';
import { MINUTE, SECOND } from '../time.ts';
import type { Usage } from '../usage.ts';
import {
  type AccountRules,
  type AccountState,
  inFlightOf,
  isFoundBySending,
  leaseOf,
  NOTIFY_AT,
  reachOf,
} from './account-state.ts';
import { closeBreaker, openBreaker, type Pause, probeNow } from './circuit-breaker.ts';
import { halveLimit, restartLimit } from './concurrency-limit.ts';

/** Waits before the 1st, 2nd, … probe of a paused account, unless the reply suggests a wait. */
const PROBE_AFTER_MS = [1, 2, 5, 10, 15].map((minutes) => minutes * MINUTE);

/**
 * Least waits before the probes at the daily limit. The window is rolling, and other programs may
 * send as this account: it is probed when a bucket leaves the window, no sooner than this, and
 * every hour at the latest.
 */
const DAILY_PROBE_AFTER_MS = [1, 15, 30, 60].map((minutes) => minutes * MINUTE);
const MAX_DAILY_WAIT_MS = 60 * MINUTE;

/**
 * Waits before the probes while no server can be reached. They cost no login, and mail must go out
 * soon after the server is back. Also the upper bound of what a reply suggests.
 */
const REACH_AFTER_MS = [5, 10, 20, 40, 80, 160, 300].map((seconds) => seconds * SECOND);
const MAX_REACH_WAIT_MS = 5 * MINUTE;

/** A fault that was found by an attempt or a login. */
export interface FoundFault {
  readonly fault: Fault;
  readonly byProbe: boolean;
  /** Epoch ms by the wall clock. */
  readonly failedAt: number;
}

/** The pause of an account after a fault. */
export interface FaultPause {
  readonly kind: 'paused';
  readonly pause: Pause;
  /** When the pause began, in epoch ms by the wall clock. */
  readonly since: number;
  /** Whether the account was not paused before, or for another reason. */
  readonly isNew: boolean;
  /** Operators are not notified: it may be a single broken connection, or they know already. */
  readonly isQuiet: boolean;
}

/** What an attempt or a login changed about an account. */
export type AccountChange = FaultPause | { readonly kind: 'resumed' } | { readonly kind: 'unchanged' };

/** Pauses the account for a fault of its own. */
export function pauseAccount(
  state: AccountState,
  usage: Readonly<Usage>,
  rules: AccountRules,
  now: number,
  { fault, byProbe, failedAt }: FoundFault,
): FaultPause {
  const { error } = fault;
  const formerCode = state.breaker.pause?.error.code ?? null;
  // Attempts that were under way when the pause began fail for the same reason.
  const counts = byProbe || formerCode === null;
  if (counts && (error.code === 'throttled' || error.code === 'login_throttled'))
    halveLimit(state.concurrency, rules.connections);
  const waitsMs =
    error.code === 'daily_limit_reached'
      ? dailyLimitWaits(state, usage, rules, now)
      : (fault.backoffMs ?? PROBE_AFTER_MS).map((ms) => ms * rules.backoffScale);
  const pause = openBreaker(state.breaker, { error, waitsMs, counts, failedAt }, now);
  const since = state.breaker.pause?.since ?? failedAt;
  return { kind: 'paused', pause, since, isNew: formerCode !== error.code, isQuiet: false };
}

function dailyLimitWaits(
  state: AccountState,
  usage: Readonly<Usage>,
  rules: AccountRules,
  now: number,
): number[] {
  const leavesInMs = learnLimit(state.quota, usage, rules, now);
  const { backoffScale } = rules;
  return DAILY_PROBE_AFTER_MS.map((leastMs) =>
    Math.min(Math.max(leastMs * backoffScale, leavesInMs), MAX_DAILY_WAIT_MS * backoffScale),
  );
}

/**
 * Pauses this instance after an attempt or login that has ended: it could not open a session with
 * any server.
 */
export function pauseInstance(
  state: AccountState,
  rules: AccountRules,
  now: number,
  { fault, byProbe, failedAt }: FoundFault,
): FaultPause {
  const { error, backoffMs } = fault;
  const reach = reachOf(state, rules.instance);
  const counts = byProbe || reach.pause === null;
  // While other attempts are under way, this may have been one connection too many.
  if (!byProbe && counts && inFlightOf(state, now).messages > 0)
    halveLimit(state.concurrency, rules.connections);
  leaseOf(state, rules.instance).reach = reach;
  const waitsMs = (backoffMs ?? REACH_AFTER_MS).map(
    (ms) => Math.min(ms, MAX_REACH_WAIT_MS) * rules.backoffScale,
  );
  const pause = openBreaker(reach, { error, waitsMs, counts, failedAt }, now);
  const isNew = counts && reach.failures === NOTIFY_AT;
  const since = reach.pause?.since ?? failedAt;
  return { kind: 'paused', pause, since, isNew, isQuiet: !counts || reach.failures < NOTIFY_AT };
}

/**
 * Resumes this instance: it has opened a session. Returns whether operators were notified of its
 * pause, or of that of an instance that is gone.
 */
export function resumeInstance(state: AccountState, rules: AccountRules): boolean {
  const reach = reachOf(state, rules.instance);
  const wasNotified = reach.failures >= NOTIFY_AT || state.owesResumed === true;
  if (state.owesResumed) delete state.owesResumed;
  if (closeBreaker(reach)) restartLimit(state.concurrency, rules.connections);
  return wasNotified;
}

/** Returns the change after some part of the account resumed, unless it is still paused. */
export function toResumption({ breaker }: AccountState, isResumed: boolean): AccountChange {
  return { kind: isResumed && breaker.state !== 'open' ? 'resumed' : 'unchanged' };
}

/** Resumes the account: a probe has found that it works. Returns whether it was paused. */
export function resumeAccount(state: AccountState, rules: AccountRules): boolean {
  const wasPaused = closeBreaker(state.breaker);
  if (wasPaused) restartLimit(state.concurrency, rules.connections);
  return wasPaused;
}

/**
 * Resumes the account after a login without a message, unless a login cannot show whether it works:
 * then the next message is the probe. Returns whether this call resumed it.
 */
export function resumeAfterLogin(state: AccountState, rules: AccountRules, now: number): boolean {
  if (!isFoundBySending(state.breaker.pause?.error.code)) return resumeAccount(state, rules);
  probeNow(state.breaker, now);
  return false;
}
