import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SharedValue } from '../../src/core/ports/shared-state.ts';

/** A value that several simulated instances share. */
export interface SimulatedSharedValue<Value> {
  /** The stored value. */
  readonly kept: Value;
  /** Opens it as another instance. */
  open(): SharedValue<Value>;
}

/**
 * Creates a shared value whose changes run one at a time and take a turn of the event loop.
 *
 * @param options.conflicting another instance always changes the value first: each `edit` runs once on the
 *   last known value, without effect, and then on the stored one
 */
export function shareValue<Value extends object>(
  initial: Value,
  { conflicting = false } = {},
): SimulatedSharedValue<Value> {
  let kept = JSON.stringify(initial);
  let last: Promise<unknown> = Promise.resolve();

  function inTurn<Result>(run: () => Result): Promise<Result> {
    const result = last.then(() => nextTurn()).then(run);
    last = result.catch(() => {});
    return result;
  }

  return {
    get kept() {
      return JSON.parse(kept);
    },
    open() {
      let current: Value = JSON.parse(kept);
      return {
        get value() {
          return current;
        },
        read: () => inTurn(() => (current = JSON.parse(kept))),
        change: (edit) =>
          inTurn(() => {
            if (conflicting) edit(structuredClone(current));
            const value: Value = JSON.parse(kept);
            const result = edit(value);
            kept = JSON.stringify(value);
            current = value;
            return result;
          }),
      };
    },
  };
}
