import type { Fault, Outcome } from '../delivery/outcome.ts';
import { countMessage } from '../quota.ts';
import type { Usage } from '../usage.ts';
import {
  type AccountChange,
  pauseAccount,
  pauseInstance,
  resumeAccount,
  resumeAfterLogin,
  resumeInstance,
  toResumption,
} from './account-faults.ts';
import { type AccountRules, type AccountState, endProbe, leaseOf } from './account-state.ts';
import { growLimit } from './concurrency-limit.ts';
import { commitMessage } from './rate-limiter.ts';

/**
 * How far an attempt has come: admitted; its message on the way, so that the server may have seen
 * it; its message known to the rate limiter as seen; ended.
 */
export type AttemptStage = 'admitted' | 'started' | 'committed' | 'ended';

/** An attempt under way, as it is when it ends. */
export interface RunningAttempt {
  readonly stage: AttemptStage;
  readonly recipients: number;
  /** Whether it still holds the probe. */
  readonly isProbing: boolean;
}

/** Records that the server has seen the message of an attempt by now. */
export function commitAttempt(state: AccountState, { rate, instance }: AccountRules, now: number): void {
  cancelUncommitted(state, instance);
  if (rate !== null) commitMessage(state.rateLimiter, rate, now);
}

/** Ends an attempt, whatever its stage. Its message is no longer under way. */
export function endAttempt(
  state: AccountState,
  rules: AccountRules,
  now: number,
  { stage, recipients, isProbing }: RunningAttempt,
): void {
  if (stage === 'started') commitAttempt(state, rules, now);
  if (stage === 'admitted') cancelUncommitted(state, rules.instance);
  if (isProbing) endProbe(state, rules);
  const lease = leaseOf(state, rules.instance);
  lease.messages = Math.max(0, lease.messages - 1);
  lease.recipients = Math.max(0, lease.recipients - recipients);
}

/**
 * Ends an attempt with its outcome. Counts what was accepted, or may have been, and pauses or
 * resumes the account.
 *
 * @param wasProbe whether it was admitted as a probe
 * @param endedAt epoch ms by the wall clock
 */
export function settleAttempt(
  state: AccountState,
  usage: Usage,
  rules: AccountRules,
  now: number,
  attempt: RunningAttempt & {
    readonly outcome: Outcome;
    readonly wasProbe: boolean;
    readonly endedAt: number;
  },
): AccountChange {
  const { outcome, recipients, wasProbe, endedAt } = attempt;
  const { accepted, fault } = outcome;
  endAttempt(state, rules, now, attempt);
  if (accepted.length > 0 || fault?.certain === false)
    countMessage(state.quota, usage, accepted.length || recipients, now);
  if (accepted.length > 0) growLimit(state.concurrency, rules.connections);
  if (fault?.noSession)
    return pauseInstance(state, rules, now, { fault, byProbe: wasProbe, failedAt: endedAt });

  const accountFault = accountFaultOf(outcome);
  const works = wasProbe && !accountFault && fault?.scope !== 'connection';
  const isInstanceResumed = resumeInstance(state, rules);
  const isAccountResumed = works && resumeAccount(state, rules);
  if (accountFault)
    return pauseAccount(state, usage, rules, now, {
      fault: accountFault,
      byProbe: wasProbe,
      failedAt: endedAt,
    });
  return toResumption(state, isInstanceResumed || isAccountResumed);
}

/**
 * Ends a probe without a message.
 *
 * @param fault null if the login succeeded
 * @param endedAt epoch ms by the wall clock
 */
export function settleLogin(
  state: AccountState,
  usage: Readonly<Usage>,
  rules: AccountRules,
  now: number,
  { fault, endedAt }: { readonly fault: Fault | null; readonly endedAt: number },
): AccountChange {
  endProbe(state, rules);
  const found = fault && { fault, byProbe: true, failedAt: endedAt };
  if (found?.fault.noSession) return pauseInstance(state, rules, now, found);
  const isInstanceResumed = resumeInstance(state, rules);
  const isAccountResumed = fault === null && resumeAfterLogin(state, rules, now);
  if (found?.fault.scope === 'account') return pauseAccount(state, usage, rules, now, found);
  return toResumption(state, isInstanceResumed || isAccountResumed);
}

function cancelUncommitted(state: AccountState, instance: string): void {
  const lease = leaseOf(state, instance);
  lease.uncommitted = Math.max(0, lease.uncommitted - 1);
}

/** The fault of the account, also if Gmail reported it for some recipients only. */
function accountFaultOf({ fault, refused }: Outcome): Fault | null {
  if (fault?.scope === 'account') return fault;
  return refused.find((recipient) => recipient.fault.scope === 'account')?.fault ?? null;
}
