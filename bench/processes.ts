/** The processes of a bench, and the operations that several benches share. */
import { once } from 'node:events';
import net from 'node:net';
import { type Child, startChild } from './parts/children.ts';
import type { GmailHello, GmailSetup } from './parts/gmail.ts';
import type { Load, LoadResult } from './parts/load.ts';

export const KEY = 'bench-secret-0123456789-abcdefghij';
export const CONNECTIONS = 3;
export const ROUNDS = 3;
export const MESSAGE = {
  to: 'ada@example.com',
  subject: 'A message of one kilobyte',
  text: 'All work and no play. '.repeat(40),
};
export const BODY = JSON.stringify(MESSAGE);

/** Queue limits for benches that accept many more messages than they deliver. */
export const ROOMY = { QUEUE_MAX_MESSAGES: '10000000', QUEUE_MAX_BYTES: '16gb' };

/** The address of a server and the login of its account. */
export type Login = Pick<GmailHello, 'url' | 'user' | 'password'>;

export function environment(
  { url, user, password }: Login,
  more: Record<string, string> = {},
): Record<string, string> {
  const account = { GMAIL_USER: user, GMAIL_APP_PASSWORD: password, SMTP_URL: url };
  const limits = {
    RATE_LIMIT: '1000000/1s',
    GMAIL_DAILY_MESSAGES: '1000000',
    GMAIL_DAILY_RECIPIENTS: '1000000',
  };
  return { ...account, ...limits, API_KEYS: `bench:${KEY}`, SMTP_CONNECTIONS: String(CONNECTIONS), ...more };
}

export const startGmail = (setup: Partial<GmailSetup> = {}) =>
  startChild<GmailHello>('./gmail.ts', { retain: 10, counts: false, ...setup });
export const startLoad = () => startChild<string>('./load.ts', {});
export const startOuttray = (env: Record<string, string>, ca?: string, nodeArgs?: string[]) =>
  startChild<{ port: number }>('./outtray.ts', { env, ca }, nodeArgs);

/** Starts a server that accepts connections and never greets. */
export async function startSilence(
  user = 'bench@simulator.test',
  password = 'abcdefghijklmnop',
): Promise<Login & AsyncDisposable> {
  const sockets = new Set<net.Socket>();
  const server = net
    .createServer((socket) => sockets.add(socket.on('error', () => {})))
    .listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  return {
    url: `smtp://127.0.0.1:${port}`,
    user,
    password,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Returns the messages accepted per second over 64 connections, measured for 4 s. */
export async function acceptedPerSecond(load: Child, port: number): Promise<number> {
  const { statuses, seconds } = await post(load, {
    path: '/send',
    body: BODY,
    connections: 64,
    ms: 4000,
    port,
    key: KEY,
  });
  return (statuses['202'] ?? 0) / seconds;
}

/**
 * Posts `count` messages, waits until the simulator has accepted all, and returns the rate per
 * second.
 */
export async function deliveredPerSecond(
  count: number,
  gmail: Child,
  load: Child,
  port: number,
): Promise<number> {
  const before = await gmail.ask<number>('accepted');
  const startedAt = performance.now();
  await post(load, { path: '/send', body: BODY, connections: 8, requests: count, port, key: KEY });
  await gmail.ask('waitForAccepted', before + count);
  return count / ((performance.now() - startedAt) / 1000);
}

/** @throws {Error} If any response is not 202. */
export async function post(load: Child, shape: Load): Promise<LoadResult> {
  const result = await load.ask<LoadResult>('run', shape);
  const unexpected = Object.keys(result.statuses).filter((status) => status !== '202');
  if (unexpected.length > 0) throw new Error(`responses other than 202: ${JSON.stringify(result.statuses)}`);
  return result;
}
