import { AppError } from '../../../core/errors.ts';

/** Redis cannot be used. Its text never has the URL, which holds the password. */
export class RedisOpenError extends Error {
  override readonly name = 'RedisOpenError';
}

/** What is no fault of Redis stays what it is. Nothing of the command goes along: it may hold a message, or a password. */
export function toUnavailable(error: unknown): AppError {
  return error instanceof AppError
    ? error
    : new AppError('queue_unavailable', { cause: new Error(reasonOf(error)) });
}

/** Why it failed, fit for a log. */
export function reasonOf(error: unknown): string {
  const [reason = ''] = (error instanceof Error ? error.message : String(error)).split(
    ', with args beginning with',
  );
  return reason;
}
