import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { createArchiveInspector } from './adapters/archive/inspector.ts';
import { createComposer } from './adapters/smtp/compose.ts';
import { textOf } from './adapters/smtp/mime.ts';
import type { Deadlines } from './adapters/smtp/server-options.ts';
import { openTemplates } from './adapters/templates/templates.ts';
import { TemplatesError } from './adapters/templates/trouble.ts';
import { createWebhookSender } from './adapters/webhook/post.ts';
import { openBackend } from './backend.ts';
import { type Config, ConfigError } from './config.ts';
import type { ApiKey } from './core/caller.ts';
import { createEvents } from './core/events.ts';
import { createIntake } from './core/intake.ts';
import { createKeyring } from './core/keyring.ts';
import { createMessages } from './core/messages.ts';
import type { Backend } from './core/ports.ts';
import { createSuppressions } from './core/suppressions.ts';
import { createWaiters } from './core/waiters.ts';
import { createWebhooks } from './core/webhooks.ts';
import { buildApp } from './http/app.ts';
import { toAccountResource, toResource } from './http/resource.ts';
import { logEvents } from './log.ts';
import { openSending } from './sending.ts';

export interface ServiceOptions {
  readonly config: Config;
  readonly version: string;
  readonly logger: Logger;
  /** A CA to trust besides those of Node, as PEM: the demo's simulator has one of its own. */
  readonly ca?: string | null;
  /** Multiplies every back-off and every account pause; tests make them short. */
  readonly backoffScale?: number;
  readonly deadlines?: Deadlines;
  /** How long an instance may be silent before others take over what it held; tests make it short. */
  readonly absentAfterMs?: number;
}

export interface Service extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /**
   * Reads the API keys again, and takes back that webhooks wanted no more. Answers how many there are; null if they stand in the environment, which cannot change.
   *
   * @throws {ConfigError} when they cannot be used: then the former ones stay
   */
  reloadKeys(): Promise<number | null>;
  /** Stops taking requests, lets attempts end, tells what is lost; resolves within SHUTDOWN_TIMEOUT. */
  close(): Promise<void>;
}

/** How much of SHUTDOWN_TIMEOUT is kept for what comes after the attempts have ended. */
const FAREWELL_SHARE = 0.2;

/**
 * Puts the service together and starts it: the only place that chooses what does what.
 *
 * @throws {ConfigError} when the templates cannot be used, and what the sockets say, as EADDRINUSE
 */
