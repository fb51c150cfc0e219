import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync, statSync, writeSync } from 'node:fs';
import { mkdtemp, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A place for a database that can run out of space. */
export interface LimitedDisk extends AsyncDisposable {
  /** Path of the database, as the service sees it. */
  readonly file: string;
  /** Command that runs the service with the limit. */
  readonly command: readonly string[];
  /** Leaves at most `spare` bytes free for the service. */
  fill(pid: number, spare: number): Promise<void>;
  /** Removes the limit. */
  free(pid: number): Promise<void>;
}

/**
 * Limits the size of every file of the service: a write beyond it fails with EFBIG, possibly in the
 * middle of a page.
 */
export async function openSizeLimit(): Promise<LimitedDisk> {
  const folder = await mkdtemp(join(tmpdir(), 'ot5-limited-'));
  const file = join(folder, 'queue.db');
  let limit = 'unlimited';
  // Only the soft limit, which can be raised again without privileges.
  const setLimit = (pid: number, bytes: string) => {
    limit = bytes;
    const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--fsize=${limit}:`], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
  };
  return {
    file,
    get command() {
      return ['prlimit', `--fsize=${limit}:`];
    },
    fill: async (pid, spare) => setLimit(pid, String(statSync(`${file}-wal`).size + spare)),
    free: async (pid) => setLimit(pid, 'unlimited'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

const MOUNT = 'mount -t tmpfs -o size=16m none "$0"';
const UNSHARE = ['--user', '--map-root-user', '--mount', 'sh', '-c'];

/** Whether this process may mount a file system in its own namespace. */
export const canMount = spawnSync('unshare', [...UNSHARE, MOUNT, tmpdir()]).status === 0;

/**
 * Mounts a file system of 16 MB in memory: a write beyond it fails with ENOSPC. It ends with the
 * process that holds it.
 */
export async function openTmpfs(): Promise<LimitedDisk> {
  const folder = await mkdtemp(join(tmpdir(), 'ot5-mounted-'));
  const holder = spawn('unshare', [...UNSHARE, `${MOUNT} && echo mounted && cat`, folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  const ballast = join('/proc', String(holder.pid), 'root', folder, 'ballast');
  return {
    file: join(folder, 'queue.db'),
    command: ['nsenter', '--preserve-credentials', '--user', '--mount', '--target', String(holder.pid)],
    fill: async (_, spare) => fillUp(ballast, spare),
    free: () => truncate(ballast),
    async [Symbol.asyncDispose]() {
      holder.stdin.end();
      await once(holder, 'close');
      await rm(folder, { recursive: true });
    },
  };
}

function fillUp(ballast: string, spare: number): void {
  const descriptor = openSync(ballast, 'a');
  const chunk = Buffer.alloc(65_536);
  try {
    for (;;) writeSync(descriptor, chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    ftruncateSync(descriptor, statSync(ballast).size - spare);
  } finally {
    closeSync(descriptor);
  }
}
