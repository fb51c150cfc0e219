import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { createArchiveInspector } from '../adapters/archive/archive-inspector.ts';
import { createComposer } from '../adapters/smtp/mime/composer.ts';
import { textOf } from '../adapters/smtp/mime/mail-options.ts';
import type { Deadlines } from '../adapters/smtp/server-options.ts';
import { TemplatesError } from '../adapters/templates/file-errors.ts';
import { openTemplates } from '../adapters/templates/templates.ts';
import { createWebhookSender } from '../adapters/webhook/webhook-sender.ts';
import { type Config, ConfigError } from '../config/config.ts';
import { createApiKeys } from '../core/auth/api-keys.ts';
import type { ApiKey } from '../core/auth/caller.ts';
import { createEvents } from '../core/events.ts';
import { createIntake } from '../core/intake/intake.ts';
import { createMessages } from '../core/messages.ts';
import type { Backend } from '../core/ports/backend.ts';
import { createSuppressions } from '../core/suppressions.ts';
import { createWaiters } from '../core/waiters.ts';
import { createWebhooks } from '../core/webhooks/webhooks.ts';
import { buildApp } from '../http/app.ts';
import { createEventPresenter } from '../http/presenters/event-presenter.ts';
import { logEvents } from '../log.ts';
import { openBackend } from './backend.ts';
import { openDeliveryEngine } from './delivery-engine.ts';

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
  /** Stops taking requests, lets attempts end, tells what is lost; resolves within SHUTDOWN_TIMEOUT, whatever hangs. */
  close(): Promise<void>;
  /** Names the parts of the service that `close` still waits for, or has given up. */
  unfinished(): string[];
}

/** The parts of SHUTDOWN_TIMEOUT in which attempts may end, then connections close, then the queue. The rest is spare. */
const ATTEMPTS_SHARE = 0.8;
const CONNECTIONS_SHARE = 0.06;
const QUEUE_SHARE = 0.04;

/**
 * Puts the service together and starts it: the only place that chooses what does what.
 *
 * @throws {ConfigError} when the templates cannot be used, and what the sockets say, as EADDRINUSE
 */
export async function openService(options: ServiceOptions): Promise<Service> {
  const { config, version, logger, ca = null, backoffScale = 1, deadlines, absentAfterMs } = options;
  const { backend, rates } = await openBackend(config, logger, absentAfterMs);
  const { queue, store, sharedState, idempotency, durability } = backend;
  const events = createEvents();
  logEvents(events, logger);
  const apiKeys = createApiKeys(config.apiKeys, sharedState);
  const templates = await openTemplates({
    dir: config.templatesDir,
    onError: (error) =>
      logger.error(
        { detail: error.message },
        'the templates that changed cannot be used: the former ones stay',
      ),
    onChange: () => logger.info('templates read again'),
  }).catch(toConfigError);
  const suppressions = createSuppressions({
    store: backend.suppressions,
    events,
    learn: config.suppress === 'hard',
    onError: (err) => logger.error({ err }, 'a refused address could not be remembered'),
  });

  const sending = await openDeliveryEngine({
    config,
    queue,
    store,
    sharedState,
    events,
    ca,
    backoffScale,
    deadlines,
    absentAfterMs,
  });
  const { accounts } = sending;
  const { url: webhookUrl } = config.webhooks;
  const urlsOf = (key: ApiKey | null) =>
    [webhookUrl, key?.webhookUrl].filter((url) => typeof url === 'string');
  const webhookSender = createWebhookSender({ ...config.webhooks, version });
  const webhooks = createWebhooks({
    queue,
    outbox: backend.outbox,
    sender: webhookSender,
    events,
    urlsFor: (owner) => urlsOf(apiKeys.get(owner)),
    accountUrls: () => (webhookUrl === null ? [] : [webhookUrl]),
    presenter: createEventPresenter(accounts, durability),
    now: sharedState.now,
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
    apiKeys,
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
    apiKeys,
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

  const unfinished = new Set<string>();
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
    apiKeys.replace(keys);
    return keys.length;
  }

  /** A part whose closing fails is never finished. */
  async function during(part: string, work: Promise<unknown>): Promise<void> {
    unfinished.add(part);
    await work;
    unfinished.delete(part);
  }

  async function close(): Promise<void> {
    const { shutdownTimeoutMs } = config;
    draining = true;
    waiters.release();
    const attempts = during('attempts', sending.drain());
    // What the last attempts came to is still told.
    const told = attempts.then(() => during('webhooks', webhooks.drain()));
    await settle([told], shutdownTimeoutMs * ATTEMPTS_SHARE);
    const connections = [
      webhookSender.close(),
      during('SMTP connections', sending.close()),
      told.then(() => during('suppressions', suppressions.drain())),
      during('HTTP requests', app.close()),
    ];
    await settle(connections, shutdownTimeoutMs * CONNECTIONS_SHARE);
    const lostCount = await nameLostItems(backend, logger);
    await settle(
      [during('templates', templates.close()), during('queue', backend.close())],
      shutdownTimeoutMs * QUEUE_SHARE,
    );
    logger.info(
      { lost_count: lostCount, unfinished: unfinished.size > 0 ? [...unfinished] : undefined },
      'stopped',
    );
  }
  return {
    url,
    port,
    reloadKeys,
    close: closeOnce,
    unfinished: () => [...unfinished],
    [Symbol.asyncDispose]: closeOnce,
  };
}

/** What keeps the service from starting, and is the operator's to mend. */
function toConfigError(error: unknown): never {
  if (!(error instanceof TemplatesError)) throw error;
  throw new ConfigError(error.problems.map((message) => ({ variable: 'TEMPLATES_DIR', message })));
}

/** Logs the ids of all that a backend in memory takes with it. Returns the number of messages. */
async function nameLostItems({ store, outbox, durability }: Backend, logger: Logger): Promise<number> {
  const messages: string[] = [];
  const notices: string[] = [];
  if (durability === 'memory') {
    for await (const { id } of store.unsettled()) messages.push(id);
    for await (const { eventId } of outbox.pending()) notices.push(eventId);
  }
  nameLost(
    messages,
    'these messages were accepted, are not sent and are lost: the queue is in memory',
    logger,
  );
  nameLost(
    notices,
    'webhooks were not told of these events, and will not be: the queue is in memory',
    logger,
  );
  return messages.length;
}

function nameLost(ids: readonly string[], what: string, logger: Logger): void {
  const perLine = 200;
  for (let start = 0; start < ids.length; start += perLine)
    logger.warn({ lost: ids.slice(start, start + perLine) }, what);
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Waits until all promises are settled, for `ms` at most. */
async function settle(promises: readonly Promise<unknown>[], ms: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([Promise.allSettled(promises), late]);
  clearTimeout(timer);
}
