import type { SharedState, SharedValue } from '../../core/ports/shared-state.ts';

/** Books in memory, of this process alone. */
export function createMemorySharedState(): SharedState {
  const values = new Map<string, SharedValue<object>>();
  return {
    shared: false,
    now: () => performance.timeOrigin + performance.now(),
    async open<Value extends object>(name: string, initial: () => Value) {
      const book = values.get(name) ?? bind(initial());
      values.set(name, book);
      return book as SharedValue<Value>;
    },
  };
}

function bind<Value>(value: Value): SharedValue<Value> {
  return { value: value, read: async () => value, change: async (edit) => edit(value) };
}
