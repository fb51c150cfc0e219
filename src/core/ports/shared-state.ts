import type { Usage } from '../usage.ts';
import type { DeliveryChange } from './delivery-store.ts';
import type { Notice } from './outbox.ts';

/**
 * Changes the drafts of a value and its usage, and does nothing else: it may run again on what
 * another instance has stored meanwhile.
 *
 * @param notices Empty. Notices that are added, due now, are stored and queued in the same step.
 *   Those without capacity are dropped: see `Outbox.onDropped`.
 */
export type SharedEdit<Value, Result> = (value: Value, usage: Usage, notices: Notice[]) => Result;

/** A JSON value that all instances share, and the usage that is counted beside it. */
export interface SharedValue<Value> {
  /**
   * As last read or changed by this instance: another instance may have changed it since. Must not
   * be modified.
   */
  readonly value: Value;
  /** As current as `value`. Must not be modified. */
  readonly usage: Readonly<Usage>;
  /** Reads both from the backend. */
  read(): Promise<Value>;
  /**
   * Changes value and usage in one step. Changes of all instances are made one at a time. Returns
   * the result of the last run of `edit`. The change is stored no later than anything that is
   * written to the backend after it.
   *
   * @throws {AppError} `queue_unavailable`
   */
  change<Result>(edit: SharedEdit<Value, Result>): Promise<Result>;
  /**
   * Changes the value, and a delivery of the same backend, in one step. Absent where a step of its
   * own for each costs no more.
   *
   * @param changeOf Returns the change that follows from the result of `edit`, or null. Runs again
   *   with it.
   * @throws {AppError} `queue_unavailable`
   */
  changeWith?<Result>(
    edit: SharedEdit<Value, Result>,
    changeOf: (result: Result) => DeliveryChange | null,
  ): Promise<ChangedWith<Result>>;
}

export interface ChangedWith<Result> {
  readonly result: Result;
  /** What `DeliveryStore.update` returns for the delivery. Null if none was to change. */
  readonly isStored: boolean | null;
}

/** A value with its usage, as a backend stores them. */
export interface StoredValue<Value> {
  readonly value: Value;
  readonly usage: Usage;
}

/** Named values that all instances share: the state of accounts, and the usage of API keys. */
export interface SharedState {
  /** Whether other instances may change the values, too. */
  readonly shared: boolean;
  /** Epoch ms by the shared clock: the same for all instances, and monotonic. */
  now(): number;
  /**
   * @param initial value if none is stored
   * @param upgrade converts the value that version 0.1 stored under this name; null if it is in
   *   today's format
   */
  open<Value extends object>(
    name: string,
    initial: () => Value,
    upgrade?: (stored: object) => StoredValue<Value> | null,
  ): Promise<SharedValue<Value>>;
}
