import type { Notice } from '../../core/ports/outbox.ts';
import type { SharedState, SharedValue, StoredValue } from '../../core/ports/shared-state.ts';
import { changedBuckets, copyUsage, type Usage } from '../../core/usage.ts';
import type { QueuedOutbox } from '../../core/webhooks/notice-queue.ts';
import type { Database } from './database.ts';

interface Stored {
  readonly value: object;
  readonly usage: Usage;
  /** Usage as it was posted last. Null if that is not what the file has. */
  posted: Usage | null;
  /** Notices of changes that have not been posted. */
  readonly notices: Notice[];
}

/**
 * Shared state in a file. Values live in memory. The next batch contains those that have changed,
 * once, however often they changed, of their usage the buckets that have changed, and the notices
 * of these changes.
 */
export function createSqliteSharedState(database: Database, outbox: Pick<QueuedOutbox, 'add'>): SharedState {
  const opened = new Map<string, SharedValue<object>>();
  const changed = new Map<string, Stored>();

  database.beforePost(() => {
    for (const [name, stored] of changed) {
      const { value, usage, posted } = stored;
      const buckets = posted ? changedBuckets(posted, usage) : usage;
      const notices = stored.notices.splice(0);
      stored.posted = copyUsage(usage);
      // One transaction writes all of it. If it fails, the change stays in memory, and the next one
      // writes it.
      Promise.all([
        database.write(null, 'writeShared', name, JSON.stringify(value), buckets, posted === null),
        ...notices.map(outbox.add),
      ]).catch(() => {
        stored.posted = null;
        stored.notices.unshift(...notices);
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
        const notices: Notice[] = [];
        const result = edit(value, usage, notices);
        stored.notices.push(...notices);
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
      const stored = { value: found ?? initial(), usage, ...upgraded, posted: copyUsage(usage), notices: [] };
      if (upgraded) changed.set(name, stored);
      const value = toSharedValue<Value>(name, stored);
      opened.set(name, value);
      return value;
    },
  };
}
