import type { DatabaseSync } from 'node:sqlite';
import type { SharedState, SharedValue } from '../../core/ports/shared-state.ts';
import type { GroupCommit } from './group-commit.ts';

/** Books in a file. Their values live in memory; what has changed is written with the next transaction, once, however often it changed. */
export function createSqliteSharedState(db: DatabaseSync, commits: GroupCommit): SharedState {
  const read = db.prepare('SELECT value FROM books WHERE name = ?');
  const write = db.prepare('INSERT OR REPLACE INTO books VALUES (?, ?)');
  const values = new Map<string, SharedValue<object>>();
  const changed = new Map<string, object>();

  commits.beforeCommit((onRollback) => {
    for (const [name, value] of changed) {
      changed.delete(name);
      onRollback(() => changed.set(name, value));
      write.run(name, JSON.stringify(value));
    }
  });

  function bind<Value extends object>(name: string, value: Value): SharedValue<Value> {
    return {
      value: value,
      read: async () => value,
      async change(edit) {
        const result = edit(value);
        changed.set(name, value);
        // The change stands in memory whatever becomes of this transaction, and goes with the next one if need be.
        commits.write(() => {}).catch(() => {});
        return result;
      },
    };
  }

  return {
    shared: false,
    now: commits.now,
    async open<Value extends object>(name: string, initial: () => Value) {
      const known = values.get(name);
      if (known) return known as SharedValue<Value>;
      const kept = await commits.read(() => read.get(name));
      const book = values.get(name) ?? bind(name, kept ? JSON.parse(String(kept.value)) : initial());
      values.set(name, book);
      return book as SharedValue<Value>;
    },
  };
}
