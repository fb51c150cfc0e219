import type { SharedState, SharedValue, StoredValue } from '../../core/ports/shared-state.ts';
import { changedBuckets, copyUsage, type Usage } from '../../core/usage.ts';
import type { Database } from './database.ts';

interface Stored {
  readonly value: object;
  readonly usage: Usage;
  /** Usage as it was posted last. Null if that is not what the file has. */
  posted: Usage | null;
}

/**
 * Shared state in a file. Values live in memory. The next batch contains those that have changed,
 * once, however often they changed, and of their usage the buckets that have changed.
 */
export function createSqliteSharedState(database: Database): SharedState {
  const opened = new Map<string, SharedValue<object>>();
  const changed = new Map<string, Stored>();

  database.beforePost(() => {
    for (const [name, stored] of changed) {
      const { value, usage, posted } = stored;
      const buckets = posted ? changedBuckets(posted, usage) : usage;
      stored.posted = copyUsage(usage);
      // The change stays in memory even if this transaction fails. Then the next one writes it.
      database.write(null, 'writeShared', name, JSON.stringify(value), buckets, posted === null).catch(() => {
        stored.posted = null;
        changed.set(name, stored);
      });
    }
    changed.clear();
  });

  function toSharedValue<Value extends object>(name: string, stored: Stored): SharedValue<Value> {
    const value = stored.value as Value;
    const { usage } = stored;
    return {
      value,
      usage,
      read: async () => value,
      async change(edit) {
        const result = edit(value, usage);
        changed.set(name, stored);
        database.postSoon();
        return result;
      },
    };
  }

  return {
    shared: false,
    now: database.now,
    async open<Value extends object>(
      name: string,
      initial: () => Value,
      upgrade?: (stored: object) => StoredValue<Value> | null,
    ) {
      const known = opened.get(name);
      if (known) return known as SharedValue<Value>;
      const { json, usage } = await database.read(null, 'readShared', name);
      const other = opened.get(name);
      if (other) return other as SharedValue<Value>;
      const found = json === null ? null : JSON.parse(json);
      const upgraded = found === null ? null : upgrade?.(found);
      const stored = { value: found ?? initial(), usage, ...upgraded, posted: copyUsage(usage) };
      if (upgraded) changed.set(name, stored);
      const value = toSharedValue<Value>(name, stored);
      opened.set(name, value);
      return value;
    },
  };
}
