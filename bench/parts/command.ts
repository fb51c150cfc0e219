import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Child, type ChildOptions, forkChild } from './children.ts';

/** The bundle of the service and its commands, as the image runs it. */
export const ENTRY = new URL('../../dist/main.js', import.meta.url);

/** Options of Node and the variables about memory that the image runs it with. */
export const IMAGE = readImage(new URL('../../Dockerfile', import.meta.url));

const PROBE = new URL('./probe.ts', import.meta.url).href;

/** A program that listens on a port, with the probe in it. */
export type Program = Child & { readonly port: number };

/**
 * Starts a program with the probe and the variable PORT, and waits until it listens.
 *
 * @throws {Error} If it ends first.
 */
export async function startProgram(
  file: URL,
  args: readonly string[],
  { nodeArgs = [], env, ...options }: ChildOptions,
): Promise<Program> {
  const port = await freePort();
  const child = await forkChild<string>(file, args, {
    ...options,
    nodeArgs: [...nodeArgs, '--import', PROBE],
    env: { ...env, NODE_ENV: 'production', PORT: String(port) },
  });
  await child.until(() => isListening(port));
  return Object.assign(child, { port });
}

/**
 * Runs `outtray serve` until /livez responds. Returns the time that took, in ms.
 *
 * @throws {Error} If the process ends first.
 */
export async function startToLivez(env: Record<string, string>): Promise<number> {
  const port = await freePort();
  const startedAt = performance.now();
  const service = spawnNode([...IMAGE.nodeArgs, fileURLToPath(ENTRY), 'serve'], {
    ...IMAGE.env,
    ...env,
    PORT: String(port),
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

/** Runs `outtray healthcheck`, as {@link runNode} does. */
export const runHealthcheck = (port: number) =>
  runNode([fileURLToPath(ENTRY), 'healthcheck'], { PORT: String(port) });

/**
 * Runs Node with these arguments to its end. Returns the time that took, in ms.
 *
 * @throws {Error} If its exit code is not 0.
 */
export async function runNode(args: readonly string[], env: Record<string, string> = {}): Promise<number> {
  const startedAt = performance.now();
  const [code] = await once(spawnNode(args, env), 'exit');
  if (code !== 0) throw new Error(`node ${args.join(' ')} ended with ${code}`);
  return performance.now() - startedAt;
}

function spawnNode(args: readonly string[], env: Record<string, string>): ChildProcess {
  return spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
    // A folder without .env.
    cwd: import.meta.dirname,
  });
}

function readImage(dockerfile: URL) {
  const text = readFileSync(dockerfile, 'utf8');
  const [, entrypoint = '[]'] = text.match(/^ENTRYPOINT (.+)$/m) ?? [];
  const [, arenas = ''] = text.match(/^ENV MALLOC_ARENA_MAX=(.+)$/m) ?? [];
  const [, ...args]: string[] = JSON.parse(entrypoint);
  return { nodeArgs: args.slice(0, -1), env: { MALLOC_ARENA_MAX: arenas } };
}

async function isAlive(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/livez`).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function isListening(port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
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
