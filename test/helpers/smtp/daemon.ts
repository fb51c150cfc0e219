import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { vi } from 'vitest';

export interface Daemon extends AsyncDisposable {
  log(): Promise<string>;
}

/**
 * Starts a daemon, and waits until it has started. Ending it removes its folder.
 *
 * @param dir folder of the daemon, with its file `log`
 * @param started text that it logs once it has started
 */
export async function startDaemon(
  program: string,
  args: readonly string[],
  { dir, started }: { readonly dir: string; readonly started: string },
): Promise<Daemon> {
  const log = () => readFile(join(dir, 'log'), 'utf8').catch(() => '');
  const child = spawn(program, args, { stdio: 'ignore' });

  async function stop() {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }

  try {
    await vi.waitFor(async () => {
      if (!(await log()).includes(started)) throw new Error(`${program} has not started`);
    }, 10_000);
  } catch (error) {
    await stop();
    throw error;
  }
  return { log, [Symbol.asyncDispose]: stop };
}
