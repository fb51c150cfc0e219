import { randomUUID } from 'node:crypto';
import { type Delivery, namedOf, pendingOf } from '../delivery/delivery.ts';
import type { Fault } from '../delivery/outcome.ts';
import type { Events } from '../events.ts';
import type { Priority } from '../message/message.ts';
import type { MailboxFault } from '../ports/mailbox.ts';
import type { SharedState, SharedValue } from '../ports/shared-state.ts';
import { type Allowance, type Budget, countMessage, type Demand } from '../quota.ts';
import { retryInBackground, retryUntilAvailable } from '../retry-until-available.ts';
import { type AccountNotices, createAccountReporter } from './account-events.ts';
import {
  type AccountRules,
  type AccountState,
  beginProbe,
  endProbe,
  probeAfterChange,
  requestProbe,
  startInstance,
} from './account-state.ts';
import { type AccountStatus, accountBudgetOf, accountStatusOf } from './account-status.ts';
import { type AccountEdit, type AccountStore, createAccountStore, type FollowUp } from './account-store.ts';
import { type Admission, admit, canAdmit } from './admission.ts';
import { settleLogin } from './attempt.ts';
import type { Pause } from './circuit-breaker.ts';
import { ABSENT_AFTER_MS } from './connection-shares.ts';
import { createLeaseHeartbeat } from './lease-heartbeat.ts';
import { canLook, type MailboxUse, recordLook } from './mailbox-status.ts';
import { createPermit, type Permit } from './permit.ts';

/** Heartbeats within the time after which a silent instance counts as gone. */
const HEARTBEATS = 7;

/** Whether a delivery may go: with a permit, or only after a pause. */
export type AdmitResult =
  | {
      readonly kind: 'admitted';
      readonly permit: Permit;
      /** Whether the start of the attempt is stored. Null if there was none to store. */
      readonly isStored: boolean | null;
    }
  | { readonly kind: 'deferred'; readonly pause: Pause };

/**
 * A sending account: admits attempts, delays them for a moment, or defers them.
 *
 * Until the first login succeeds, and after a fault of the account, one attempt at a time goes out
 * as a probe while the others wait for its result, so that workers never repeat a refused login.
 * The next message probes a paused account once its wait is over. An account that works keeps to
 * its rate, its quota, and the number of attempts at once that Gmail tolerates. Instances share the
 * account's state, so all limits hold for them together.
 */
export interface Account {
  readonly user: string;
  readonly isPaused: boolean;
  /** What is left of the quota for messages of this priority. */
  budget(priority: Priority): Budget;
  /** Takes a share of the connections, and keeps it by a heartbeat. */
  join(): Promise<void>;
  /** Gives the share back. */
  leave(): Promise<void>;
  /**
   * Resolves when there is a connection for the worker with this number, counted from 0, or the
   * signal is aborted.
   */
  waitForConnection(worker: number, signal: AbortSignal): Promise<void>;
  /**
   * Resolves once the delivery may go or must be deferred. Returns null if the signal is aborted
   * first.
   *
   * @param start Returns the start of the attempt, given whether the delivery may go. It is stored
   *   in the step that admits the delivery.
   */
  admit(delivery: Delivery, signal: AbortSignal, start?: FollowUp<boolean>): Promise<AdmitResult | null>;
  /** Whether a delivery would be admitted now or within moments. */
  canAdmit(delivery: Delivery): boolean;
  /**
   * Counts an attempt that was under way when its process ended: the server may have accepted the
   * message.
   */
  countInterrupted(delivery: Delivery): Promise<void>;
  /**
   * Requests a probe, which is allowed once per interval. Returns how long to wait, in ms; 0: it
   * may be made now.
   */
  requestProbe(intervalMs: number): Promise<number>;
  /**
   * Probes the account by a login without a message, after any probe under way.
   *
   * @param login resolves to the fault, or to null if the login succeeded
   * @returns the fault; null if the account can log in, or the signal was aborted first
   */
  probe(login: () => Promise<Fault | null>, signal: AbortSignal): Promise<Fault | null>;
  /** Applies other limits to the next messages. */
  changeAllowance(allowance: Allowance): void;
  /** Probes a paused account at once, since the cause of the pause may be gone. */
  probeAfterChange(): Promise<void>;
  /** Whether a look at the mailbox can succeed, as far as this instance knows. */
  canLook(): boolean;
  /** Allows a look at once after a refused login, since its cause may be gone. */
  allowLook(): Promise<void>;
  /**
   * Records how a look at the mailbox has ended.
   *
   * @throws {AppError} `queue_unavailable`
   */
  recordLook(fault: MailboxFault | null): Promise<void>;
  /** As far as this instance knows. */
  status(): AccountStatus;
  /** The status as all instances know it. */
  readStatus(): Promise<AccountStatus>;
}

export interface AccountOptions
  extends Pick<AccountRules, 'allowance' | 'rate' | 'connections' | 'connectionsHere' | 'backoffScale'> {
  readonly events: Events;
  /** Default: none. */
  readonly noticesOf?: AccountNotices | undefined;
  readonly sharedState: Pick<SharedState, 'now' | 'shared'>;
  readonly state: SharedValue<AccountState>;
  /** Default: `off`. */
  readonly mailbox?: MailboxUse | undefined;
  /** Closes idle connections until no more than `atMost` are open. Returns how many are open. */
  readonly closeIdleConnections: (atMost: number) => number;
  /** {@link ABSENT_AFTER_MS}, or less to make tests quick. */
  readonly absentAfterMs?: number | undefined;
}

