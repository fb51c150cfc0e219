import { AppError } from '../../core/errors.ts';

/** The file cannot store the queue. The message names the file, the problem and the fix. */
export class SqliteFileError extends Error {
  override readonly name = 'SqliteFileError';
}

/**
 * A restart would not read the open file. The message states the problem and the fix for the
 * operator, without a path.
 */
export class FileLostError extends Error {
  override readonly name = 'FileLostError';
}

/** Result codes of SQLite that an operator may meet (https://sqlite.org/rescode.html). */
const BUSY = 5;
const CORRUPT = 11;
const NOT_A_DATABASE = 26;

/**
 * Maps an error of SQLite to a SqliteFileError. Returns any other error, which is a bug, unchanged.
 */
export function toFileError(error: unknown, file: string): unknown {
  const code = codeOf(error);
  if (code === null) return error;
  return new SqliteFileError(`${file} ${explain(code, error)}`, { cause: error });
}

function explain(code: number, error: unknown): string {
  if (code === BUSY)
    return 'is in use by another process. Only one Outtray can use a file: stop the other process, or name another file in QUEUE_URL.';
  if (code === NOT_A_DATABASE)
    return 'is not an SQLite database. Name another file in QUEUE_URL; it is created if it does not exist.';
  if (code === CORRUPT)
    return 'is damaged. Restore it from a backup, or move it and its -wal file away to start with a new one.';
  return `cannot be opened (${reasonOf(error)}). Check that its folder exists, that this user can write to both, and that the disk has free space.`;
}

/** Maps a failure of SQLite to AppError `queue_unavailable`; returns any other error unchanged. */
export function toUnavailable(error: unknown): unknown {
  if (error instanceof FileLostError)
    return new AppError('queue_unavailable', { cause: error, detail: error.message });
  return isSqliteFailure(error) ? new AppError('queue_unavailable', { cause: error }) : error;
}

/** Returns whether another process holds the lock of the file. */
export function isBusy(error: unknown): boolean {
  return codeOf(error) === BUSY;
}

export function isSqliteFailure(error: unknown): boolean {
  return (
    error instanceof FileLostError ||
    codeOf(error) !== null ||
    (error instanceof Error && 'code' in error && error.code === 'ERR_INVALID_STATE')
  );
}

/** Returns the primary result code, which is the last byte of an extended one. */
function codeOf(error: unknown): number | null {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
    ? error.errcode & 0xff
    : null;
}

/** Returns SQLite's message. It never contains the data of a statement. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
