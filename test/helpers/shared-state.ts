import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SharedValue } from '../../src/core/ports/shared-state.ts';

/** A value that several instances have a book of, each its own. */
export interface SimulatedSharedValue<Value> {
  /** What is kept now. */
  readonly kept: Value;
  /** As one instance has it. */
  open(): SharedValue<Value>;
}

/**
 * Changes are made one at a time, and take a while. With `conflicting`, another instance is always first: each `edit` runs once on what was known
 * here, to no effect, and then on what is kept.
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
