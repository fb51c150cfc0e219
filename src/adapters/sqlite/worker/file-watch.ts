import { realpathSync, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { FileLostError } from '../sqlite-errors.ts';

/** Size to which SQLite truncates the log, in bytes. */
export const LOG_LIMIT_BYTES = 32 * 1024 * 1024;

const REMOVED =
  'The database file is no longer at the path in QUEUE_URL. Move it back, or restart Outtray to start with a new file.';
const REPLACED =
  'Another file is at the path in QUEUE_URL. Restart Outtray to use it, or move the previous file back.';
const TRUNCATED =
  'The database file was truncated by another program. Restore it from a backup, and restart Outtray.';

/**
 * Identity and size of a file. Bigints, because an inode number may exceed the precision of a
 * double.
 */
export interface FileId {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
}

/** Returns null if there is no file at the path, or it cannot be reached. */
export function readFileId(path: string): FileId | null {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return null;
  }
}

export function isSameFile(a: FileId | null, b: FileId | null): boolean {
  return a?.dev === b?.dev && a?.ino === b?.ino;
}

/**
 * Detects that the open database file, or its log, was moved, removed, replaced or truncated.
 * SQLite would continue writing to it, and a restart would not read what it writes.
 *
 * Uses only stat: opening and closing the file would release SQLite's lock.
 */
export interface OpenFile {
  /** @throws {FileLostError} the open file is no longer at its path, or it was truncated */
  check(): void;
  /**
   * Creates a new log if the log was removed or replaced, after writing its content to the file.
   * Call it outside a transaction.
   *
   * @throws {FileLostError} the log was truncated
   */
  ensureLog(): void;
  /**
   * Writes the content of the log to the file, wherever that is now, and empties the log. Call it
   * after `check` has failed and outside a transaction. Then neither a file that replaces this one
   * nor the moved file is opened with a log that belongs to the other.
   */
  checkpointLog(): void;
}

/** @param opened id of the file when SQLite opened it */
export function watchFile(db: DatabaseSync, path: string, opened: FileId): OpenFile {
  // SQLite resolves symbolic links before it derives the name of the log.
  const logPath = `${realpathSync(path)}-wal`;
  let file = opened;
  let log = readFileId(logPath);

  return {
    check() {
      const found = readFileId(path);
      if (found === null) throw new FileLostError(REMOVED);
      if (!isSameFile(found, file)) throw new FileLostError(REPLACED);
      if (found.size < file.size) throw new FileLostError(TRUNCATED);
      file = found;
    },
    ensureLog() {
      const found = readFileId(logPath);
      if (found === null || !isSameFile(found, log)) {
        db.exec('PRAGMA journal_mode = DELETE; PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; COMMIT');
        log = readFileId(logPath);
        return;
      }
      if (log !== null && found.size < log.size && found.size < LOG_LIMIT_BYTES)
        throw new FileLostError(TRUNCATED);
      log = found;
    },
    checkpointLog() {
      if (isSameFile(readFileId(path), file)) return;
      db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      log = log && { ...log, size: 0n };
    },
  };
}
