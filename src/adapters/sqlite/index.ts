import type { DatabaseSync } from 'node:sqlite';
import type { Backend } from '../../core/ports/backend.ts';
import type { Queue } from '../../core/ports/queue.ts';
import { storeThenQueue } from '../../core/store-then-queue.ts';
import { outboxLimits } from '../../core/webhooks/outbox-capacity.ts';
import { openFileClock, persistFileClock } from './clock.ts';
import { openDatabase } from './database.ts';
import type { OpenFile } from './file-watch.ts';
import { createGroupCommit } from './group-commit.ts';
import { createSqliteIdempotency } from './idempotency.ts';
import { createSqliteOutbox } from './outbox.ts';
import { refillQueue } from './recovery.ts';
import { startRetention } from './retention.ts';
import { createSqliteSharedState } from './shared-state.ts';
import { toFileError } from './sqlite-errors.ts';
import { createSqliteStore } from './store.ts';
import { createSqliteSuppressions } from './suppressions.ts';

export interface SqliteBackendOptions {
  /** Path of the file. It is created if it does not exist; its folder must exist. */
  readonly file: string;
  /**
   * An empty queue in memory, which is filled from the file. The file does not store the queue,
   * because it follows from the deliveries. Closed with the backend.
   */
  readonly queue: Queue & { close(): void };
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
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
  const { file, queue } = options;
  const { db, openFile } = openDatabase(file);
  try {
    return await createBackend(db, openFile, options);
  } catch (error) {
    queue.close();
    db.close();
    throw toFileError(error, file);
  }
}

async function createBackend(
  db: DatabaseSync,
  openFile: OpenFile,
  { queue, maxMessages, maxBytes, retainMs, onAvailabilityChange }: SqliteBackendOptions,
): Promise<Backend> {
  const clock = openFileClock(db);
  const groupCommit = createGroupCommit(db, { openFile, now: clock.now, onAvailabilityChange });
  const backend = {
    durability: 'disk',
    queue,
    store: storeThenQueue(createSqliteStore(db, groupCommit, { maxMessages, maxBytes, retainMs }), queue),
    idempotency: createSqliteIdempotency(db, groupCommit, retainMs),
    suppressions: createSqliteSuppressions(db, groupCommit),
    outbox: createSqliteOutbox(db, groupCommit, outboxLimits({ maxMessages, maxBytes })),
    sharedState: createSqliteSharedState(db, groupCommit),
  } as const;
  await refillQueue(db, queue, clock.now());
  const clockWriter = persistFileClock(db, clock, groupCommit);
  const retention = startRetention(db, groupCommit);
  return {
    ...backend,
    async close() {
      clockWriter.stop();
      retention.stop();
      queue.close();
      groupCommit.close();
      db.close();
    },
  };
}
