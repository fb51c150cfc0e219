import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { freePort } from './free-port.ts';
import { API_KEY } from './service.ts';
import { createSimulatorEnv } from './smtp/simulator-env.ts';

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;

/** `outtray serve` with its standard output redirected to a file by a shell. */
export interface LoggingService extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  /** Resolves when GET /livez returns 200. */
  ready(): Promise<void>;
  /**
   * Sends a message and waits for its outcome. Returns the status of the response, or 0 if there
   * was none.
   */
  send(to: string): Promise<number>;
  signal(name: NodeJS.Signals): void;
  /** The exit code. */
  readonly ended: Promise<number | null>;
}

export interface LoggingSetup {
  readonly gmail: Simulator;
  /** A file, a FIFO or a device. */
  readonly log: string;
  /** Shell redirection of standard output. Default: `> "$LOG"`. */
  readonly redirect?: string;
  readonly env?: Record<string, string>;
  /** A command that runs the service as its argument. */
  readonly under?: readonly string[];
}

export async function serveLoggingTo({
  gmail,
  log,
  redirect = '> "$LOG"',
  env = {},
  under = [],
}: LoggingSetup): Promise<LoggingService> {
  const simulatorEnv = await createSimulatorEnv(gmail);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const [command = 'sh', ...args] = [
    ...under,
    'sh',
    '-c',
    `exec "$0" "$@" ${redirect}`,
    process.execPath,
    MAIN,
    'serve',
  ];
  const child = spawn(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: {
      PATH: process.env.PATH,
      LOG: log,
      PORT: String(port),
      API_KEYS: `crm:${API_KEY}`,
      ...simulatorEnv.env,
      ...env,
    },
  });
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  return {
    pid: child.pid ?? 0,
    url,
    async ready() {
      while ((await statusOf(`${url}/livez`)) !== 200) {
        if (child.exitCode !== null) throw new Error(`the service exited with code ${child.exitCode}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    send(to) {
      const body = JSON.stringify({ to, subject: 'Hello', text: 'Hello, Ada.' });
      const headers = {
        authorization: `Bearer ${API_KEY}`,
        'content-type': 'application/json',
        prefer: 'wait=20',
      };
      return statusOf(`${url}/send`, { method: 'POST', headers, body });
    },
    signal: (name) => void child.kill(name),
    ended,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
      await simulatorEnv[Symbol.asyncDispose]();
    },
  };
}

/** Returns the status of the response, or 0 if there was none. */
async function statusOf(url: string, init?: RequestInit): Promise<number> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(30_000), ...init });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return 0;
  }
}

/** A program that reads the log from a FIFO. */
export interface LogReader extends AsyncDisposable {
  /** Returns the complete lines it has read so far, parsed. */
  readonly lines: () => Record<string, unknown>[];
  /** Returns what it has read so far. */
  readonly text: () => string;
  signal(name: NodeJS.Signals): void;
  readonly ended: Promise<unknown>;
}

/** @param command such as `cat` or `head -n 1` */
export function readLog(command: string, fifo: string): LogReader {
  const [program = 'cat', ...args] = command.split(' ');
  const child: ChildProcess = spawn(program, [...args, fifo], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const ended = once(child, 'close');
  return {
    lines: () => parseLines(text),
    text: () => text,
    signal: (name) => void child.kill(name),
    ended,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** @throws {SyntaxError} if a complete line is not JSON, because it was torn */
export function parseLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}
