import type { DatabaseSync } from 'node:sqlite';
import { isDeepStrictEqual } from 'node:util';
import { toMailboxKey } from '../../core/message/address.ts';
import type { Suppression, SuppressionStore } from '../../core/ports/suppression-store.ts';
import type { GroupCommit } from './group-commit.ts';

/** Creates a SuppressionStore in a file. Only the disk bounds it. */
export function createSqliteSuppressions(db: DatabaseSync, groupCommit: GroupCommit): SuppressionStore {
  const get = db.prepare('SELECT suppression FROM suppressions WHERE key = ?');
  const put = db.prepare('INSERT OR REPLACE INTO suppressions VALUES (?, ?)');
  const remove = db.prepare('DELETE FROM suppressions WHERE key = ?');
  const list = db.prepare('SELECT suppression FROM suppressions WHERE key > ? ORDER BY key LIMIT ?');

  const find = (key: Uint8Array) => parseSuppression(get.get(key));

  return {
    get: (email) => groupCommit.read(() => find(encodeKey(toMailboxKey(email)))),
    replace(from, to) {
      const key = encodeKey(toMailboxKey(to.email));
      return groupCommit.write(() => {
        if (!isDeepStrictEqual(find(key), from)) return false;
        put.run(key, JSON.stringify(to));
        return true;
      });
    },
    remove: (email) => groupCommit.write(() => remove.run(encodeKey(toMailboxKey(email))).changes > 0),
    list: ({ limit, after }) =>
      groupCommit.read(() =>
        list.all(encodeKey(after ?? ''), limit).flatMap((row) => parseSuppression(row) ?? []),
      ),
  };
}

/** Encodes in UTF-16BE, whose bytes sort in code unit order. */
function encodeKey(mailboxKey: string): Uint8Array {
  return Buffer.from(mailboxKey, 'utf16le').swap16();
}

function parseSuppression(row: Record<string, unknown> | undefined): Suppression | null {
  return row ? JSON.parse(String(row.suppression)) : null;
}
