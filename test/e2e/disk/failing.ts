import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type Instance, type InstanceSetup, startInstance } from './instance.ts';

const EIO = 5;

/** How likely each of these calls is to fail; `reduce`: to do less than it was asked to, without failing. Only the database is written by them. */
export type Faults = Readonly<Record<'fsync' | 'pwrite' | 'pwrite/reduce', number>>;

const POINTS: Readonly<Record<keyof Faults, string>> = {
  fsync: 'posix/io/sync/fsync',
  pwrite: 'posix/io/rw/pwrite',
  'pwrite/reduce': 'posix/io/rw/pwrite/reduce',
};

/** The service on a disk that can be made to fail with EIO. */
export interface Failing extends Instance {
  fail(faults: Faults): void;
  heal(): void;
}

/** @param folder where it is told what to do */
export async function startFailing(setup: InstanceSetup, folder: string, seed: string): Promise<Failing> {
  const control = join(folder, 'fiu');
  const instance = await startInstance({
    ...setup,
    under: ['env', `FIU_PRNG_SEED=${seed}`, 'fiu-run', '-x', '-f', control],
  });

  function tell(commands: readonly string[]): void {
    const args = ['-f', control, ...commands.flatMap((command) => ['-c', command]), String(instance.pid)];
    const { status, stdout } = spawnSync('fiu-ctrl', args, { encoding: 'utf8' });
    if (status !== 0 || stdout !== '') throw new Error(`fiu-ctrl ended with ${status}: ${stdout}`);
  }

  const points = Object.entries(POINTS) as [keyof Faults, string][];
  return {
    ...instance,
    fail: (faults) =>
      tell(
        points.map(
          ([call, name]) => `enable_random name=${name},probability=${faults[call]},failinfo=${EIO}`,
        ),
      ),
    heal: () => tell(points.map(([, name]) => `disable name=${name}`)),
  };
}

/** How often it found that nothing could be written any more. */
export function failuresOf({ printed }: Instance): number {
  return printed().split('queue unavailable').length - 1;
}
