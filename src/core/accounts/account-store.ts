import { isSameRecord } from '../delivery/delivery-codec.ts';
import type { DeliveryChange, DeliveryStore } from '../ports/delivery-store.ts';
import type { Notice } from '../ports/outbox.ts';
import type { ChangedWith, SharedEdit, SharedState, SharedValue } from '../ports/shared-state.ts';
import { retryUntilAvailable, type Wait } from '../retry-until-available.ts';
import type { Usage } from '../usage.ts';
import type { AccountState } from './account-state.ts';

/**
 * Other instances change shared state without notifying this one, so waiters check it again at this
 * interval.
 */
const RECHECK_MS = 250;

/**
 * A SharedEdit of the account's state.
 *
 * @param now epoch ms by the shared clock
 */
export type AccountEdit<Result> = (
  draft: AccountState,
  usage: Usage,
  now: number,
  notices: Notice[],
) => Result;

/** The change of a delivery that follows from a change of its account. */
export interface FollowUp<Result> {
  readonly store: Pick<DeliveryStore, 'get' | 'update'>;
  /** Between two tries while the backend is unavailable. Default: a timer. */
  readonly wait?: Wait | undefined;
  /**
   * Returns the change, or null if no delivery changes. Runs again with the change of the account.
   */
  changeOf(result: Result): DeliveryChange | null;
}

/** The shared state of an account, and what waits in this instance for it to change. */
export interface AccountStore {
  /** As last read or changed by this instance. */
  readonly state: AccountState;
  readonly usage: Readonly<Usage>;
  /** Whether other instances may change the state, too. */
  readonly shared: boolean;
  /** Number of notifications so far. */
  readonly changes: number;
  now(): number;
  /** Reads state and usage from the backend. */
  read(): Promise<void>;
  /** @throws {AppError} `queue_unavailable` */
  change<Result>(edit: AccountEdit<Result>): Promise<Result>;
  /** Makes a change, then wakes all waiters to check again. */
  changeAndNotify<Result>(edit: AccountEdit<Result>): Promise<Result>;
  /**
   * Makes a change and what follows from it, in one step if the backend can. Retries while the
   * backend is unavailable. `isStored` is false if the delivery was stored by a try whose reply was
   * lost.
   */
  changeWith<Result>(edit: AccountEdit<Result>, followUp: FollowUp<Result>): Promise<ChangedWith<Result>>;
  notify(): void;
  /**
   * Resolves when waiters should check again: after a notification, after `atMostMs`, or when the
   * signal is aborted.
   *
   * @param since value of `changes` when the caller decided to wait; resolves at once if it has
   *   moved on
   */
  waitForChange(since: number, atMostMs: number, signal: AbortSignal): Promise<void>;
}

export function createAccountStore(
  value: SharedValue<AccountState>,
  { now, shared }: Pick<SharedState, 'now' | 'shared'>,
): AccountStore {
  const waiting = new Set<() => void>();
  let changes = 0;

  const store: AccountStore = {
    get state() {
      return value.value;
    },
    get usage() {
      return value.usage;
    },
    get changes() {
      return changes;
    },
    shared,
    now,
    async read() {
      await value.read();
    },
    change: (edit) => value.change((draft, usage, notices) => edit(draft, usage, now(), notices)),
    async changeAndNotify(edit) {
      const result = await store.change(edit);
      store.notify();
      return result;
    },
    async changeWith(edit, followUp) {
      if (value.changeWith) {
        const changeBoth = value.changeWith.bind(value);
        const changeDraft = (draft: AccountState, usage: Usage, notices: Notice[]) =>
          edit(draft, usage, now(), notices);
        return changeInOneStep(changeBoth, changeDraft, followUp);
      }
      const { store: deliveries, wait, changeOf } = followUp;
      const result = await retryUntilAvailable(() => store.change(edit), wait);
      const change = changeOf(result);
      if (change === null) return { result, isStored: null };
      const { from, to, effect, notices } = change;
      const isStored = await retryUntilAvailable(() => deliveries.update(from, to, effect, notices), wait);
      return { result, isStored };
    },
    notify() {
      changes += 1;
      for (const wake of [...waiting]) wake();
    },
    waitForChange(since, atMostMs, signal) {
      const waitMs = shared ? Math.min(atMostMs, RECHECK_MS) : atMostMs;
      return new Promise((resolve) => {
        if (changes !== since || signal.aborted) return resolve();
        const wake = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', wake);
          waiting.delete(wake);
          resolve();
        };
        const timer = waitMs < Number.POSITIVE_INFINITY ? setTimeout(wake, waitMs) : undefined;
        signal.addEventListener('abort', wake);
        waiting.add(wake);
      });
    },
  };
  return store;
}

/**
 * Makes a change and that of a delivery in one step. Retries while the backend is unavailable,
 * unless the delivery shows that the latest try was stored and only its reply was lost. Made again,
 * it would count an attempt twice, or wait for a probe of its own.
 */
function changeInOneStep<Result>(
  changeBoth: NonNullable<SharedValue<AccountState>['changeWith']>,
  edit: SharedEdit<AccountState, Result>,
  { store, wait, changeOf }: FollowUp<Result>,
): Promise<ChangedWith<Result>> {
  let latest: { readonly result: Result; readonly change: DeliveryChange } | null = null;

  return retryUntilAvailable(async () => {
    if (latest !== null) {
      const { result, change } = latest;
      const stored = await store.get(change.to.id);
      if (stored !== null && isSameRecord(stored, change.to)) return { result, isStored: false };
    }
    return changeBoth(edit, (result) => {
      const change = changeOf(result);
      latest = change && { result, change };
      return change;
    });
  }, wait);
}
