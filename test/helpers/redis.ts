import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';

/** Whether redis-server is installed. Without it the tests are skipped, but fail if CI=true. */
export const hasRedis = spawnSync('redis-server', ['--version']).status === 0 || process.env.CI === 'true';

/** A real Redis with its own port and folder. */
export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  readonly dir: string;
  /** Returns the URL of a database. */
  url(db?: number): string;
  /** Ends the process with SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same port, with the data in its folder. */
  restart(): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

/**
 * @param config lines of redis.conf, such as `appendonly yes`; by default it stores nothing on disk
 */
export async function startRedis(config: readonly string[] = []): Promise<RedisServer> {
  const dir = await mkdtemp(join(tmpdir(), 'ot5-redis-'));
  const port = await freePort();
  let child = await launch(port, dir, config);

  async function kill() {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  return {
    port,
    dir,
    url: (db = 0) => `redis://127.0.0.1:${port}/${db}`,
    kill,
    async restart() {
      await kill();
      child = await launch(port, dir, config);
    },
    signal: (name) => void child.kill(name),
    async [Symbol.asyncDispose]() {
      await kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function launch(port: number, dir: string, config: readonly string[]): Promise<ChildProcess> {
  const own = [`port ${port}`, 'bind 127.0.0.1', `dir ${dir}`, 'save ""', 'databases 1024'];
  const child = spawn('redis-server', ['-'], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin?.end([...own, ...config, ''].join('\n'));
  let log = '';
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`redis-server exited:\n${log}`)));
    child.stdout?.on('data', (chunk) => {
      log += chunk;
      if (log.includes('Ready to accept connections')) resolve();
    });
  });
  child.removeAllListeners('exit');
  child.stdout?.removeAllListeners('data').resume();
  return child;
}
