import type { AccountStatus } from '../accounts/account-status.ts';
import type { DeliveryError } from '../delivery/delivery.ts';
import { ERRORS } from '../errors.ts';
import type { Events } from '../events.ts';
import { BULK_MESSAGES } from '../gmail-volume.ts';
import type { SharedValue } from '../ports/shared-state.ts';
import type { LimitStatus, QuotaStatus } from '../quota.ts';
import { redactAddresses } from '../redact-addresses.ts';
import { isUnavailable, retryUntilAvailable } from '../retry-until-available.ts';
import { MINUTE, toIso } from '../time.ts';
import type { Alert } from './alert-queue.ts';
import { type AlertState, recordPause, recordResume, recordUsage, recordWait } from './alert-state.ts';

/** Interval between two looks at the queue and the quotas, in ms. */
const CHECK_EVERY_MS = MINUTE;

export interface AlertsOptions {
  readonly events: Events;
  /** What all instances together have reported. */
  readonly state: SharedValue<AlertState>;
  /** Returns epoch ms by the clock of the shared state. */
  readonly now: () => number;
  readonly listAccounts: () => Promise<readonly AccountStatus[]>;
  /** Returns when the oldest waiting message was due, in epoch ms; null if none waits. */
  readonly readOldestDueAt: () => Promise<number | null>;
  /** Resolves to whether the alert was delivered. */
  readonly send: (alert: Alert) => Promise<boolean>;
  /** An alert could not be composed, because of a bug. */
  readonly onError: (error: unknown) => void;
  /** Interval between checks, in ms. Shorter in tests. */
  readonly checkEveryMs?: number;
}

/**
 * Reports to the operator that an account is paused or resumed, mail is overdue, a quota is nearly used,
 * or a domain sends almost as much to Gmail as bulk senders. Instances that share their state send
 * one alert together.
 */
export interface Alerts {
  /** Starts to check the queue and the quotas. */
  start(): void;
  stop(): void;
}

export function createAlerts(options: AlertsOptions): Alerts {
  const { events, state, now, listAccounts, readOldestDueAt, send, onError } = options;
  let timer: NodeJS.Timeout | undefined;
  let isChecking = false;
  /** Events are recorded in their order. */
  let recorded: Promise<void> = Promise.resolve();

  /** Records something, and writes only if it is to be reported or forgotten. */
  async function record<Result>(edit: (draft: AlertState) => Result): Promise<Result> {
    const before = await state.read();
    const draft = structuredClone(before);
    const result = edit(draft);
    return JSON.stringify(draft) === JSON.stringify(before) ? result : state.change(edit);
  }

  /** Records something after all earlier events, once the backend is available. */
  function recordInOrder(run: () => Promise<unknown>): void {
    recorded = recorded.then(() => retryUntilAvailable(run)).then(() => {}, onError);
  }

  /** @param forget Is recorded if the alert is dropped, so that it can be reported again. */
  function report(alert: Alert, forget?: (draft: AlertState) => unknown): void {
    send(alert).then((isDelivered) => {
      if (!isDelivered && forget) recordInOrder(() => record(forget));
    }, onError);
  }

  async function check(): Promise<void> {
    const accounts = await listAccounts();
    const dueAt = await readOldestDueAt();
    const waitedMs = dueAt === null ? 0 : Math.max(0, Date.now() - dueAt);
    const { wait, near } = await record((draft) => ({
      wait: recordWait(draft, waitedMs),
      near: accounts.filter(({ user, quota }) => recordUsage(draft, user, usedShare(quota))),
    }));
    if (wait === 'late') report(lateAlert(waitedMs, accounts), (draft) => recordWait(draft, 0));
    if (wait === 'in_time') report(IN_TIME);
    for (const { user, quota } of near)
      report(quotaAlert(user, quota), (draft) => recordUsage(draft, user, 0));
  }

  async function checkUnlessRunning(): Promise<void> {
    if (isChecking) return;
    isChecking = true;
    try {
      await check();
    } catch (error) {
      // The log already says that the queue is unavailable.
      if (!isUnavailable(error)) onError(error);
    } finally {
      isChecking = false;
    }
  }

  /** Reports an alert if `edit` says that it is news. */
  function reportIfNews(
    alert: Alert,
    edit: (draft: AlertState) => boolean,
    forget?: (draft: AlertState) => unknown,
  ): void {
    recordInOrder(async () => {
      if (await record(edit)) report(alert, forget);
    });
  }

  events.on('account.paused', (user, error, untilAt, isNews) => {
    if (!isNews) return;
    reportIfNews(
      pauseAlert(user, error, untilAt),
      (draft) => recordPause(draft, user, error.code, now()),
      (draft) => recordResume(draft, user),
    );
  });
  events.on('account.resumed', (user) => {
    reportIfNews({ title: `Account ${user} sends again.`, lines: [] }, (draft) => recordResume(draft, user));
  });
  events.on('domain.near_bulk', (domain, messages) => report(bulkAlert(domain, messages)));
  return {
    start() {
      timer ??= setInterval(checkUnlessRunning, options.checkEveryMs ?? CHECK_EVERY_MS).unref();
    },
    stop() {
      clearInterval(timer);
    },
  };
}

function pauseAlert(user: string, { code, detail, hint }: DeliveryError, untilAt: number): Alert {
  return {
    title: `Account ${user} is paused: ${ERRORS[code].title} (${code}).`,
    lines: [redactAddresses(detail), hint, `It is tried again at ${toIso(Math.round(untilAt))}.`],
  };
}

function lateAlert(waitedMs: number, accounts: readonly AccountStatus[]): Alert {
  const paused = accounts.flatMap(({ user, pause }) =>
    pause === null
      ? []
      : [`Account ${user} is paused: ${ERRORS[pause.error.code].title} (${pause.error.code}).`],
  );
  return {
    title: `Mail is late: the oldest message has been due for ${Math.floor(waitedMs / MINUTE)} minutes.`,
    lines: [...paused, 'GET /messages?status=deferred shows why messages wait.'],
  };
}

const IN_TIME: Alert = { title: 'Mail is no longer late.', lines: [] };

function quotaAlert(user: string, quota: QuotaStatus): Alert {
  const { messages, recipients } = quota;
  return {
    title: `Account ${user} has used ${Math.floor(usedShare(quota) * 100)} % of its quota.`,
    lines: [
      `In the last 24 hours it has sent ${messages.used} of ${limitOf(messages)} messages, to ${recipients.used} of ${limitOf(recipients)} recipients.`,
      'Messages wait once it is used up: add an account, or use "priority": "high" for urgent messages.',
    ],
  };
}

function bulkAlert(domain: string, messages: number): Alert {
  return {
    title: `${domain} has sent ${messages} messages to Gmail in 24 hours.`,
    lines: [
      `From ${BULK_MESSAGES} on, Google's rules for bulk senders apply: SPF, DKIM, an aligned DMARC record, one-click unsubscribe, and few spam reports.`,
      'outtray doctor checks the DNS records.',
    ],
  };
}

/** Returns the larger of the shares that messages and recipients have used. */
function usedShare({ messages, recipients }: QuotaStatus): number {
  return Math.max(messages.used / limitOf(messages), recipients.used / limitOf(recipients));
}

function limitOf({ limit, learned }: LimitStatus): number {
  return Math.max(1, learned ?? limit);
}
