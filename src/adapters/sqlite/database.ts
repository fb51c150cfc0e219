import { closeSync, openSync } from 'node:fs';
import { resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import {
  type FileId,
  isSameFile,
  LOG_LIMIT_BYTES,
  type OpenFile,
  readFileId,
  watchFile,
} from './file-watch.ts';
import { migrate } from './schema.ts';
import { toFileError } from './sqlite-errors.ts';

/** A process that is ending may still hold the file for a moment. */
const LOCK_WAIT_MS = 500;

/**
 * - An exclusive lock, taken before the log is first used: no other process reads or writes the file, there is no shared memory, and the lock
 *   dies with its holder. It is a POSIX lock: this process must never open the file in any other way, for closing that would give up the lock.
 * - A transaction is synced before COMMIT returns.
 * - What is deleted is overwritten: a body that was dropped is not in the file any more.
 * - The log is folded into the file every 2000 pages (8 MB), and a large message does not leave it large.
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
 * Opens the file for this process alone, made and brought to the newest schema if need be.
 *
 * @throws {SqliteFileError}
 */
export function openDatabase(file: string): { readonly db: DatabaseSync; readonly openFile: OpenFile } {
  // An absolute path: SQLite would take `:memory:` and `file:…` for something else.
  const path = resolve(file);
  let db: DatabaseSync | undefined;
  // What is made now is for this user alone: it holds mail.
  const umask = process.umask(0o077);
  try {
    create(path);
    let opened: FileId | null;
    do {
      db?.close();
      opened = readFileId(path);
      db = new DatabaseSync(path, { timeout: LOCK_WAIT_MS });
      db.exec(PRAGMAS);
      db.exec('BEGIN IMMEDIATE; COMMIT');
      // Another file may have taken its place meanwhile.
    } while (opened === null || !isSameFile(opened, readFileId(path)));
    migrate(db, path);
    return { db, openFile: watchFile(db, path, opened) };
  } catch (error) {
    db?.close();
    throw toFileError(error, path);
  } finally {
    process.umask(umask);
  }
}

/** Creates the file if there is none, so that it can be identified before SQLite opens it. SQLite says why it cannot be. */
function create(path: string): void {
  try {
    closeSync(openSync(path, 'ax'));
  } catch {}
}
