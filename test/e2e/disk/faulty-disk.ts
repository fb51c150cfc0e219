import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type Instance, type InstanceSetup, startInstance } from './instance.ts';

const EIO = 5;

/**
 * Probability that each of these calls fails, or, for `reduce`, that it writes less than requested
 * without failing. Only the database is written by these calls.
 */
export type Faults = Readonly<Record<'fsync' | 'pwrite' | 'pwrite/reduce', number>>;

const POINTS: Readonly<Record<keyof Faults, string>> = {
  fsync: 'posix/io/sync/fsync',
  pwrite: 'posix/io/rw/pwrite',
  'pwrite/reduce': 'posix/io/rw/pwrite/reduce',
};

/** The service on a disk that can fail with EIO. */
export interface FaultyInstance extends Instance {
  fail(faults: Faults): void;
  heal(): void;
}

/** @param folder folder of the pipe that controls the faults */
export async function startWithFaults(
  setup: InstanceSetup,
  folder: string,
  seed: string,
): Promise<FaultyInstance> {
  const control = join(folder, 'fiu');
  const instance = await startInstance({
    ...setup,
    command: ['env', `FIU_PRNG_SEED=${seed}`, 'fiu-run', '-x', '-f', control],
  });

  function sendCommands(commands: readonly string[]): void {
    const args = ['-f', control, ...commands.flatMap((command) => ['-c', command]), String(instance.pid)];
    const { status, stdout } = spawnSync('fiu-ctrl', args, { encoding: 'utf8' });
    if (status !== 0 || stdout !== '') throw new Error(`fiu-ctrl ended with ${status}: ${stdout}`);
  }

  const points = Object.entries(POINTS) as [keyof Faults, string][];
  return {
    ...instance,
    fail: (faults) =>
      sendCommands(
        points.map(
          ([call, name]) => `enable_random name=${name},probability=${faults[call]},failinfo=${EIO}`,
        ),
      ),
    heal: () => sendCommands(points.map(([, name]) => `disable name=${name}`)),
  };
}

/** Counts how many times the queue became unavailable, by its log lines. */
export function countFailures({ output: printed }: Instance): number {
  return printed().split('queue unavailable').length - 1;
}
