import type { Notice } from '../../core/ports/outbox.ts';
import type { SharedState, SharedValue } from '../../core/ports/shared-state.ts';
import type { Usage } from '../../core/usage.ts';

/** Stores a notice that reports a change of a value. */
type AddNotice = (notice: Notice) => Promise<void>;

/**
 * Shared state in the memory of one process.
 *
 * @param addNotice Default: there are no notices.
 */
export function createMemorySharedState(addNotice: AddNotice = async () => {}): SharedState {
  const values = new Map<string, SharedValue<object>>();
  return {
    shared: false,
    now: () => performance.timeOrigin + performance.now(),
    async open<Value extends object>(name: string, initial: () => Value) {
      const value = values.get(name) ?? toSharedValue(initial(), [], addNotice);
      values.set(name, value);
      return value as SharedValue<Value>;
    },
  };
}

function toSharedValue<Value>(value: Value, usage: Usage, addNotice: AddNotice): SharedValue<Value> {
  return {
    value,
    usage,
    read: async () => value,
    async change(edit) {
      const notices: Notice[] = [];
      const result = edit(value, usage, notices);
      // Most changes have none, and resolve at once.
      if (notices.length > 0) await Promise.all(notices.map(addNotice));
      return result;
    },
  };
}
