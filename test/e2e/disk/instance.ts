import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { MessageResource } from '../../../src/http/schemas/message.ts';
import type { ServiceSetup } from '../../crash/service.ts';
import { API_KEY, APP_PASSWORD } from '../../helpers/service.ts';

const SERVICE = new URL('../../crash/service.ts', import.meta.url).pathname;

/** Shortens the back-off of retries. Retries after a failure of the disk are not affected. */
const BACKOFF_SCALE = 0.01;

/** Whether a program is installed. Without it the tests are skipped, but fail if CI=true. */
export function isInstalled(program: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$0"', program]).status === 0 || process.env.CI === 'true';
}

export interface InstanceSetup {
  /** SMTP_URL, and the CA of its certificates. */
  readonly smtp: { readonly url: string; readonly ca: string };
  /** Path of the database. */
  readonly file: string;
  /** Command that runs the service, under the same process id. */
  readonly command?: readonly string[];
  readonly env?: Record<string, string>;
}

export interface ApiResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: MessageResource & { readonly code?: string };
}

/** The service with a SQLite file, as a separate process. */
export interface Instance extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  /** Returns everything it has printed. */
  readonly output: () => string;
  request(path: string, init?: RequestInit): Promise<ApiResponse>;
  /** POST /send. */
  send(body: object): Promise<ApiResponse>;
  /** GET /messages/{id}. */
  get(id: string): Promise<ApiResponse>;
  /**
   * Sends SIGKILL. Resolves when the process and its wrapper have ended.
   *
   * @throws {Error} if the process had ended already
   */
  kill(): Promise<void>;
}

/** @throws {Error} with its output, if it ends before it listens */
export async function startInstance({ smtp, file, command = [], env }: InstanceSetup): Promise<Instance> {
  const setup: ServiceSetup = {
    env: { ...environment(smtp.url, file), ...env },
    ca: smtp.ca,
    backoffScale: BACKOFF_SCALE,
  };
  const [program = process.execPath, ...args] = [
    ...command,
    process.execPath,
    SERVICE,
    JSON.stringify(setup),
  ];
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
      `the service ended with ${child.exitCode ?? child.signalCode} before it listened:\n${printed.join('')}`,
    );
  });
  const [url] = (await Promise.race([once(child, 'message'), early])) as [string];
  early.catch(() => {});
  const { pid } = child;
  if (pid === undefined) throw new Error('the service has no process id');

  async function request(path: string, init: RequestInit = {}): Promise<ApiResponse> {
    const headers = { authorization: `Bearer ${API_KEY}`, ...init.headers };
    const response = await fetch(`${url}${path}`, { ...init, headers });
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as ApiResponse['body'],
    };
  }
  async function end() {
    child.kill('SIGKILL');
    await closed;
  }

  return {
    pid,
    url,
    output: () => printed.join(''),
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
          `the service had ended with ${child.exitCode ?? child.signalCode}:\n${printed.join('')}`,
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
