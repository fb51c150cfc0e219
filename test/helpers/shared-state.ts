import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Notice } from '../../src/core/ports/outbox.ts';
import type { SharedValue } from '../../src/core/ports/shared-state.ts';
import { copyUsage, type Usage } from '../../src/core/usage.ts';

/** A value that several simulated instances share, each with its own view of it. */
export interface SimulatedSharedValue<Value> {
  /** The stored value and usage. */
  readonly stored: Value;
  readonly storedUsage: Usage;
  /** The notices of all changes. */
  readonly storedNotices: readonly Notice[];
  /** Opens the view of another instance. */
  open(): SharedValue<Value>;
}

/**
 * Creates a shared value whose changes run one at a time and take a turn of the event loop.
 *
 * @param options.conflicting another instance is always faster: each `edit` runs once on the last
 *   known value, without effect, and then on the stored one
 */
export function shareValue<Value extends object>(
  initial: Value,
  { conflicting = false } = {},
): SimulatedSharedValue<Value> {
  let stored = JSON.stringify(initial);
  let storedUsage: Usage = [];
  const storedNotices: Notice[] = [];
  let last: Promise<unknown> = Promise.resolve();

  function inTurn<Result>(run: () => Result): Promise<Result> {
    const result = last.then(() => nextTurn()).then(run);
    last = result.catch(() => {});
    return result;
  }

  return {
    get stored() {
      return JSON.parse(stored);
    },
    get storedUsage() {
      return copyUsage(storedUsage);
    },
    storedNotices,
    open() {
      let value: Value = JSON.parse(stored);
      let usage = copyUsage(storedUsage);
      const read = () => {
        value = JSON.parse(stored);
        usage = copyUsage(storedUsage);
        return value;
      };
      return {
        get value() {
          return value;
        },
        get usage() {
          return usage;
        },
        read: () => inTurn(read),
        change: (edit) =>
          inTurn(() => {
            if (conflicting) edit(structuredClone(value), copyUsage(usage), []);
            read();
            const notices: Notice[] = [];
            const result = edit(value, usage, notices);
            storedNotices.push(...notices);
            stored = JSON.stringify(value);
            storedUsage = copyUsage(usage);
            return result;
          }),
      };
    },
  };
}
