import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { createArchiveInspector } from './adapters/archive/inspector.ts';
import { createMemoryBackend } from './adapters/memory/index.ts';
import { createComposer } from './adapters/smtp/compose.ts';
import { ehloName } from './adapters/smtp/ehlo-name.ts';
import { DEADLINES, type Deadlines } from './adapters/smtp/server-options.ts';
import { openTransport } from './adapters/smtp/transport.ts';
import type { AccountConfig } from './config/account.ts';
import type { Config } from './config.ts';
import { createAccount } from './core/account.ts';
import { createAccounts } from './core/accounts.ts';
import { createConcurrency } from './core/concurrency.ts';
import { createDispatcher } from './core/dispatcher.ts';
import { createEvents, type Events } from './core/events.ts';
import { createIntake } from './core/intake.ts';
import { createPace, UNPACED } from './core/pace.ts';
import type { Backend } from './core/ports.ts';
import { createQuota } from './core/quota.ts';
import { createWaiters } from './core/waiters.ts';
import { buildApp } from './http/app.ts';
import { logEvents } from './log.ts';

export interface ServiceOptions {
  readonly config: Config;
  readonly version: string;
  readonly logger: Logger;
  /** A CA to trust besides those of Node, as PEM: the demo's simulator has one of its own. */
  readonly ca?: string | null;
  /** Multiplies every back-off and every account pause; tests make them short. */
  readonly backoffScale?: number;
  readonly deadlines?: Deadlines;
}

export interface Service extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Stops taking requests, lets attempts end, tells what is lost; resolves within SHUTDOWN_TIMEOUT. */
  close(): Promise<void>;
}

/** How much of SHUTDOWN_TIMEOUT is kept for what comes after the attempts have ended. */
const FAREWELL_SHARE = 0.2;

/** Puts the service together and starts it: the only place that chooses what does what. */
export async function openService(options: ServiceOptions): Promise<Service> {
  const { config, version, logger, backoffScale = 1 } = options;
  const backend = createMemoryBackend({
    ...config.queue,
    retainMs: config.retainMs,
    onEarlyDrop: once(() => logger.warn('finished messages and answers are dropped before RETAIN, to keep memory flat')),
  });
  const { queue, store, idempotency, durability } = backend;
  const events = createEvents();
  logEvents(events, logger);
  const senders = config.accounts.map((account) => openSender(account, events, options));
  const accounts = createAccounts({ senders, fromPolicy: config.fromPolicy, queue, store });
  const policy = { retryForMs: config.retryForMs, onUncertain: config.onUncertain, backoffScale, random: Math.random };
  const dispatchers = senders.map(({ account, transport }) =>
    createDispatcher({ queue, store, events, policy, accounts, account, transport, lanes: config.smtp.connections }),
  );

  const waiters = createWaiters({ store, events });
  let draining = false;
  const isDraining = () => draining;
  const { maxMessageBytes, apiKeys, rateLimit, trustProxy } = config;
  const intake = createIntake({
    queue,
    store,
    accounts,
    composer: createComposer(),
    inspector: createArchiveInspector(),
    maxMessageBytes,
    isDraining,
  });
  const app = await buildApp({
    logger,
    version,
    apiKeys,
    rateLimit,
    trustProxy,
    maxMessageBytes,
    durability,
    intake,
    accounts,
    waiters,
    store,
    idempotency,
    isDraining,
  });

  await app.listen({ host: config.host, port: config.port });
  for (const dispatcher of dispatchers) dispatcher.start();
  const { port } = app.server.address() as AddressInfo;
  const url = `http://${isWildcard(config.host) ? '127.0.0.1' : bracketed(config.host)}:${port}`;
  logger.info({ version, url, accounts: config.accounts.map(({ user }) => user), durability }, 'listening');

  async function close(): Promise<void> {
    draining = true;
    waiters.release();
    const drained = Promise.all(dispatchers.map((dispatcher) => dispatcher.drain()));
    await withDeadline(drained, config.shutdownTimeoutMs * (1 - FAREWELL_SHARE));
    await Promise.all(senders.map(({ transport }) => transport.close()));
    await withDeadline(Promise.all([drained, app.close()]), config.shutdownTimeoutMs * FAREWELL_SHARE);
    await sayFarewell(backend, logger);
    await backend.close();
  }
  let closing: Promise<void> | undefined;
  const closeOnce = () => (closing ??= close());
  return { url, port, close: closeOnce, [Symbol.asyncDispose]: closeOnce };
}

/** An account with its limits, and its way to the server. */
function openSender(
  { user, credentials, from, aliases, daily, reserve }: AccountConfig,
  events: Events,
  { config, ca = null, backoffScale = 1, deadlines = DEADLINES }: ServiceOptions,
) {
  const { servers, connections, rate } = config.smtp;
  const account = createAccount(user, {
    events,
    backoffScale,
    connections,
    quota: createQuota({ ...daily, reserve }, { backoffScale }),
    pace: rate === null ? UNPACED : createPace(rate),
    concurrency: createConcurrency(connections),
  });
  const transport = openTransport({ servers, user, credentials, ehloName: ehloName(user), ca, deadlines });
  return { account, transport, from, aliases };
}

/** Names what a backend in memory takes with it. */
async function sayFarewell({ store, durability }: Backend, logger: Logger): Promise<void> {
  const ids: string[] = [];
  if (durability === 'memory') for await (const { id } of store.unsettled()) ids.push(id);
  const perLine = 200;
  for (let start = 0; start < ids.length; start += perLine) {
    logger.warn(
      { lost: ids.slice(start, start + perLine) },
      'these messages were accepted, are not sent and are lost: the queue is in memory',
    );
  }
  logger.info({ lost_count: ids.length }, 'stopped');
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Waits for the promise, but not longer than `ms`. */
async function withDeadline(promise: Promise<unknown>, ms: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

function once(run: () => void): () => void {
  let done = false;
  return () => {
    if (!done) run();
    done = true;
  };
}
