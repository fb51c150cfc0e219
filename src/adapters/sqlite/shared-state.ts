import type { DatabaseSync } from 'node:sqlite';
import type { SharedState, SharedValue, StoredValue } from '../../core/ports/shared-state.ts';
import { changedBuckets, copyUsage, type Usage } from '../../core/usage.ts';
import type { GroupCommit } from './group-commit.ts';

interface Stored {
  readonly value: object;
  readonly usage: Usage;
  /** Usage as it is in the file. */
  written: Usage;
}

/**
 * Shared state in a file. Values live in memory. The next transaction writes those that have
 * changed, once, however often they changed, and of their usage the buckets that have changed.
 */
export function createSqliteSharedState(db: DatabaseSync, commits: GroupCommit): SharedState {
  const { loadValue, loadUsage, writeValue, writeUsage } = prepare(db);
  const opened = new Map<string, SharedValue<object>>();
  const changed = new Map<string, Stored>();

  commits.beforeCommit((onRollback) => {
    for (const [name, stored] of changed) {
      const { written } = stored;
      changed.delete(name);
      onRollback(() => {
        changed.set(name, stored);
        stored.written = written;
      });
      writeValue(name, stored.value);
      writeUsage(name, changedBuckets(written, stored.usage));
      stored.written = copyUsage(stored.usage);
    }
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
        // The change stays in memory even if this transaction fails. Then the next one writes it.
        commits.write(() => {}).catch(() => {});
        return result;
      },
    };
  }

  return {
    shared: false,
    now: commits.now,
    async open<Value extends object>(
      name: string,
      initial: () => Value,
      upgrade?: (stored: object) => StoredValue<Value> | null,
    ) {
      const known = opened.get(name);
      if (known) return known as SharedValue<Value>;
      const { json, usage } = await commits.read(() => ({ json: loadValue(name), usage: loadUsage(name) }));
      const other = opened.get(name);
      if (other) return other as SharedValue<Value>;
      const upgraded = json === null ? null : upgrade?.(json);
      const stored = { value: json ?? initial(), usage, ...upgraded, written: copyUsage(usage) };
      if (upgraded) changed.set(name, stored);
      const value = toSharedValue<Value>(name, stored);
      opened.set(name, value);
      return value;
    },
  };
}

function prepare(db: DatabaseSync) {
  const readValue = db.prepare('SELECT value FROM books WHERE name = ?');
  const putValue = db.prepare('INSERT OR REPLACE INTO books VALUES (?, ?)');
  const readUsage = db.prepare(
    'SELECT leaves_at, messages, recipients FROM usage WHERE name = ? ORDER BY leaves_at',
  );
  const putBucket = db.prepare('INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?)');
  const dropBucket = db.prepare('DELETE FROM usage WHERE name = ? AND leaves_at = ?');
  return {
    loadValue(name: string): object | null {
      const row = readValue.get(name);
      return row ? JSON.parse(String(row.value)) : null;
    },
    writeValue: (name: string, value: object) => putValue.run(name, JSON.stringify(value)),
    loadUsage: (name: string): Usage =>
      readUsage.all(name).map(({ leaves_at, messages, recipients }) => ({
        leavesAt: Number(leaves_at),
        messages: Number(messages),
        recipients: Number(recipients),
      })),
    writeUsage(name: string, buckets: Readonly<Usage>) {
      for (const { leavesAt, messages, recipients } of buckets) {
        if (messages === 0) dropBucket.run(name, leavesAt);
        else putBucket.run(name, leavesAt, messages, recipients);
      }
    },
  };
}
