import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './command.ts';

/** Storage of a queue for one run. Removed when disposed. */
export interface Backing extends AsyncDisposable {
  /** The value of QUEUE_URL. */
  readonly url: string;
}

/** The `statfs` type of an in-memory file system. */
const TMPFS = 0x01021994;

export const hasRedis = () => spawnSync('redis-server', ['--version']).status === 0;

export const BACKINGS = {
  memory: async () => ({ url: 'memory:', async [Symbol.asyncDispose]() {} }),
  sqlite: openFile,
  redis: startRedis,
} as const satisfies Record<string, () => Promise<Backing>>;

export type BackingName = keyof typeof BACKINGS;

export const BACKING_NAMES = Object.keys(BACKINGS) as BackingName[];

/** The backings that this machine can start. */
export function availableBackings(): BackingName[] {
  return BACKING_NAMES.filter((name) => name !== 'redis' || hasRedis());
}

/** Returns the URL of a file that does not exist yet. */
export async function openFile(): Promise<Backing> {
  const folder = await makeFolder();
  return {
    url: `sqlite:${join(folder, 'outtray.db')}`,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

/**
 * Starts a Redis that appends every write to a file, synced once a second.
 *
 * @throws {Error} If it does not start.
 */
export async function startRedis(): Promise<Backing> {
  const folder = await makeFolder();
  const port = await freePort();
  const options = {
    port,
    bind: '127.0.0.1',
    dir: folder,
    save: '',
    appendonly: 'yes',
    appendfsync: 'everysec',
  };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const gone = once(server, 'exit');
  const end = () => void server.kill('SIGKILL');
  process.once('exit', end);
  const early = gone.then(([code]) => {
    throw new Error(`redis-server ended with ${code}`);
  });
  let output = '';
  while (!output.includes('Ready to accept connections'))
    output += (await Promise.race([once(server.stdout, 'data'), early]))[0];
  early.catch(() => {});
  server.stdout.resume();
  return {
    url: `redis://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      process.off('exit', end);
      end();
      await gone;
      await rm(folder, { recursive: true });
    },
  };
}

/**
 * Creates a folder for temporary files.
 *
 * @throws {Error} If it would be in memory, where a sync costs nothing.
 */
export async function makeFolder(): Promise<string> {
  const { type } = await statfs(tmpdir());
  if (type === TMPFS) throw new Error(`${tmpdir()} is in memory: set TMPDIR to a folder on a disk`);
  return mkdtemp(join(tmpdir(), 'outtray-bench-'));
}
