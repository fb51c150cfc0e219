import type { DatabaseSync } from 'node:sqlite';
import type { Backend } from '../../core/ports/backend.ts';
import type { Queue } from '../../core/ports/queue.ts';
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
  /** A path. The file is made if there is none, its folder is not. */
  readonly file: string;
  /** Empty, in memory: what is due, and when, is read from the file at every start. It is closed with the backend. */
  readonly queue: Queue & { close(): void };
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
  /** Told when nothing can be written any more, and with null when it can again. */
  readonly onAvailabilityChange: (reason: string | null) => void;
}

/**
 * Keeps everything in one file, for one process: what it has resolved is synced to the disk.
 *
 * @throws {SqliteFileError} the file is in use, is no database of Outtray’s, or cannot be written
 */
export async function openSqliteBackend(options: SqliteBackendOptions): Promise<Backend> {
  const { file, queue } = options;
  const { db, openFile } = openDatabase(file);
  try {
    return await assemble(db, openFile, options);
  } catch (error) {
    queue.close();
    db.close();
    throw toFileError(error, file);
  }
}

async function assemble(
  db: DatabaseSync,
  openFile: OpenFile,
  { queue, maxMessages, maxBytes, retainMs, onAvailabilityChange }: SqliteBackendOptions,
): Promise<Backend> {
  const clock = openFileClock(db);
  const commits = createGroupCommit(db, { openFile, now: clock.now, onAvailabilityChange });
  const backend = {
    durability: 'disk',
    queue,
    store: createSqliteStore(db, commits, { maxMessages, maxBytes, retainMs }),
    idempotency: createSqliteIdempotency(db, commits, retainMs),
    suppressions: createSqliteSuppressions(db, commits),
    outbox: createSqliteOutbox(db, commits, outboxLimits({ maxMessages, maxBytes })),
    sharedState: createSqliteSharedState(db, commits),
  } as const;
  await refillQueue(db, queue, clock.now());
  const clockwork = persistFileClock(db, clock, commits);
  const retention = startRetention(db, commits);
  return {
    ...backend,
    async close() {
      clockwork.stop();
      retention.stop();
      queue.close();
      commits.close();
      db.close();
    },
  };
}
