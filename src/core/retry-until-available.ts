import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from './errors.ts';

const RETRY_EVERY_MS = 1000;

/** Waits, in ms. The timer does not keep an otherwise idle process alive. */
export type Wait = (ms: number) => Promise<unknown>;

const waitIdle: Wait = (ms) => delay(ms, undefined, { ref: false });

/**
 * Retries `run` every second while the backend is unavailable. Rethrows any other error.
 *
 * @param wait between two tries
 */
export async function retryUntilAvailable<Result>(
  run: () => Promise<Result>,
  wait: Wait = waitIdle,
): Promise<Result> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!isUnavailable(error)) throw error;
    }
    await wait(RETRY_EVERY_MS);
  }
}

/** Starts {@link retryUntilAvailable} without waiting for it. Ignores any other error. */
export function retryInBackground(run: () => Promise<unknown>): void {
  void retryUntilAvailable(run).catch(() => {});
}

/**
 * Runs `run` once. If the backend is unavailable, retries in the background and resolves. For the
 * follow-up of a change that is already stored: its caller must not see a failure.
 */
export async function runOrRetryInBackground(run: () => Promise<unknown>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    retryInBackground(run);
  }
}

/** Whether the backend is unavailable for now. */
export function isUnavailable(error: unknown): boolean {
  return error instanceof AppError && error.code === 'queue_unavailable';
}
