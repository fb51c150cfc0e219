import type { Logger } from 'pino';
import { createArchiveInspector } from '../adapters/archive/archive-inspector.ts';
import { createComposer } from '../adapters/smtp/mime/composer.ts';
import { deriveText } from '../adapters/smtp/mime/derived-text.ts';
import type { Deadlines } from '../adapters/smtp/server-options.ts';
import { TemplatesError } from '../adapters/templates/file-errors.ts';
import { openTemplates } from '../adapters/templates/templates.ts';
import { type Config, ConfigError } from '../config/config.ts';
import { createApiKeys } from '../core/auth/api-keys.ts';
import { createDeliveryChanges } from '../core/delivery-changes.ts';
import { createEvents } from '../core/events.ts';
import { createIntake } from '../core/intake/intake.ts';
import { createMessages } from '../core/messages.ts';
import { createSuppressions } from '../core/suppressions.ts';
import { createWaiters } from '../core/waiters.ts';
import { buildApp } from '../http/app.ts';
import { logEvents } from '../log.ts';
import { openBackend } from './backend.ts';
import { openDeliveryEngine } from './delivery-engine.ts';
import { openWebhookDelivery } from './webhook-delivery.ts';

export interface ServiceOptions {
  readonly config: Config;
  readonly version: string;
  readonly logger: Logger;
  /** A CA to trust in addition to those of Node, as PEM: that of the demo's simulator. */
  readonly ca?: string | null;
  /** Multiplies every back-off and every account pause; less than 1 in tests. */
  readonly backoffScale?: number;
  readonly deadlines?: Deadlines;
  /** Time after its last heartbeat at which an instance counts as gone, in ms; short in tests. */
  readonly absentAfterMs?: number;
}

/** The parts of the service that exist before it listens. */
export type ServiceParts = Awaited<ReturnType<typeof openParts>>;

/**
 * Creates the parts of the service, all but the HTTP app. Nothing is sent yet.
 *
 * @throws {ConfigError} If the templates or the file of the queue cannot be used.
 */
export async function openParts({
  config,
  version,
  logger,
  ca = null,
  backoffScale = 1,
  deadlines,
  absentAfterMs,
}: ServiceOptions) {
  const { backend, rates } = await openBackend(config, logger, absentAfterMs);
  const { queue, store, sharedState } = backend;
  const events = createEvents();
  logEvents(events, logger);
  const apiKeys = createApiKeys(config.apiKeys, sharedState);
  const templates = await openConfiguredTemplates(config, logger);
  const suppressions = createSuppressions({
    store: backend.suppressions,
    events,
    suppressRefused: config.suppress === 'hard',
    onError: (err) => logger.error({ err }, 'refused address could not be stored as suppressed'),
  });
  const webhooks = openWebhookDelivery({
    config,
    version,
    backend,
    events,
    apiKeys,
    rates,
    // Called for events of accounts only, which the delivery engine emits.
    accountStatus: (user) => deliveryEngine.accounts.status(user),
    backoffScale,
  });
  const changes = createDeliveryChanges({ events, noticesOf: webhooks.noticesOf });
  const engineOptions = { config, events, changes, ca, backoffScale, deadlines, absentAfterMs };
  const deliveryEngine = await openDeliveryEngine({ queue, store, sharedState, ...engineOptions });
  const { accounts } = deliveryEngine;
  const waiters = createWaiters({ store, events });
  /** Aborted when the service begins to shut down. */
  const draining = new AbortController();
  return {
    config,
    version,
    logger,
    backend,
    rates,
    events,
    changes,
    apiKeys,
    templates,
    suppressions,
    deliveryEngine,
    accounts,
    webhooks,
    waiters,
    draining,
  };
}

/** Builds the HTTP app, with the intake behind it. Does not listen. */
export function buildServiceApp(parts: ServiceParts) {
  const { config, backend, changes, accounts, apiKeys, suppressions, templates, draining } = parts;
  const { store, idempotency, durability } = backend;
  const { maxMessageBytes, allowedRecipients, redirectAllTo, rateLimit, trustProxy } = config;
  const isDraining = () => draining.signal.aborted;
  const intake = createIntake({
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
  return buildApp({
    logger: parts.logger,
    version: parts.version,
    apiKeys,
    rateLimit,
    rates: parts.rates,
    trustProxy,
    maxMessageBytes,
    durability,
    intake,
    messages: createMessages({ store, changes, isDraining }),
    accounts,
    suppressions,
    templates,
    endpointTests: parts.webhooks.endpointTests,
    webhookDeliveries: parts.webhooks.deliveries,
    sharedNow: backend.sharedState.now,
    toText: deriveText,
    waiters: parts.waiters,
    store,
    freeBytes: () => store.freeBytes(),
    isSending: parts.deliveryEngine.isSending,
    idempotency,
    isDraining,
  });
}

async function openConfiguredTemplates({ templatesDir }: Config, logger: Logger) {
  const opening = openTemplates({
    dir: templatesDir,
    onError: (error) =>
      logger.error({ detail: error.message }, 'template reload failed; keeping the previous templates'),
    onChange: () => logger.info('templates reloaded'),
  });
  return opening.catch((error: unknown) => {
    if (!(error instanceof TemplatesError)) throw error;
    throw new ConfigError(error.problems.map((message) => ({ variable: 'TEMPLATES_DIR', message })));
  });
}
