import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;

/**
 * Runs `outtray serve` until /livez responds. Returns the time that took, in ms.
 *
 * @throws {Error} If the process ends first.
 */
export async function startToLivez(env: Record<string, string>): Promise<number> {
  const port = await freePort();
  const startedAt = performance.now();
  const service = spawn(process.execPath, [MAIN, 'serve'], {
    env: { ...process.env, ...env, PORT: String(port) },
    stdio: ['ignore', 'ignore', 'inherit'],
    // A folder without .env.
    cwd: import.meta.dirname,
  });
  const gone = once(service, 'exit');
  try {
    while (!(await isAlive(port))) {
      if (service.exitCode !== null) throw new Error(`the service ended with ${service.exitCode}`);
      await sleep(5);
    }
    return performance.now() - startedAt;
  } finally {
    service.kill('SIGKILL');
    await gone;
  }
}

async function isAlive(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/livez`).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** Returns a port that is not in use. */
export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
