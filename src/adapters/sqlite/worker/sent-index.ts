import type { DatabaseSync } from 'node:sqlite';
import { SENT_INDEX_MS, type SentMail } from '../../../core/ports/sent-index.ts';
import type { OnRollback } from './transactions.ts';

/**
 * Procedures of the SentIndex.
 *
 * @param now epoch ms by the clock of the file
 */
export function createSentIndex(db: DatabaseSync, now: () => number) {
  const put = db.prepare('INSERT OR REPLACE INTO sent_index VALUES (?, ?, ?)');
  const find = db.prepare('SELECT mail FROM sent_index WHERE id = ? AND leaves_at > ?');
  return {
    reads: {
      findSent(id: string): SentMail | null {
        const row = find.get(id, now());
        return row ? JSON.parse(String(row.mail)) : null;
      },
    },
    writes: {
      addSent(_onRollback: OnRollback, mails: readonly SentMail[]): void {
        const leavesAt = Math.ceil(now() + SENT_INDEX_MS);
        for (const mail of mails) put.run(mail.id, JSON.stringify(mail), leavesAt);
      },
    },
  };
}
