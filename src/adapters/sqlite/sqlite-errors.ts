import { AppError } from '../../core/errors.ts';

/** The file cannot serve as a queue: the operator must see to it. The message says what is wrong with it, and the mend. */
export class SqliteFileError extends Error {
  override readonly name = 'SqliteFileError';
}

/** The file that is open is not the one that a restart would read. The message says so to the operator, and how to fix it; it names no path. */
export class FileLostError extends Error {
  override readonly name = 'FileLostError';
}

/** Of SQLite’s result codes (https://sqlite.org/rescode.html), those that an operator meets. */
const BUSY = 5;
const CORRUPT = 11;
const NOT_A_DATABASE = 26;

/** Why the file could not be opened, in words for the operator. What SQLite did not say is a bug, and stays what it is. */
export function toFileError(error: unknown, file: string): unknown {
  const code = codeOf(error);
  if (code === null) return error;
  return new SqliteFileError(`${file} ${explain(code, error)}`, { cause: error });
}

function explain(code: number, error: unknown): string {
  if (code === BUSY)
    return 'is in use by another process. A file serves one Outtray: stop the other one, or give this one a file of its own.';
  if (code === NOT_A_DATABASE)
    return 'is not an SQLite database. Name another file; one that does not exist is made.';
  if (code === CORRUPT)
    return 'is damaged. Restore it from a backup, or move it away with its -wal file and start with a new one.';
  return `cannot be opened (${reasonOf(error)}). See that its folder exists, that this user may write to both, and that the disk has room.`;
}

/** What to tell a caller of an operation that failed: `queue_unavailable` where SQLite failed, else what was thrown. */
export function toUnavailable(error: unknown): unknown {
  if (error instanceof FileLostError)
    return new AppError('queue_unavailable', { cause: error, detail: error.message });
  return isSqliteFailure(error) ? new AppError('queue_unavailable', { cause: error }) : error;
}

/** Whether another process has the file. */
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

/** The primary result code; extended ones have it in their last byte. */
function codeOf(error: unknown): number | null {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
    ? error.errcode & 0xff
    : null;
}

/** What SQLite says of it: it never quotes what was to be written. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
