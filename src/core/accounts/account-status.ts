import type { Priority } from '../message/message.ts';
import { type Budget, budgetOf, type QuotaStatus, quotaStatusOf } from '../quota.ts';
import type { Usage } from '../usage.ts';
import { type AccountRules, type AccountState, inFlightOf, reachOf } from './account-state.ts';
import { consumptionOf } from './admission.ts';
import type { PauseStatus } from './circuit-breaker.ts';
import { limitOf } from './concurrency-limit.ts';
import { type MailboxStatus, mailboxStatusOf } from './mailbox-status.ts';

/** An account as clients see it. Times are epoch ms by the wall clock. */
export interface AccountStatus {
  readonly user: string;
  /** Null if the account works. */
  readonly pause: PauseStatus | null;
  readonly quota: QuotaStatus;
  readonly connections: { readonly max: number; readonly allowed: number; readonly busy: number };
  readonly mailbox: MailboxStatus;
}

/** One moment by both clocks, in epoch ms. */
export interface Moment {
  readonly shared: number;
  readonly wall: number;
}

export function accountStatusOf(
  user: string,
  state: AccountState,
  usage: Readonly<Usage>,
  rules: AccountRules,
  moment: Moment,
): AccountStatus {
  const now = moment.shared;
  const pause = state.breaker.pause ?? reachOf(state, rules.instance).pause;
  const quota = quotaStatusOf(state.quota, usage, rules.allowance, now);
  return {
    user,
    pause: pause && { ...pause, until: Math.round(toWallClock(pause.until, moment)) },
    quota: { ...quota, freesAt: quota.freesAt && Math.ceil(toWallClock(quota.freesAt, moment)) },
    connections: {
      max: rules.connections,
      allowed: limitOf(state.concurrency, rules.connections),
      busy: inFlightOf(state, now).messages,
    },
    mailbox: mailboxStatusOf(state, rules.mailbox),
  };
}

/** What is left for messages of this priority. */
export function accountBudgetOf(
  state: AccountState,
  usage: Readonly<Usage>,
  rules: AccountRules,
  moment: Moment,
  priority: Priority,
): Budget {
  const budget = budgetOf(
    consumptionOf(state, usage, moment.shared),
    rules.allowance,
    priority,
    moment.shared,
  );
  return { ...budget, freesAt: budget.freesAt && Math.ceil(toWallClock(budget.freesAt, moment)) };
}

function toWallClock(at: number, { shared, wall }: Moment): number {
  return wall + at - shared;
}
