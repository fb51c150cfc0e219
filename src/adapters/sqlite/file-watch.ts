import { realpathSync, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { FileLostError } from './sqlite-errors.ts';

/** Size of the log that SQLite itself shortens it to, in bytes. */
export const LOG_LIMIT_BYTES = 32 * 1024 * 1024;

const REMOVED =
  'The database file is no longer at the path that QUEUE_URL names. Move it back, or restart Outtray to start with a new file.';
const REPLACED =
  'Another file is at the path that QUEUE_URL names. Restart Outtray to use it, or move the former file back.';
const TRUNCATED =
  'The database file was truncated by another program. Restore it from a backup, and restart Outtray.';

/** A file as the file system knows it. Big integers: an inode number may be larger than a double holds. */
export interface FileId {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
}

/** Null if the path leads to nothing that can be reached. */
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
 * A database file that is open. SQLite goes on writing to a file that was moved, removed or replaced, and to a log that was: what is written then
 * is on no disk that a restart reads. Only stat is used: to open the file would give up SQLite's lock when it is closed again.
 */
export interface OpenFile {
  /** @throws {FileLostError} the path does not lead to the open file any more, or the file was truncated */
  check(): void;
  /**
   * Makes a new log, with what the former one held in the file, if the log was removed or replaced. To be called outside a transaction.
   *
   * @throws {FileLostError} it was truncated
   */
  ensureLog(): void;
  /**
   * After `check` has failed: writes what the log holds into the file, wherever that is now, and empties the log. So neither a file that is put
   * in its place nor the moved file meets a log that is not its own. To be called outside a transaction.
   */
  checkpointLog(): void;
}

/** @param opened the file as it was when SQLite opened it */
export function watchFile(db: DatabaseSync, path: string, opened: FileId): OpenFile {
  // SQLite follows symbolic links before it names the log.
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
