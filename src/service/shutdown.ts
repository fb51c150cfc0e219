/** The exit code of a shutdown that did not complete in time, as that of timeout(1). */
export const EXIT_TIMED_OUT = 124;
/** The part of the time for a shutdown that ending the process may take. */
const SPARE_SHARE = 0.05;

/** Maximum duration of a shutdown that has nothing to save. */
export const STOP_WITHIN_MS = 3000;

/** Aborts at the first SIGTERM or SIGINT. A second one, of either kind, ends the process at once. */
export function abortOnSignal(controller: AbortController): void {
  for (const [name, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    process.on(name, () => (controller.signal.aborted ? endNow(code) : controller.abort()));
  }
}

/**
 * Ends the process within a time after the signal was aborted, whatever still runs.
 *
 * @param onTimeout Called just before the end
 */
export function endWithin(ms: number, signal: AbortSignal, onTimeout: () => void = () => {}): void {
  const start = () =>
    setTimeout(
      () => {
        onTimeout();
        endNow(EXIT_TIMED_OUT);
      },
      ms * (1 - SPARE_SHARE),
    );
  if (signal.aborted) start();
  else signal.addEventListener('abort', start, { once: true });
}

/**
 * Ends the process, whatever is still open or running. process.exit() alone waits for every thread of libuv's pool, and one that looks up a name
 * or reads a pipe may not return for minutes, or ever. Replacing the process image ends all threads and keeps the exit code; a signal to itself
 * has no effect on process 1 of a container.
 */
export function endNow(code: number): never {
  // The last of the exit listeners: those before it write what the log holds.
  process.once('exit', () => replaceProcess(code));
  process.exit(code);
}

function replaceProcess(code: number): void {
  // What these options load has no part in returning an exit code.
  const { NODE_OPTIONS: _, ...env } = process.env;
  try {
    process.execve?.(process.execPath, [process.execPath, '--eval', `process.exit(${code})`], env);
  } catch {
    // The Node binary was replaced or removed while this process ran: process.exit() goes on.
  }
}
