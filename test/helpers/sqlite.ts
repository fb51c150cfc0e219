import type { DatabaseSync } from 'node:sqlite';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { createDatabase, type Database } from '../../src/adapters/sqlite/database.ts';
import type { ThreadSetup } from '../../src/adapters/sqlite/protocol.ts';
import type { OpenFile } from '../../src/adapters/sqlite/worker/file-watch.ts';
import { serveDatabase } from '../../src/adapters/sqlite/worker/serve-database.ts';

/** A database that is served in the thread of the test. */
export interface LocalDatabase {
  readonly database: Database;
  /** Where the replies of the thread arrive. */
  readonly replies: MessagePort;
  /** Ends the thread without closing the database. */
  readonly end: () => void;
}

/**
 * Serves a database in this thread instead of its own, so that a test can change the database, or
 * open thousands of them.
 *
 * @param report called with changes of the availability, and with `lost` when the port is closed
 */
export function serveLocally(
  db: DatabaseSync,
  openFile: OpenFile,
  limits: Omit<ThreadSetup, 'file'>,
  report: (reason: string | null) => void = () => {},
): LocalDatabase {
  const { port1, port2 } = new MessageChannel();
  const { state } = serveDatabase(db, openFile, limits, Date.now(), port2);
  const database = createDatabase(port1, {
    state: state(),
    now: Date.now,
    onAvailabilityChange: report,
    onLost: () => report('lost'),
  });
  return { database, replies: port1, end: () => port2.close() };
}
