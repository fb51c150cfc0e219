import { Writable } from 'node:stream';
import { pino } from 'pino';
import type { ImapDeadlines } from '../../src/adapters/imap/session.ts';
import type { Deadlines } from '../../src/adapters/smtp/server-options.ts';
import { createServiceDoctor } from '../../src/commands/service-doctor.ts';
import { parseConfig } from '../../src/config/config.ts';
import { isSettled, type Status } from '../../src/core/delivery/delivery.ts';
import type { MessageResource, PreviewResource } from '../../src/http/schemas/message.ts';
import type { Problem } from '../../src/http/schemas/problem.ts';
import { openService, type Service } from '../../src/service/service.ts';

export const API_KEY = 'crm-secret-0123456789-abcdefghij';
export const ADMIN_KEY = 'boss-secret-0123456789-abcdefghi';
export const APP_PASSWORD = 'abcdefghijklmnop';

/** Short enough for tests, and long enough for a loaded machine. */
const DEADLINES: Deadlines = {
  dnsMs: 2000,
  connectMs: 3000,
  greetingMs: 2000,
  tokenMs: 2000,
  setupMs: 4000,
  bodyMs: 8000,
};

const IMAP_DEADLINES: ImapDeadlines = { connectMs: 3000, greetingMs: 2000, lookMs: 4000, idleMs: 60_000 };

export interface ServiceUnderTest extends AsyncDisposable {
  readonly url: string;
  /** Every log line so far, parsed. */
  readonly logs: readonly Record<string, unknown>[];
  /** POST /send, with `Prefer: wait` if `wait` is given, in seconds. */
  send(
    body: unknown,
    options?: { wait?: number; headers?: Record<string, string>; signal?: AbortSignal },
  ): Promise<Answer>;
  /** GET /messages/{id}. */
  get(id: string): Promise<MessageAnswer>;
  /** Polls until the message is settled. Rejects if it does not exist. */
  settled(id: string): Promise<MessageAnswer>;
  /**
   * Counts these messages by status, and unsettled ones as `waiting`. Rejects if one does not
   * exist.
   */
  tally(ids: readonly string[]): Promise<Tally>;
  request(path: string, init?: RequestInit): Promise<Answer>;
  /** Reads the files that keys and accounts are stored in again. */
  reload(): Promise<unknown>;
  close(): Promise<void>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: MessageAnswer;
}

/** A message resource, a problem, or the preview of a dry run. */
export type MessageAnswer = MessageResource & Partial<Omit<Problem, 'status'>> & Partial<PreviewResource>;

export type Tally = Partial<Record<Status | 'waiting', number>>;

export interface ServiceSetup {
  /** SMTP_URL. */
  readonly smtp: string;
  readonly ca?: string;
  readonly env?: Record<string, string>;
  readonly backoffScale?: number;
  readonly deadlines?: Partial<Deadlines>;
}

/** Starts the whole service on an ephemeral port, as `outtray serve` does. */
export async function startService(setup: ServiceSetup): Promise<ServiceUnderTest> {
  const logs: Record<string, unknown>[] = [];
  const env = {
    PORT: '0',
    API_KEYS: `crm:${API_KEY},boss:${ADMIN_KEY}:admin`,
    GMAIL_USER: 'bot@simulator.test',
    GMAIL_APP_PASSWORD: APP_PASSWORD,
    SMTP_URL: setup.smtp,
    RATE_LIMIT: '100000/1m',
    ...setup.env,
  };
  const { config } = parseConfig(env);
  const version = '0.0.0-test';
  const service: Service = await openService({
    config,
    version,
    doctor: createServiceDoctor({ env: () => env, version, ca: setup.ca ?? null }),
    logger: pino({ level: config.logLevel }, lineSink(logs)),
    backoffScale: setup.backoffScale ?? 0.002,
    deadlines: { ...DEADLINES, ...setup.deadlines },
    imapDeadlines: IMAP_DEADLINES,
    ...(setup.ca ? { ca: setup.ca } : {}),
  });

  async function request(path: string, init: RequestInit = {}): Promise<Answer> {
    const headers = { authorization: `Bearer ${API_KEY}`, ...init.headers };
    const response = await fetch(`${service.url}${path}`, { ...init, headers });
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as MessageAnswer,
    };
  }
  async function get(id: string): Promise<MessageAnswer> {
    const { status, body } = await request(`/messages/${id}`);
    if (status !== 200) throw new Error(`GET /messages/${id}: ${JSON.stringify(body)}`);
    return body;
  }

  return {
    url: service.url,
    logs,
    request,
    get,
    send(body, { wait, headers = {}, signal } = {}) {
      const prefer: Record<string, string> = wait ? { prefer: `wait=${wait}` } : {};
      const all = { 'content-type': 'application/json', ...prefer, ...headers };
      return request('/send', {
        method: 'POST',
        headers: all,
        body: JSON.stringify(body),
        ...(signal && { signal }),
      });
    },
    async settled(id) {
      for (;;) {
        const message = await get(id);
        if (message.finished_at) return message;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    async tally(ids) {
      const tally: Tally = {};
      for (const id of ids) {
        const { status } = await get(id);
        const kind = isSettled(status) ? status : 'waiting';
        tally[kind] = (tally[kind] ?? 0) + 1;
      }
      return tally;
    },
    reload: () => service.reload(config.reload(env)),
    close: () => service.close(),
    [Symbol.asyncDispose]: () => service.close(),
  };
}

function lineSink(lines: Record<string, unknown>[]): Writable {
  return new Writable({
    write(chunk, _encoding, done) {
      for (const line of String(chunk).split('\n')) if (line) lines.push(JSON.parse(line));
      done();
    },
  });
}
