import { newQuota, type Quota, type QuotaRules } from '../quota.ts';
import type { Count } from '../usage.ts';
import { type CircuitBreaker, closeBreaker, newBreaker, probeNow } from './circuit-breaker.ts';
import type { ConcurrencyLimit } from './concurrency-limit.ts';
import {
  type InstanceLease,
  type InstanceLeases,
  type LeaseRules,
  liveLeases,
  newLease,
} from './connection-shares.ts';
import type { LookState, MailboxUse } from './mailbox-status.ts';
import { newRateLimiter, type RateLimiter } from './rate-limiter.ts';

/**
 * What all instances know about an account: plain JSON, a few hundred bytes. The usage of its quota
 * is stored beside it, and changes with it in one step.
 *
 * Pure functions `(state, usage, rules, now, …) -> result` change a draft of it inside
 * `SharedValue.change`. They read no clock, and may run again on what another instance has stored
 * meanwhile.
 *
 * Invariants:
 *
 * - Times are epoch ms by the shared clock, except `breaker.pause.since`.
 * - Attempts under way count in the lease of their instance from admission to their end. They go
 *   with a lease that expires.
 * - No admission, at any instance, takes messages in `usage` plus messages under way beyond the
 *   allowance. An attempt is counted in the step that ends it.
 * - While `breaker` is not closed, only the instance named by `probing` starts attempts, one at a
 *   time. The same holds for an instance whose own `reach` is open.
 * - Connections of all live leases together never exceed `SMTP_CONNECTIONS`.
 */
export interface AccountState extends LookState {
  /** Whether the account works: half-open until the first login succeeds. */
  readonly breaker: CircuitBreaker;
  readonly quota: Quota;
  readonly rateLimiter: RateLimiter;
  readonly concurrency: ConcurrencyLimit;
  readonly leases: InstanceLeases;
  /** The instance that has a probe under way. */
  probing: string | null;
  /** When a client last requested a probe. */
  probeRequestedAt: number;
  /**
   * Present if operators were notified that an instance reaches no server, and the instance left or
   * vanished since: the next session of any instance reports that the account resumed.
   */
  owesResumed?: true;
}

/**
 * Operators are notified of a server that cannot be reached from this failure in a row on: a single
 * connection may break by chance.
 */
export const NOTIFY_AT = 2;

export interface AccountRules extends QuotaRules, LeaseRules {
  /** Messages per second. Null: no limit. */
  readonly rate: number | null;
  readonly mailbox: MailboxUse;
}

export function newAccountState(now: number): AccountState {
  return {
    breaker: newBreaker('half-open'),
    quota: newQuota(now),
    rateLimiter: newRateLimiter(),
    concurrency: { slowdown: null },
    leases: {},
    probing: null,
    probeRequestedAt: 0,
  };
}

/** The lease of an instance. Changes to that of an instance without one have no effect. */
export function leaseOf({ leases }: AccountState, instance: string): InstanceLease {
  return leases[instance] ?? newLease();
}

/** Removes the lease of an instance that has left or vanished. */
export function removeLease(state: AccountState, instance: string): void {
  if (reachOf(state, instance).failures >= NOTIFY_AT) state.owesResumed = true;
  delete state.leases[instance];
}

/** Removes the leases of other instances that have expired, whose connections become free. */
export function removeExpiredLeases(
  state: AccountState,
  { instance }: Pick<LeaseRules, 'instance'>,
  now: number,
): void {
  for (const [id, { expiresAt }] of Object.entries(state.leases))
    if (id !== instance && expiresAt <= now) removeLease(state, id);
}

/** Attempts under way, of all instances. */
export function inFlightOf({ leases }: AccountState, now: number): Count {
  const inFlight = { messages: 0, recipients: 0 };
  for (const { messages, recipients } of liveLeases(leases, now)) {
    inFlight.messages += messages;
    inFlight.recipients += recipients;
  }
  return inFlight;
}

/** Whether an instance reaches a server, over its own network: assumed until it fails to. */
export function reachOf(state: AccountState, instance: string): CircuitBreaker {
  return leaseOf(state, instance).reach ?? newBreaker('closed');
}

/** Whether an instance reaches no server while another instance does. */
export function isCutOff(state: AccountState, instance: string, now: number): boolean {
  if (reachOf(state, instance).state !== 'open') return false;
  const own = state.leases[instance];
  return liveLeases(state.leases, now).some((lease) => lease !== own && lease.reach?.state !== 'open');
}

export function isProbing({ probing, leases }: AccountState, now: number): boolean {
  return probing !== null && (leases[probing]?.expiresAt ?? 0) > now;
}

/** Returns whether the probe may begin: no other is under way. */
export function beginProbe(state: AccountState, { instance }: AccountRules, now: number): boolean {
  if (isProbing(state, now)) return false;
  state.probing = instance;
  return true;
}

export function endProbe(state: AccountState, { instance }: AccountRules): void {
  if (state.probing === instance) state.probing = null;
}

/**
 * Ends the probe and lets other attempts pass: the first login has worked. Leaves an open breaker
 * open.
 */
export function confirmLogin(state: AccountState, rules: AccountRules): void {
  if (state.breaker.state !== 'half-open') return;
  closeBreaker(state.breaker);
  endProbe(state, rules);
}

/**
 * Requests a probe, which is allowed once per interval.
 *
 * @returns how long the client must wait, in ms; 0: the probe may be made now
 */
export function requestProbe(state: AccountState, intervalMs: number, now: number): number {
  const waitMs = Math.max(0, state.probeRequestedAt + intervalMs - now);
  if (waitMs === 0) state.probeRequestedAt = now;
  return waitMs;
}

/**
 * Prepares the state for a process that starts. The cause of a refused login may be gone, so the
 * account is probed at once. If no other instance runs, attempts under way are over, and the
 * account must log in again before all attempts pass.
 *
 * @param isAlone whether no other instance can run
 */
export function startInstance(
  state: AccountState,
  { instance }: AccountRules,
  now: number,
  isAlone: boolean,
): void {
  const { breaker, leases } = state;
  probeAfterChange(state, now);
  const own = leases[instance];
  if (!isAlone && liveLeases(leases, now).some((lease) => lease !== own)) return;
  state.probing = null;
  for (const id of Object.keys(leases)) if (id !== instance) removeLease(state, id);
  if (breaker.state === 'closed') breaker.state = 'half-open';
}

/**
 * Ends the wait of a paused account whose configuration may have changed: the next attempt is a
 * probe. Limits of Gmail do not depend on it. The mailbox may be readable, too.
 */
export function probeAfterChange(state: AccountState, now: number): void {
  const { breaker } = state;
  delete state.mailboxFailure;
  const code = breaker.pause?.error.code;
  if (code && code !== 'login_throttled' && !isSendingLimit(code)) probeNow(breaker, now);
}

/** Whether Gmail limits what the account sends. */
function isSendingLimit(code: string | undefined): boolean {
  return code === 'daily_limit_reached' || code === 'throttled';
}

/** Whether a server may report a fault only when a message is sent, not at login. */
export function isFoundBySending(code: string | undefined): boolean {
  return isSendingLimit(code) || code === 'relay_denied' || code === 'ehlo_refused';
}
