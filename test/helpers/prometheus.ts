import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';

/**
 * Whether Debian's package `prometheus` is installed. Without it the tests are skipped, but fail if
 * CI=true.
 */
export const hasPrometheus = spawnSync('promtool', ['--version']).status === 0 || process.env.CI === 'true';

/** Runs promtool. Returns the exit code and what it printed. */
export function promtool(
  args: readonly string[],
  cwd: string,
  input = '',
): { code: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { cwd, input, encoding: 'utf8' });
  return { code: status, text: `${stdout}${stderr}` };
}

/** A sample of an instant query. */
export interface QuerySample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [at: number, value: string];
}

/** A real Prometheus with its own port and folder. */
export interface PrometheusServer extends AsyncDisposable {
  query(expression: string): Promise<readonly QuerySample[]>;
}

/** @param config prometheus.yml, in JSON */
export async function startPrometheus(config: object): Promise<PrometheusServer> {
  const folder = await mkdtemp(join(tmpdir(), 'outtray-prometheus-'));
  const file = join(folder, 'prometheus.yml');
  await writeFile(file, JSON.stringify(config));
  const port = await freePort();
  const child = await launch(folder, file, port);

  return {
    async query(expression) {
      const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`;
      const { data, error } = (await (await fetch(url)).json()) as {
        data?: { result: readonly QuerySample[] };
        error?: string;
      };
      if (!data) throw new Error(`${expression}: ${error}`);
      return data.result;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function launch(folder: string, file: string, port: number): Promise<ChildProcess> {
  const args = [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ];
  const child = spawn('prometheus', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`prometheus exited:\n${log}`)));
    child.stderr.on('data', (chunk) => {
      log += chunk;
      if (log.includes('Server is ready')) resolve();
    });
  });
  child.removeAllListeners('exit');
  child.stderr.removeAllListeners('data').resume();
  return child;
}
