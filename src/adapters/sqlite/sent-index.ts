import type { SentIndex } from '../../core/ports/sent-index.ts';
import type { Database } from './database.ts';

/** Creates a SentIndex in a file. Only the disk bounds it. */
export function createSqliteSentIndex(database: Database): SentIndex {
  return {
    add: (mails) => database.write(null, 'addSent', mails),
    find: (id) => database.read(null, 'findSent', id),
  };
}