export function createAccount(user: string, options: AccountOptions): Account {
  const { events, sharedState, closeIdleConnections, absentAfterMs = ABSENT_AFTER_MS } = options;
  const { noticesOf = () => [] } = options;
  const store = createAccountStore(options.state, sharedState);
  const rules: AccountRules & { allowance: Allowance } = {
    ...pickRules(options),
    instance: randomUUID(),
    leaseMs: store.shared ? absentAfterMs : Number.MAX_SAFE_INTEGER,
  };
  const reporter = createAccountReporter({ user, rules, events, noticesOf });
  const lease = createLeaseHeartbeat({ store, rules, closeIdleConnections });
  const moment = () => ({ shared: store.now(), wall: Date.now() });
  const status = () => accountStatusOf(user, store.state, store.usage, rules, moment());

  return {
    user,
    get isPaused() {
      return store.state.breaker.state === 'open';
    },
    budget: (priority) => accountBudgetOf(store.state, store.usage, rules, moment(), priority),
    async join() {
      await store.change((state, _usage, now) => startInstance(state, rules, now, !store.shared));
      await lease.start(absentAfterMs / HEARTBEATS);
    },
    leave: lease.stop,
    waitForConnection: lease.waitForConnection,
    async admit(delivery, signal, start) {
      const demand = demandOf(delivery);
      const found = await waitForAdmission(store, rules, demand, signal, start);
      if (found === null) return null;
      const { admission, isStored } = found;
      if (admission.kind === 'over_quota') reporter.announceShortage(admission.pause);
      if (admission.kind !== 'admitted') return { kind: 'deferred', pause: admission.pause };
      const { recipients } = demand;
      const { isProbe } = admission;
      const permit = createPermit({ recipients, isProbe, rules, store, reporter });
      return { kind: 'admitted', permit, isStored };
    },
    canAdmit: (delivery) => canAdmit(store.state, store.usage, rules, store.now(), demandOf(delivery)),
    countInterrupted: (delivery) =>
      store.change(({ quota }, usage, now) => countMessage(quota, usage, namedOf(delivery).length, now)),
    requestProbe: (intervalMs) => store.change((state, _usage, now) => requestProbe(state, intervalMs, now)),
    async probe(login, signal) {
      if (!(await waitForProbe(store, rules, signal))) return null;
      const attempt = { fault: await login(), endedAt: Date.now() };
      const settle = reporter.withNotices((state, usage, now) =>
        settleLogin(state, usage, rules, now, attempt),
      );
      reporter.announce(await retryUntilAvailable(() => store.changeAndNotify(settle)));
      return attempt.fault;
    },
    changeAllowance(allowance) {
      rules.allowance = allowance;
      store.notify();
    },
    probeAfterChange: () => store.changeAndNotify((state, _usage, now) => probeAfterChange(state, now)),
    canLook: () => canLook(store.state, rules.mailbox, store.now()),
    allowLook: () =>
      store.change((state) => {
        delete state.mailboxFailure;
      }),
    async recordLook(fault) {
      await store.read();
      // Most looks change nothing.
      if (fault === null && !store.state.mailboxFailure) return;
      const isNews = await store.change((state, _usage, now) => recordLook(state, fault, now));
      if (isNews) events.emit('account.mailbox', user, fault);
    },
    status,
    async readStatus() {
      await store.read();
      return status();
    },
  };
}

/** Waits until a message may go or must be deferred. Returns null if the signal is aborted. */
async function waitForAdmission(
  store: AccountStore,
  rules: AccountRules,
  demand: Demand,
  signal: AbortSignal,
  start?: FollowUp<boolean>,
): Promise<{ admission: Exclude<Admission, { kind: 'busy' }>; isStored: boolean | null } | null> {
  const edit: AccountEdit<Admission> = (state, usage, now) => admit(state, usage, rules, now, demand);
  const followUp = start && {
    ...start,
    changeOf: ({ kind }: Admission) => start.changeOf(kind === 'admitted'),
  };
  while (!signal.aborted) {
    const since = store.changes;
    const { result: admission, isStored } = followUp
      ? await store.changeWith(edit, followUp)
      : { result: await store.change(edit), isStored: null };
    if (admission.kind !== 'busy') return { admission, isStored };
    await store.waitForChange(since, admission.waitMs, signal);
  }
  return null;
}

/** @throws {AppError} `queue_unavailable` */
async function beginProbeOrFail(store: AccountStore, rules: AccountRules): Promise<boolean> {
  try {
    return await store.change((state, _usage, now) => beginProbe(state, rules, now));
  } catch (error) {
    // The begin may be stored although its reply was lost. Without this, all would wait for its end.
    retryInBackground(() => store.changeAndNotify((state) => endProbe(state, rules)));
    throw error;
  }
}

/** Waits until this instance may probe. Returns false if the signal is aborted first. */
async function waitForProbe(store: AccountStore, rules: AccountRules, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    const since = store.changes;
    if (await beginProbeOrFail(store, rules)) return true;
    await store.waitForChange(since, Number.POSITIVE_INFINITY, signal);
    if (signal.aborted) return false;
  }
}

function demandOf(delivery: Delivery): Demand {
  return { recipients: pendingOf(delivery).length, priority: delivery.priority };
}

function pickRules(options: AccountOptions) {
  const { allowance, rate, connections, connectionsHere, backoffScale, mailbox = 'off' } = options;
  return { allowance, rate, connections, connectionsHere, backoffScale, mailbox };
}
