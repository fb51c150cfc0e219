import { AppError } from '../../core/errors.ts';
import type { Result } from './protocol.ts';

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

/** Converts an error in the database thread to plain data. */
export function toResult(error: unknown): Result {
  if (error instanceof AppError) return { refusal: { code: error.code, detail: error.message } };
  if (!isSqliteFailure(error)) return { bug: error };
  const problem = error instanceof FileLostError ? error.message : null;
  return { unavailable: { reason: reasonOf(error), problem, errcode: codeOf(error) } };
}

/** Returns the value of a result, or throws the error that {@link toResult} has converted. */
export function unwrapResult(result: Result): unknown {
  if ('value' in result) return result.value;
  if ('refusal' in result) throw new AppError(result.refusal.code, { detail: result.refusal.detail });
  if ('bug' in result) throw result.bug;
  const { reason, problem, errcode } = result.unavailable;
  throw unavailable(Object.assign(new Error(reason), { errcode }), problem);
}

/** @param problem null: that of the error code */
export function unavailable(cause: Error, problem: string | null = null): AppError {
  return new AppError('queue_unavailable', { cause, ...(problem === null ? {} : { detail: problem }) });
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
