import type { SharedState, SharedValue } from '../../core/ports/shared-state.ts';
import type { Usage } from '../../core/usage.ts';

/** Shared state in the memory of one process. */
export function createMemorySharedState(): SharedState {
  const values = new Map<string, SharedValue<object>>();
  return {
    shared: false,
    now: () => performance.timeOrigin + performance.now(),
    async open<Value extends object>(name: string, initial: () => Value) {
      const value = values.get(name) ?? toSharedValue(initial(), []);
      values.set(name, value);
      return value as SharedValue<Value>;
    },
  };
}

function toSharedValue<Value>(value: Value, usage: Usage): SharedValue<Value> {
  return { value, usage, read: async () => value, change: async (edit) => edit(value, usage) };
}
