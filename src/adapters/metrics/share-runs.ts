import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Returns a function that runs `run`, and lets concurrent calls share one run.
 *
 * @param intervalMs Minimum time between the starts of two runs. A call waits for it, so that its
 *   result is never older than the call.
 */
export function shareRuns<Result>(run: () => Promise<Result>, intervalMs = 0): () => Promise<Result> {
  let running: Promise<Result> | null = null;
  let nextAt = 0;

  async function runInTime(): Promise<Result> {
    const waitMs = nextAt - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    nextAt = performance.now() + intervalMs;
    return run();
  }

  return () => {
    running ??= runInTime().finally(() => {
      running = null;
    });
    return running;
  };
}
