import { AppError } from '../../core/errors.ts';
import type { Backend } from '../../core/ports/backend.ts';
import type { Queue } from '../../core/ports/queue.ts';
import { storeThenQueue } from '../../core/store-then-queue.ts';
import { putThenQueue } from '../../core/webhooks/notice-queue.ts';
import { createFileClock, persistFileClock } from './clock.ts';
import { createDatabase, type Database } from './database.ts';
import { createSqliteIdempotency } from './idempotency.ts';
import type { MailboxFilter } from './mailbox-filter.ts';
import { createSqliteOutbox } from './outbox.ts';
import type { ThreadSetup } from './protocol.ts';
import { refillQueue } from './recovery.ts';
import { startRetention } from './retention.ts';
import { createSqliteSentIndex } from './sent-index.ts';
import { createSqliteSharedState } from './shared-state.ts';
import { toFileError } from './sqlite-errors.ts';
import { createSqliteStore } from './store.ts';
import { createSqliteSuppressions } from './suppressions.ts';
import { DatabaseThreadError, startDatabaseThread } from './thread.ts';

/** Options of the backend. `file`: it is created if it does not exist; its folder must exist. */
export interface SqliteBackendOptions extends ThreadSetup {
  /**
   * An empty queue in memory, which is filled from the file. The file does not store the queue,
   * because it follows from the deliveries. Closed with the backend.
   */
  readonly queue: Queue & { close(): void };
  /** Called with the reason when writing fails, and with null when it works again. */
  readonly onAvailabilityChange: (reason: string | null) => void;
}

/**
 * Opens the backend that stores everything in one file, for one process. A change that has resolved
 * is synced to the disk.
 *
 * @throws {SqliteFileError} the file is in use, is not a database of Outtray, or cannot be written
 */
export async function openSqliteBackend(options: SqliteBackendOptions): Promise<Backend> {
  const { file, queue, maxMessages, maxBytes, retainMs, retainContentMs, onAvailabilityChange } = options;
  try {
    const { port, clock, suppressed, state } = await startDatabaseThread({
      file,
      maxMessages,
      maxBytes,
      retainMs,
      retainContentMs,
    });
    const database = createDatabase(port, {
      state,
      now: createFileClock(clock).now,
      onAvailabilityChange,
      onLost() {
        throw new DatabaseThreadError('the database thread has ended');
      },
    });
    return await createBackend(database, suppressed, options);
  } catch (error) {
    queue.close();
    throw error;
  }
}

async function createBackend(
  database: Database,
  suppressed: MailboxFilter,
  { file, queue, maxMessages, maxBytes }: SqliteBackendOptions,
): Promise<Backend> {
  try {
    await refillQueue(database, queue);
  } catch (error) {
    await database.close();
    throw error instanceof AppError ? toFileError(error.cause, file) : error;
  }
  const outbox = putThenQueue(createSqliteOutbox(database), queue, database.now);
  const backend = {
    durability: 'disk',
    queue,
    store: storeThenQueue(createSqliteStore(database, { maxMessages, maxBytes }), queue, outbox),
    idempotency: createSqliteIdempotency(database),
    suppressions: createSqliteSuppressions(database, suppressed),
    outbox,
    sentIndex: createSqliteSentIndex(database),
    sharedState: createSqliteSharedState(database, outbox),
  } as const;
  const clockWriter = persistFileClock(database);
  const retention = startRetention(database);
  return {
    ...backend,
    copyTo: database.copyTo,
    async close() {
      clockWriter.stop();
      retention.stop();
      queue.close();
      await database.close();
    },
  };
}
