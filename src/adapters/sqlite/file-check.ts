import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { readVersion } from './schema.ts';
import { isBusy, SqliteFileError, toFileError } from './sqlite-errors.ts';

/**
 * Whether a file can hold the queue: it is ready, it would be created, or another process has it. Changes no data and creates no file. For a
 * process that does not run the service: closing the file would give up the lock of the service.
 *
 * @throws {SqliteFileError} if it cannot hold the queue
 */
export function inspectFile(file: string): 'ready' | 'new' | 'in_use' {
  const path = resolve(file);
  if (!existsSync(path)) {
    checkFolder(path);
    return 'new';
  }
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { timeout: 0 });
    // The exclusive mode needs no shared memory, so no -shm file is left. A transaction shows whether the file can be written.
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
    `${path} cannot be created. See that the folder ${folder} exists, and that this user may write to it.`,
  );
}
