import type { DatabaseSync } from 'node:sqlite';
import { isDeepStrictEqual } from 'node:util';
import { toMailboxKey } from '../../core/message/address.ts';
import type { Suppression, SuppressionStore } from '../../core/ports/suppression-store.ts';
import type { GroupCommit } from './group-commit.ts';

/** A SuppressionStore in a file, bounded by the disk alone. */
export function createSqliteSuppressions(db: DatabaseSync, commits: GroupCommit): SuppressionStore {
  const get = db.prepare('SELECT suppression FROM suppressions WHERE key = ?');
  const put = db.prepare('INSERT OR REPLACE INTO suppressions VALUES (?, ?)');
  const remove = db.prepare('DELETE FROM suppressions WHERE key = ?');
  const list = db.prepare('SELECT suppression FROM suppressions WHERE key > ? ORDER BY key LIMIT ?');

  const find = (key: Uint8Array) => parse(get.get(key));

  return {
    get: (email) => commits.read(() => find(toKey(toMailboxKey(email)))),
    replace(from, to) {
      const key = toKey(toMailboxKey(to.email));
      return commits.write(() => {
        if (!isDeepStrictEqual(find(key), from)) return false;
        put.run(key, JSON.stringify(to));
        return true;
      });
    },
    remove: (email) => commits.write(() => remove.run(toKey(toMailboxKey(email))).changes > 0),
    list: ({ limit, after }) =>
      commits.read(() => list.all(toKey(after ?? ''), limit).flatMap((row) => parse(row) ?? [])),
  };
}

/** UTF-16BE: its bytes sort as code units do. */
function toKey(mailboxKey: string): Uint8Array {
  return Buffer.from(mailboxKey, 'utf16le').swap16();
}

function parse(row: Record<string, unknown> | undefined): Suppression | null {
  return row ? JSON.parse(String(row.suppression)) : null;
}
