import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from './errors.ts';

const AGAIN_MS = 1000;

/** Does what must be done in the end, whatever becomes of the backend meanwhile: tried again for as long as that cannot be reached. */
export async function retryUntilAvailable<Result>(run: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!isUnavailable(error)) throw error;
    }
    // A process that has nothing else to do may end.
    await delay(AGAIN_MS, undefined, { ref: false });
  }
}

/** The same, besides what the caller goes on with: then there is nobody to be told of any other failure. */
export function retryInBackground(run: () => Promise<unknown>): void {
  void retryUntilAvailable(run).catch(() => {});
}

/**
 * Tries it, and goes on; if the backend cannot be reached, it is tried again for as long, besides. For what follows from a change that is made: whoever
 * asked for that is not told that it failed.
 */
export async function runOrRetryInBackground(run: () => Promise<unknown>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    retryInBackground(run);
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof AppError && error.code === 'queue_unavailable';
}
