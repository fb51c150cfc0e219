import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isBusy, SqliteFileError, toFileError } from './sqlite-errors.ts';
import { readVersion } from './worker/schema.ts';

/**
 * Checks whether a file can store the queue, without changing data or creating the file.
 *
 * Only for a process that does not run the service: closing the file releases the lock of the
 * service in the same process.
 *
 * @returns `ready`, `new` if it would be created, or `in_use` if another process has it open
 * @throws {SqliteFileError} if it cannot store the queue
 */
export function checkFile(file: string): 'ready' | 'new' | 'in_use' {
  const path = resolve(file);
  if (!existsSync(path)) {
    checkFolder(path);
    return 'new';
  }
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { timeout: 0 });
    // The exclusive mode uses no shared memory, so it leaves no -shm file. The transaction shows
    // whether the file is writable.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; ROLLBACK');
    readVersion(db, path);
    return 'ready';
  } catch (error) {
    if (isBusy(error)) return 'in_use';
    throw toFileError(error, path);
  } finally {
    db?.close();
  }
}

function checkFolder(path: string): void {
  const folder = dirname(path);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    if (statSync(folder).isDirectory()) return;
  } catch {
    // Reported below.
  }
  throw new SqliteFileError(
    `${path} cannot be created. Check that the folder ${folder} exists and that this user can write to it.`,
  );
}
