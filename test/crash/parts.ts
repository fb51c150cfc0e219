import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { startRedis } from '../helpers/redis.ts';
import type { ServiceSetup } from './service.ts';

const SERVICE = new URL('./service.ts', import.meta.url);

/** A process that may be killed at any moment, and started again on what it left behind. */
export interface Part extends AsyncDisposable {
  readonly name: string;
  /** Resolves when it is ready. */
  start(): Promise<void>;
  /** SIGKILL. Resolves when the process is gone. An instance that has ended by itself is an error. */
  kill(): Promise<void>;
}

/** The service. */
export interface Instance extends Part {
  /** Null while it is not there. */
  readonly url: string | null;
}

/** @param folder for what it logs, life after life, and for its compiled code: it starts in half the time with it */
export function createInstance(name: string, setup: ServiceSetup, folder: string): Instance {
  let url: string | null = null;
  const env = { PATH: process.env.PATH, NODE_COMPILE_CACHE: join(folder, 'compiled') };
  const launch = () =>
    withLog(join(folder, `${name}.log`), (log) =>
      fork(SERVICE, [JSON.stringify(setup)], { stdio: ['ignore', log, log, 'ipc'], execArgv: [], env }),
    );
  const part = createPart(name, launch, async (child, signal) => {
    [url] = await once(child, 'message', { signal });
  });
  return {
    ...part,
    get url() {
      return url;
    },
    kill() {
      url = null;
      return part.kill();
    },
  };
}

/** Redis as it must be for nothing to be lost: each write is synced before it is answered. */
export async function openRedis(): Promise<Part & { readonly url: string }> {
  const redis = await startRedis(['appendonly yes', 'appendfsync always']);
  return {
    name: 'redis',
    url: redis.url(),
    start: () => redis.restart(),
    kill: () => redis.kill(),
    [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose](),
  };
}

/** @param untilReady gives up when the signal is aborted */
function createPart(
  name: string,
  launch: () => ChildProcess,
  untilReady: (child: ChildProcess, signal: AbortSignal) => Promise<void>,
): Part {
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
        throw new Error(`${name} ended with ${code} before it was ready`);
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
        throw new Error(`${name} ended by itself, with ${child.exitCode ?? child.signalCode}`);
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
