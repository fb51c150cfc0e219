import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync, statSync, writeSync } from 'node:fs';
import { mkdtemp, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Somewhere to put a database, that can run out of room. */
export interface Room extends AsyncDisposable {
  /** As the service names it. */
  readonly file: string;
  /** The command that runs the service where the room is. */
  readonly under: readonly string[];
  /** Leaves the service no more than these bytes. */
  fill(pid: number, spare: number): Promise<void>;
  /** Makes room again. */
  free(pid: number): Promise<void>;
}

/** The kernel lets no file of the service grow any more: EFBIG, in the middle of a page if need be. */
export async function openLimited(): Promise<Room> {
  const folder = await mkdtemp(join(tmpdir(), 'ot5-limited-'));
  const file = join(folder, 'queue.db');
  let limit = 'unlimited';
  // The soft limit alone, which may be raised again without privileges.
  const set = (pid: number, bytes: string) => {
    limit = bytes;
    const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--fsize=${limit}:`], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
  };
  return {
    file,
    get under() {
      return ['prlimit', `--fsize=${limit}:`];
    },
    fill: async (pid, spare) => set(pid, String(statSync(`${file}-wal`).size + spare)),
    free: async (pid) => set(pid, 'unlimited'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

const MOUNT = 'mount -t tmpfs -o size=16m none "$0"';
const UNSHARE = ['--user', '--map-root-user', '--mount', 'sh', '-c'];

/** Whether this process may have a file system of its own, in a namespace that no other sees. */
export const mayMount = spawnSync('unshare', [...UNSHARE, MOUNT, tmpdir()]).status === 0;

/** A file system of 16 MB, in memory: ENOSPC. It goes with the process that holds it. */
export async function openMounted(): Promise<Room> {
  const folder = await mkdtemp(join(tmpdir(), 'ot5-mounted-'));
  const holder = spawn('unshare', [...UNSHARE, `${MOUNT} && echo mounted && cat`, folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  const ballast = join('/proc', String(holder.pid), 'root', folder, 'ballast');
  return {
    file: join(folder, 'queue.db'),
    under: ['nsenter', '--preserve-credentials', '--user', '--mount', '--target', String(holder.pid)],
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
