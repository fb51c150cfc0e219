import type { IdempotencyStore } from '../../core/ports/idempotency-store.ts';
import type { Database } from './database.ts';

/** Creates an IdempotencyStore in a file. */
export function createSqliteIdempotency(database: Database): IdempotencyStore {
  return {
    claim: (key, fingerprint) => database.write(null, 'claimKey', key, fingerprint),
    accept: (key, receipt, response) => database.write(null, 'acceptKey', key, receipt, response),
    release: (key) => database.write(null, 'releaseKey', key),
    markUnknown: (key) => database.write(null, 'markKeyUnknown', key),
  };
}
