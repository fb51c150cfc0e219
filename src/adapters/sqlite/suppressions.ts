import { toMailboxKey } from '../../core/message/address.ts';
import type { SuppressionStore } from '../../core/ports/suppression-store.ts';
import type { Database } from './database.ts';

/** Creates a SuppressionStore in a file. Only the disk bounds it. */
export function createSqliteSuppressions(database: Database): SuppressionStore {
  return {
    get(email) {
      const key = toMailboxKey(email);
      return database.read(key, 'findSuppression', key);
    },
    replace(from, to) {
      const key = toMailboxKey(to.email);
      return database.write(key, 'replaceSuppression', key, from, to);
    },
    remove(email) {
      const key = toMailboxKey(email);
      return database.write(key, 'removeSuppression', key);
    },
    list: async ({ limit, after }) => database.read(null, 'listSuppressions', after ?? '', limit),
  };
}
