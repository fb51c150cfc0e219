import type { AccountEvent, Events } from '../events.ts';
import type { Notice } from '../ports/outbox.ts';
import { HOUR } from '../time.ts';
import type { AccountChange, FaultPause } from './account-faults.ts';
import type { AccountRules } from './account-state.ts';
import { type AccountStatus, accountStatusOf } from './account-status.ts';
import type { AccountEdit } from './account-store.ts';
import type { Pause } from './circuit-breaker.ts';

/** Minimum interval between `account.short` events. */
const SHORT_EVENT_INTERVAL_MS = HOUR;

/** Returns a notice for each endpoint to notify of an account that is paused or resumed. */
export type AccountNotices = (type: AccountEvent, status: AccountStatus) => readonly Notice[];

/** Reports the changes of an account. */
export interface AccountReporter {
  /** Returns the edit with the notices that its change requires. */
  withNotices(edit: AccountEdit<AccountChange>): AccountEdit<AccountChange>;
  /** Emits the event of a change, if it has one. Called once the change is stored. */
  announce(change: AccountChange): void;
  /** Emits one event per interval, however many messages wait for quota. */
  announceShortage(pause: Pause): void;
}

export interface AccountReporterOptions {
  readonly user: string;
  readonly rules: AccountRules;
  readonly events: Events;
  readonly noticesOf: AccountNotices;
}

export function createAccountReporter(options: AccountReporterOptions): AccountReporter {
  const { user, rules, events, noticesOf } = options;
  let nextShortageAt = 0;

  return {
    withNotices: (edit) => (state, usage, now, notices) => {
      const change = edit(state, usage, now, notices);
      const type = newsOf(change);
      if (type !== null) {
        const moment = { shared: now, wall: Date.now() };
        const status = accountStatusOf(user, state, usage, rules, moment);
        notices.push(...noticesOf(type, change.kind === 'paused' ? pausedBy(change, status) : status));
      }
      return change;
    },
    announce(change) {
      if (change.kind === 'resumed') events.emit('account.resumed', user);
      if (change.kind !== 'paused' || change.isQuiet) return;
      const { error, forMs } = change.pause;
      events.emit('account.paused', user, error, Date.now() + forMs, change.isNew);
    },
    announceShortage({ error, forMs }) {
      const now = performance.now();
      if (now < nextShortageAt) return;
      nextShortageAt = now + SHORT_EVENT_INTERVAL_MS;
      events.emit('account.short', user, error, Date.now() + forMs);
    },
  };
}

/** Returns the event that webhooks report of a change, or null. A pause is reported once. */
function newsOf(change: AccountChange): AccountEvent | null {
  if (change.kind === 'resumed') return 'account.resumed';
  return change.kind === 'paused' && change.isNew ? 'account.paused' : null;
}

/** Returns the status with the reason of this pause, if the account is paused for another, too. */
function pausedBy({ pause: { error, forMs }, since }: FaultPause, status: AccountStatus): AccountStatus {
  return { ...status, pause: { error, since, until: Date.now() + forMs } };
}
