import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { startRedis } from '../helpers/redis.ts';
import type { ServiceSetup } from './service.ts';

const SERVICE = new URL('./service.ts', import.meta.url);

/** A process that can be killed at any moment and restarted on the data it left. */
export interface KillableProcess extends AsyncDisposable {
  readonly name: string;
  /** Starts it. Resolves when it is ready. */
  start(): Promise<void>;
  /** Sends SIGKILL. Resolves when the process has ended. Rejects if it had ended before. */
  kill(): Promise<void>;
}

/** The service. */
export interface Instance extends KillableProcess {
  /** Null while it is not running. */
  readonly url: string | null;
}

/** @param folder for its log and its compiled code, which halves the time of a start */
export function createInstance(name: string, setup: ServiceSetup, folder: string): Instance {
  let url: string | null = null;
  const env = { PATH: process.env.PATH, NODE_COMPILE_CACHE: join(folder, 'compiled') };
  const launch = () =>
    withLog(join(folder, `${name}.log`), (log) =>
      fork(SERVICE, [JSON.stringify(setup)], { stdio: ['ignore', log, log, 'ipc'], execArgv: [], env }),
    );
  const each = createProcess(name, launch, async (child, signal) => {
    [url] = await once(child, 'message', { signal });
  });
  return {
    ...each,
    get url() {
      return url;
    },
    kill() {
      url = null;
      return each.kill();
    },
  };
}

/** Starts Redis in the mode that loses nothing: each write is synced before its reply. */
export async function openRedis(): Promise<KillableProcess & { readonly url: string }> {
  const redis = await startRedis(['appendonly yes', 'appendfsync always']);
  return {
    name: 'redis',
    url: redis.url(),
    start: () => redis.restart(),
    kill: () => redis.kill(),
    [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose](),
  };
}

/** @param untilReady stops waiting when the signal is aborted */
function createProcess(
  name: string,
  launch: () => ChildProcess,
  untilReady: (child: ChildProcess, signal: AbortSignal) => Promise<void>,
): KillableProcess {
  let child: ChildProcess | null = null;
  let killed = true;

  async function end() {
    if (child === null || hasEnded(child)) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  return {
    name,
    async start() {
      const started = launch();
      child = started;
      killed = false;
      const stop = new AbortController();
      const early = once(started, 'exit', { signal: stop.signal }).then(([code]) => {
        throw new Error(`${name} exited with ${code} before it was ready`);
      });
      try {
        await Promise.race([untilReady(started, stop.signal), early]);
      } finally {
        early.catch(() => {});
        stop.abort();
      }
    },
    async kill() {
      if (child !== null && !killed && hasEnded(child))
        throw new Error(`${name} exited unexpectedly with ${child.exitCode ?? child.signalCode}`);
      killed = true;
      await end();
    },
    [Symbol.asyncDispose]: end,
  };
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

function withLog<T>(file: string, use: (log: number) => T): T {
  const log = openSync(file, 'a');
  try {
    return use(log);
  } finally {
    closeSync(log);
  }
}
