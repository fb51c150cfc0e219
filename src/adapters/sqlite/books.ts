import type { DatabaseSync } from 'node:sqlite';
import type { Book, Books } from '../../core/ports.ts';
import type { Commits } from './commits.ts';

/** Books in a file. Their values live in memory; what has changed is written with the next transaction, once, however often it changed. */
export function createSqliteBooks(db: DatabaseSync, commits: Commits): Books {
  const read = db.prepare('SELECT value FROM books WHERE name = ?');
  const write = db.prepare('INSERT OR REPLACE INTO books VALUES (?, ?)');
  const books = new Map<string, Book<object>>();
  const changed = new Map<string, object>();

  commits.beforeCommit((onRollback) => {
    for (const [name, value] of changed) {
      changed.delete(name);
      onRollback(() => changed.set(name, value));
      write.run(name, JSON.stringify(value));
    }
  });

  function bind<Value extends object>(name: string, value: Value): Book<Value> {
    return {
      current: value,
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
      const known = books.get(name);
      if (known) return known as Book<Value>;
      const kept = await commits.read(() => read.get(name));
      const book = books.get(name) ?? bind(name, kept ? JSON.parse(String(kept.value)) : initial());
      books.set(name, book);
      return book as Book<Value>;
    },
  };
}
