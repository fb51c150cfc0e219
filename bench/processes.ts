/** The processes of a bench, and the operations that several benches share. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BACKINGS, type BackingName, makeFolder } from './parts/backing.ts';
import { type Child, type ChildOptions, startChild } from './parts/children.ts';
import { ENTRY, IMAGE, type Program, startProgram } from './parts/command.ts';
import type { Load, LoadResult } from './parts/load.ts';
import type { SendCost } from './parts/nodemailer-baseline.ts';
import type { Usage } from './parts/probe.ts';
import { type RedisUsage, readRedisUsage, usageBetween } from './parts/redis-usage.ts';
import type { SinkHello } from './parts/sink.ts';

export const KEY = 'bench-secret-0123456789-abcdefghij';
export const CONNECTIONS = 5;
export const ROUNDS = 3;
export const MESSAGE = {
  to: 'ada@example.com',
  subject: 'A message of one kilobyte',
  text: 'All work and no play. '.repeat(40),
};
export const BODY = JSON.stringify(MESSAGE);

/** Queue limits for benches that accept many more messages than they deliver. */
export const ROOMY = { QUEUE_MAX_MESSAGES: '10000000', QUEUE_MAX_BYTES: '16gb' };

/** An SMTP server, the login of its account and, for TLS, the file of its CA. */
export interface Login {
  readonly url: string;
  readonly user: string;
  readonly password: string;
  readonly caFile?: string;
}

export type Sink = Child & { readonly hello: SinkHello & Required<Login> };

export function environment(
  { url, user, password, caFile }: Login,
  more: Record<string, string> = {},
): Record<string, string> {
  const account = { GMAIL_USER: user, GMAIL_APP_PASSWORD: password, SMTP_URL: url };
  const limits = {
    RATE_LIMIT: '1000000/1s',
    GMAIL_DAILY_MESSAGES: '1000000',
    GMAIL_DAILY_RECIPIENTS: '1000000',
  };
  const trust = caFile ? { NODE_EXTRA_CA_CERTS: caFile } : {};
  const rest = { ...trust, API_KEYS: `bench:${KEY}`, SMTP_CONNECTIONS: String(CONNECTIONS) };
  return { ...account, ...limits, ...rest, ...more };
}

export const startSink = (): Promise<Sink> => startServer<SinkHello>('./sink.ts', {});

/** Starts an SMTP server, which writes the PEM of its CA to the file that its setup names. */
export async function startServer<Hello>(
  file: string,
  setup: object,
): Promise<Child & { readonly hello: Hello & { readonly caFile: string } }> {
  const folder = await makeFolder();
  const caFile = join(folder, 'ca.pem');
  const child = await startChild<Hello>(file, { ...setup, caFile });
  return {
    ...child,
    hello: { ...child.hello, caFile },
    async [Symbol.asyncDispose]() {
      await child[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

export const startLoad = () => startChild<string>('./load.ts', {});

/** Starts the service as the image does, with its default log level. Its output is discarded. */
export const startOuttray = (env: Record<string, string>, { nodeArgs = [], ...options }: ChildOptions = {}) =>
  startProgram(ENTRY, ['serve'], {
    ...options,
    nodeArgs: [...IMAGE.nodeArgs, ...nodeArgs],
    env: { ...IMAGE.env, ...env },
  });

export type Outtray = Program & { readonly queueUrl: string };

/** Starts the service on a new queue, which ends with the stack. */
export async function startOn(
  name: BackingName,
  { hello }: { readonly hello: Login },
  stack: AsyncDisposableStack,
  more: Record<string, string> = {},
  options: ChildOptions = {},
): Promise<Outtray> {
  const { url } = stack.use(await BACKINGS[name]());
  const program = stack.use(await startOuttray(environment(hello, { ...more, QUEUE_URL: url }), options));
  return { ...program, queueUrl: url };
}

/** Returns the messages accepted per second over 64 connections. */
export async function acceptedPerSecond(load: Child, port: number, requests: number): Promise<number> {
  const shape = { path: '/send', body: BODY, connections: 64, port, key: KEY };
  const { seconds } = await post(load, { ...shape, requests });
  return requests / seconds;
}

/** Posts `count` messages and waits until the sink has accepted all. Returns the rate per second. */
export async function deliveredPerSecond(
  count: number,
  sink: Child,
  load: Child,
  port: number,
): Promise<number> {
  const before = await sink.ask<number>('accepted');
  const startedAt = performance.now();
  await post(load, { path: '/send', body: BODY, connections: 8, requests: count, port, key: KEY });
  await sink.ask('waitForAccepted', before + count);
  return count / ((performance.now() - startedAt) / 1000);
}

/** What the service used to deliver a backlog. */
export interface BacklogCost extends SendCost {
  readonly redis: RedisUsage;
}

/**
 * Delivers a backlog of `count` messages: queues them while the sink accepts none, then lets it
 * accept all. Returns what that took from then on.
 */
export async function deliverBacklog(
  count: number,
  sink: Child,
  load: Child,
  { ask, port, queueUrl }: Outtray,
): Promise<BacklogCost> {
  const accepted = await sink.ask<number>('accepted');
  await sink.ask('hold');
  await post(load, { path: '/send', body: BODY, connections: 8, requests: count, port, key: KEY });
  const redisBefore = await readRedisUsage(queueUrl);
  const before = await ask<Usage>('usage');
  const startedAt = performance.now();
  await sink.ask('release');
  await sink.ask('waitForAccepted', accepted + count);
  const seconds = (performance.now() - startedAt) / 1000;
  const after = await ask<Usage>('usage');
  const redis = usageBetween(redisBefore, await readRedisUsage(queueUrl));
  return { seconds, cpuMs: after.cpuMs - before.cpuMs, redis };
}

/** @throws {Error} If any response is not 202. */
export async function post(load: Child, shape: Load): Promise<LoadResult> {
  const result = await load.ask<LoadResult>('run', shape);
  const unexpected = Object.keys(result.statuses).filter((status) => status !== '202');
  if (unexpected.length > 0) throw new Error(`responses other than 202: ${JSON.stringify(result.statuses)}`);
  return result;
}
