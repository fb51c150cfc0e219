import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { MessageResource } from '../../../src/http/schemas/message.ts';
import type { ServiceSetup } from '../../crash/service.ts';
import { API_KEY, APP_PASSWORD } from '../../helpers/service.ts';

const SERVICE = new URL('../../crash/service.ts', import.meta.url).pathname;

/** Retries come soon. What is tried again because the disk refused it is not hurried by this. */
const BACKOFF_SCALE = 0.01;

/** Whether it is installed. A machine of ours without it fails its tests; a newcomer’s skips them. */
export function isThere(program: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$0"', program]).status === 0 || process.env.CI === 'true';
}

export interface InstanceSetup {
  /** SMTP_URL, and the authority its servers are known by. */
  readonly smtp: { readonly url: string; readonly ca: string };
  /** The database. */
  readonly file: string;
  /** A command that becomes the service: it runs what it is given, under the same process id. */
  readonly under?: readonly string[];
  readonly env?: Record<string, string>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: MessageResource & { readonly code?: string };
}

/** The service on a file, as a process that something can be done to. */
export interface Instance extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  /** What it has printed. */
  readonly printed: () => string;
  request(path: string, init?: RequestInit): Promise<Answer>;
  /** POST /send. */
  send(body: object): Promise<Answer>;
  /** GET /messages/{id}. */
  get(id: string): Promise<Answer>;
  /** SIGKILL. Resolves when the process and what watches it are gone. If it has ended by itself, that is an error. */
  kill(): Promise<void>;
}

/** @throws {Error} with what it printed, if it ends before it serves */
export async function startInstance({ smtp, file, under = [], env }: InstanceSetup): Promise<Instance> {
  const setup: ServiceSetup = {
    env: { ...environment(smtp.url, file), ...env },
    ca: smtp.ca,
    backoffScale: BACKOFF_SCALE,
  };
  const [program = process.execPath, ...args] = [...under, process.execPath, SERVICE, JSON.stringify(setup)];
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { PATH: process.env.PATH },
  });
  const printed: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => printed.push(text));
  const closed = once(child, 'close');
  const early = closed.then(() => {
    throw new Error(
      `it ended with ${child.exitCode ?? child.signalCode} before it served:\n${printed.join('')}`,
    );
  });
  const [url] = (await Promise.race([once(child, 'message'), early])) as [string];
  early.catch(() => {});
  const { pid } = child;
  if (pid === undefined) throw new Error('it has no process id');

  async function request(path: string, init: RequestInit = {}): Promise<Answer> {
    const headers = { authorization: `Bearer ${API_KEY}`, ...init.headers };
    const response = await fetch(`${url}${path}`, { ...init, headers });
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as Answer['body'],
    };
  }
  async function end() {
    child.kill('SIGKILL');
    await closed;
  }

  return {
    pid,
    url,
    printed: () => printed.join(''),
    request,
    send: (body) =>
      request('/send', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    get: (id) => request(`/messages/${id}`),
    async kill() {
      if (hasEnded(child))
        throw new Error(
          `it ended by itself, with ${child.exitCode ?? child.signalCode}:\n${printed.join('')}`,
        );
      await end();
    },
    [Symbol.asyncDispose]: end,
  };
}

function environment(smtp: string, file: string): Record<string, string> {
  return {
    PORT: '0',
    QUEUE_URL: `sqlite:${file}`,
    API_KEYS: `crm:${API_KEY}`,
    GMAIL_USER: 'bot@simulator.test',
    GMAIL_APP_PASSWORD: APP_PASSWORD,
    GMAIL_DAILY_MESSAGES: '1000000',
    GMAIL_DAILY_RECIPIENTS: '1000000',
    SMTP_URL: smtp,
    RATE_LIMIT: '1000000/1m',
  };
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}