export async function openService(options: ServiceOptions): Promise<Service> {
  const { config, version, logger, ca = null, backoffScale = 1, deadlines, absentAfterMs } = options;
  const { backend, rates } = await openBackend(config, logger, absentAfterMs);
  const { queue, store, books, idempotency, durability } = backend;
  const events = createEvents();
  logEvents(events, logger);
  const keyring = createKeyring(config.apiKeys, books);
  const templates = await openTemplates({
    dir: config.templatesDir,
    onError: (error) => logger.error({ detail: error.message }, 'the templates that changed cannot be used: the former ones stay'),
    onChange: () => logger.info('templates read again'),
  }).catch(toConfigError);
  const suppressions = createSuppressions({
    store: backend.suppressions,
    events,
    learn: config.suppress === 'hard',
    onError: (err) => logger.error({ err }, 'a refused address could not be remembered'),
  });

  const sending = await openSending({ config, queue, store, books, events, ca, backoffScale, deadlines, absentAfterMs });
  const { accounts } = sending;
  const { url: webhookUrl } = config.webhooks;
  const urlsOf = (key: ApiKey | null) => [webhookUrl, key?.webhookUrl].filter((url) => typeof url === 'string');
  const webhookSender = createWebhookSender({ ...config.webhooks, version });
  const webhooks = createWebhooks({
    queue,
    outbox: backend.outbox,
    sender: webhookSender,
    events,
    urlsFor: (owner) => urlsOf(keyring.get(owner)),
    accountUrls: () => (webhookUrl === null ? [] : [webhookUrl]),
    toMessageData: (delivery) => toResource(delivery, durability, null),
    toAccountData: (user) => toAccountResource(accounts.state(user)),
    backoffScale,
    random: Math.random,
  });
  const waiters = createWaiters({ store, events });
  let draining = false;
  const isDraining = () => draining;
  const { maxMessageBytes, allowedRecipients, redirectAllTo, rateLimit, trustProxy } = config;
  const intake = createIntake({
    queue,
    store,
    accounts,
    keyring,
    suppressions,
    templates,
    composer: createComposer(),
    inspector: createArchiveInspector(),
    allowedRecipients,
    redirectAllTo,
    maxMessageBytes,
    isDraining,
  });
  const app = await buildApp({
    logger,
    version,
    keyring,
    rateLimit,
    rates,
    trustProxy,
    maxMessageBytes,
    durability,
    intake,
    messages: createMessages({ queue, store, events, isDraining }),
    accounts,
    suppressions,
    templates,
    toText: textOf,
    waiters,
    store,
    freeBytes: () => store.freeBytes(),
    idempotency,
    isDraining,
  });

  let closing: Promise<void> | undefined;
  const closeOnce = () => (closing ??= close());
  try {
    await sending.prepareFor(config.apiKeys);
    await app.listen({ host: config.host, port: config.port });
  } catch (error) {
    await closeOnce();
    throw error;
  }
  await sending.start();
  await webhooks.recover([null, ...config.apiKeys].flatMap(urlsOf));
  const { port } = app.server.address() as AddressInfo;
  const url = `http://${isWildcard(config.host) ? '127.0.0.1' : bracketed(config.host)}:${port}`;
  logger.info({ version, url, accounts: config.accounts.map(({ user }) => user), durability }, 'listening');

  async function reloadKeys(): Promise<number | null> {
    webhooks.forgetGone();
    const keys = config.reloadApiKeys();
    if (keys === null) return null;
    await sending.prepareFor(keys);
    keyring.replace(keys);
    return keys.length;
  }

  async function close(): Promise<void> {
    draining = true;
    waiters.release();
    // What the last attempts came to is still told.
    const drained = sending.drain().then(() => webhooks.drain());
    await withDeadline(drained, config.shutdownTimeoutMs * (1 - FAREWELL_SHARE));
    await Promise.all([webhookSender.close(), sending.close()]);
    await withDeadline(Promise.all([drained.then(() => suppressions.drain()), app.close()]), config.shutdownTimeoutMs * FAREWELL_SHARE);
    await sayFarewell(backend, logger);
    await Promise.all([templates.close(), backend.close()]);
  }
  return { url, port, reloadKeys, close: closeOnce, [Symbol.asyncDispose]: closeOnce };
}

/** What keeps the service from starting, and is the operator's to mend. */
function toConfigError(error: unknown): never {
  if (!(error instanceof TemplatesError)) throw error;
  throw new ConfigError(error.problems.map((message) => ({ variable: 'TEMPLATES_DIR', message })));
}

/** Names what a backend in memory takes with it. */
async function sayFarewell({ store, outbox, durability }: Backend, logger: Logger): Promise<void> {
  const messages: string[] = [];
  const notices: string[] = [];
  if (durability === 'memory') {
    for await (const { id } of store.unsettled()) messages.push(id);
    for await (const { eventId } of outbox.pending()) notices.push(eventId);
  }
  nameLost(messages, 'these messages were accepted, are not sent and are lost: the queue is in memory', logger);
  nameLost(notices, 'webhooks were not told of these events, and will not be: the queue is in memory', logger);
  logger.info({ lost_count: messages.length }, 'stopped');
}

function nameLost(ids: readonly string[], what: string, logger: Logger): void {
  const perLine = 200;
  for (let start = 0; start < ids.length; start += perLine) logger.warn({ lost: ids.slice(start, start + perLine) }, what);
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
