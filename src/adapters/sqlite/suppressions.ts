import { toMailboxKey } from '../../core/message/address.ts';
import type { SuppressionStore } from '../../core/ports/suppression-store.ts';
import type { Database } from './database.ts';
import { addMailbox, type MailboxFilter, mayContain } from './mailbox-filter.ts';

/**
 * Creates a SuppressionStore in a file. Only the disk bounds it.
 *
 * @param suppressed the mailboxes in the file
 */
export function createSqliteSuppressions(database: Database, suppressed: MailboxFilter): SuppressionStore {
  return {
    async get(email) {
      const key = toMailboxKey(email);
      // Most messages are accepted without waiting for the database here.
      if (!mayContain(suppressed, key)) return null;
      return database.read(key, 'findSuppression', key);
    },
    replace(from, to) {
      const key = toMailboxKey(to.email);
      addMailbox(suppressed, key);
      return database.write(key, 'replaceSuppression', key, from, to);
    },
    remove(email) {
      const key = toMailboxKey(email);
      return database.write(key, 'removeSuppression', key);
    },
    list: async ({ limit, after }) => database.read(null, 'listSuppressions', after ?? '', limit),
  };
}
