/** The exit code of a shutdown that did not complete in time, as that of timeout(1). */
export const EXIT_TIMED_OUT = 124;
/** Share of the shutdown time that is left for ending the process. */
const SPARE_SHARE = 0.05;

/** Maximum duration of a shutdown that has nothing to save. */
export const STOP_WITHIN_MS = 3000;

/** Aborts the controller at the first SIGTERM or SIGINT. A second one ends the process at once. */
export function abortOnSignal(controller: AbortController): void {
  for (const [name, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    process.on(name, () => (controller.signal.aborted ? endNow(code) : controller.abort()));
  }
}

/**
 * Ends the process within `ms` after the signal was aborted, even if work is still running.
 *
 * @param onTimeout Called just before the process ends.
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
 * Ends the process at once, even if work is still running.
 *
 * process.exit() alone waits for every thread of libuv's pool, and a thread that looks up a name or
 * reads a pipe may block for minutes or forever. Replacing the process image ends all threads and
 * keeps the exit code. A signal to itself has no effect on process 1 of a container.
 */
export function endNow(code: number): never {
  // The last exit listener: earlier ones flush the log.
  process.once('exit', () => replaceProcess(code));
  process.exit(code);
}

function replaceProcess(code: number): void {
  // The replacement only returns an exit code, so it needs none of these options.
  const { NODE_OPTIONS: _, ...env } = process.env;
  try {
    process.execve?.(process.execPath, [process.execPath, '--eval', `process.exit(${code})`], env);
  } catch {
    // The Node binary was replaced or removed while this process ran: process.exit() goes on.
  }
}
