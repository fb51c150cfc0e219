import type { DatabaseSync } from 'node:sqlite';
import { isDeepStrictEqual } from 'node:util';
import type { Suppression } from '../../../core/ports/suppression-store.ts';
import { addMailbox, createMailboxFilter, type MailboxFilter } from '../mailbox-filter.ts';
import type { OnRollback } from './transactions.ts';

/** Procedures of the SuppressionStore, by mailbox key. */
export function createSuppressions(db: DatabaseSync) {
  const get = db.prepare('SELECT suppression FROM suppressions WHERE key = ?');
  const put = db.prepare('INSERT OR REPLACE INTO suppressions VALUES (?, ?)');
  const remove = db.prepare('DELETE FROM suppressions WHERE key = ?');
  const list = db.prepare('SELECT suppression FROM suppressions WHERE key > ? ORDER BY key LIMIT ?');

  const findSuppression = (mailboxKey: string) => parseSuppression(get.get(encodeKey(mailboxKey)));

  return {
    reads: {
      findSuppression,
      listSuppressions: (after: string, limit: number): readonly Suppression[] =>
        list.all(encodeKey(after), limit).flatMap((row) => parseSuppression(row) ?? []),
    },
    writes: {
      /** Returns false, and changes nothing, if another one than `from` is stored. */
      replaceSuppression(
        _onRollback: OnRollback,
        mailboxKey: string,
        from: Suppression | null,
        to: Suppression,
      ): boolean {
        if (!isDeepStrictEqual(findSuppression(mailboxKey), from)) return false;
        put.run(encodeKey(mailboxKey), JSON.stringify(to));
        return true;
      },
      removeSuppression: (_onRollback: OnRollback, mailboxKey: string): boolean =>
        remove.run(encodeKey(mailboxKey)).changes > 0,
    },
  };
}

/** Returns a filter of all mailboxes that have a suppression. */
export function readMailboxFilter(db: DatabaseSync): MailboxFilter {
  const filter = createMailboxFilter();
  for (const { key } of db.prepare('SELECT key FROM suppressions').iterate())
    addMailbox(
      filter,
      Buffer.from(key as Uint8Array)
        .swap16()
        .toString('utf16le'),
    );
  return filter;
}

/** Encodes in UTF-16BE, whose bytes sort in code unit order. */
function encodeKey(mailboxKey: string): Uint8Array {
  return Buffer.from(mailboxKey, 'utf16le').swap16();
}

function parseSuppression(row: Record<string, unknown> | undefined): Suppression | null {
  return row ? JSON.parse(String(row.suppression)) : null;
}
