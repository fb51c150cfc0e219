import type { Connection } from './connection.ts';

/**
 * Calls `run` at an interval, counted from the end of the last call. Skips calls while Redis cannot
 * be used, and ignores errors: the next call tries again.
 *
 * @param run `isStopped` returns true after `stop`
 */
export function startPeriodic(
  connection: Pick<Connection, 'isUsable'>,
  everyMs: number,
  run: (isStopped: () => boolean) => Promise<void>,
): { stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  async function repeat() {
    if (connection.isUsable()) await run(() => stopped).catch(() => {});
    if (!stopped) timer = setTimeout(repeat, everyMs);
  }

  timer = setTimeout(repeat, everyMs);
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
