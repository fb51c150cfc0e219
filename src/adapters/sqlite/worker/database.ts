import { closeSync, openSync } from 'node:fs';
import { resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { toFileError } from '../sqlite-errors.ts';
import {
  type FileId,
  isSameFile,
  LOG_LIMIT_BYTES,
  type OpenFile,
  readFileId,
  watchFile,
} from './file-watch.ts';
import { migrate } from './schema.ts';

/** Wait for a process that is ending and may still hold the file, in ms. */
const LOCK_WAIT_MS = 500;

/**
 * - The lock is exclusive and taken before the log is first used: no other process reads or writes
 *   the file, there is no shared memory, and the lock ends with its process. It is a POSIX lock, so
 *   this process must never open the file in any other way: closing that would release the lock.
 * - A transaction is synced before COMMIT returns.
 * - Deleted data is overwritten, so a dropped message body is no longer in the file.
 * - The log is checkpointed every 2000 pages (8 MB). A large message does not leave it large.
 */
const PRAGMAS = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA secure_delete = ON;
  PRAGMA wal_autocheckpoint = 2000;
  PRAGMA journal_size_limit = ${LOG_LIMIT_BYTES};
  PRAGMA cache_size = -16384;
`;

/**
 * Opens the file for this process alone. Creates it and migrates it to the newest schema if
 * necessary.
 *
 * @throws {SqliteFileError}
 */
export function openDatabase(file: string): { readonly db: DatabaseSync; readonly openFile: OpenFile } {
  // Absolute, because SQLite gives `:memory:` and `file:…` another meaning.
  const path = resolve(file);
  let db: DatabaseSync | undefined;
  try {
    let opened: FileId | null;
    do {
      db?.close();
      createIfMissing(path);
      opened = readFileId(path);
      db = new DatabaseSync(path, { timeout: LOCK_WAIT_MS });
      db.exec(PRAGMAS);
      db.exec('BEGIN IMMEDIATE; COMMIT');
      // Repeats if the file was replaced meanwhile.
    } while (opened === null || !isSameFile(opened, readFileId(path)));
    migrate(db, path);
    return { db, openFile: watchFile(db, path, opened) };
  } catch (error) {
    db?.close();
    throw toFileError(error, path);
  }
}

/**
 * Creates the file if there is none, so that its id can be read before SQLite opens it. It will hold
 * mail, so only this user may read it; SQLite gives its log the same mode. Ignores errors: SQLite
 * reports them when it opens the file.
 */
function createIfMissing(path: string): void {
  try {
    closeSync(openSync(path, 'ax', 0o600));
  } catch {}
}
