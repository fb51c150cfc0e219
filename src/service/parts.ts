import type { Logger } from 'pino';
import { createArchiveInspector } from '../adapters/archive/archive-inspector.ts';
import type { ImapDeadlines } from '../adapters/imap/session.ts';
import { createComposer } from '../adapters/smtp/mime/composer.ts';
import { deriveText } from '../adapters/smtp/mime/derived-text.ts';
import type { Deadlines } from '../adapters/smtp/server-options.ts';
import { TemplatesError } from '../adapters/templates/file-errors.ts';
import { openTemplates } from '../adapters/templates/templates.ts';
import { openTracing } from '../adapters/tracing/open-tracing.ts';
import { type Config, ConfigError } from '../config/config.ts';
import { toFromDomains } from '../config/from-domains.ts';
import type { QueueUrl } from '../config/queue-url.ts';
import { createApiKeys } from '../core/auth/api-keys.ts';
import { createTickets } from '../core/auth/tickets.ts';
import { createDeliveryChanges } from '../core/delivery-changes.ts';
import { createDoctorReports } from '../core/doctor-reports.ts';
import { createEvents } from '../core/events.ts';
import { createGmailVolume } from '../core/gmail-volume.ts';
import { createIntake } from '../core/intake/intake.ts';
import { createMessages } from '../core/messages.ts';
import type { Backend } from '../core/ports/backend.ts';
import type { MakeReport } from '../core/ports/doctor-report.ts';
import { createReconciliation } from '../core/reconcile/reconciliation.ts';
import { createStats } from '../core/stats.ts';
import { createSuppressions } from '../core/suppressions.ts';
import { createWaiters } from '../core/waiters.ts';
import { buildApp, buildMetricsApp } from '../http/app.ts';
import type { DemoInbox } from '../http/routes/demo-inbox.ts';
import { logEvents } from '../log.ts';
import { openAlerts } from './alerts.ts';
import { openBackend } from './backend.ts';
import { type BackupSocket, openBackupSocket } from './backup-socket.ts';
import { openDeliveryEngine } from './delivery-engine.ts';
import { openInbound } from './inbound.ts';
import { openMetrics } from './metrics.ts';
import { openWebhookDelivery } from './webhook-delivery.ts';

export interface ServiceOptions {
  readonly config: Config;
  readonly version: string;
  readonly logger: Logger;
  /** Path of the `.env` file that was loaded, for the log. */
  readonly envFile?: string | null;
  /** A CA to trust in addition to those of Node, as PEM: that of the demo's simulator. */
  readonly ca?: string | null;
  /** Makes the reports of GET /doctor. */
  readonly doctor: MakeReport;
  /** What the demo's simulator received. Null outside the demo. */
  readonly demoInbox?: DemoInbox | null;
  /** Multiplies every back-off and every account pause; less than 1 in tests. */
  readonly backoffScale?: number;
  readonly deadlines?: Deadlines;
  readonly imapDeadlines?: ImapDeadlines;
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
  doctor,
  demoInbox = null,
  backoffScale = 1,
  deadlines,
  imapDeadlines,
  absentAfterMs,
}: ServiceOptions) {
  const { backend, rates } = await openBackend(config, logger, absentAfterMs);
  const { queue, store, sharedState } = backend;
  const events = createEvents();
  logEvents(events, logger);
  const tracing = await openTracing(version);
  tracing?.recordAttempts(events);
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
    tracing,
    backoffScale,
  });
  const changes = createDeliveryChanges({ events, noticesOf: webhooks.notices.ofMessage });
  const inbound = openInbound({ config, logger, backend, changes, suppressions, events });
  const deliveryEngine = await openDeliveryEngine({
    queue,
    store,
    sharedState,
    config,
    events,
    changes,
    noticesOf: webhooks.notices.ofAccount,
    mailHandler: inbound?.handler ?? null,
    ca,
    backoffScale,
    deadlines,
    imapDeadlines,
    absentAfterMs,
  });
  const { accounts } = deliveryEngine;
  const alerts = await openAlerts({ config, version, logger, backend, events, accounts, backoffScale });
  const gmailVolume = createGmailVolume({
    events,
    domains: toFromDomains(config.accounts),
    sharedState,
    onError: (err) => logger.error({ err }, 'messages to Gmail could not be counted'),
  });
  const doctorReports = createDoctorReports(() =>
    doctor({
      isLoginLocked: accounts.isLoginLocked,
      isQueueAvailable: () => store.refusalCode() !== 'queue_unavailable',
      readGmailVolume: gmailVolume.read,
    }),
  );
  const waiters = createWaiters({ store, events });
  const metrics = await openMetrics({ config, version, backend, events, apiKeys, accounts });
  const backupSocket = await openQueueBackup(config.queue.url, backend, logger);
  /** Aborted when the service begins to shut down. */
  const draining = new AbortController();
  return {
    config,
    version,
    logger,
    demoInbox,
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
    alerts,
    gmailVolume,
    inbound,
    doctorReports,
    backupSocket,
    waiters,
    metrics,
    tracing,
    draining,
  };
}

/** Builds the HTTP app, with the intake behind it. Does not listen. */
export function buildServiceApp(parts: ServiceParts) {
  const { config, backend, events, changes, accounts, apiKeys, suppressions, templates, draining } = parts;
  const { store, idempotency, durability } = backend;
  const { maxMessageBytes, allowedRecipients, redirectAllTo } = config;
  const isDraining = () => draining.signal.aborted;
  const composer = createComposer();
  const messages = createMessages({ store, changes, isDraining });
  const intake = createIntake({
    store,
    events,
    accounts,
    apiKeys,
    suppressions,
    templates,
    composer,
    inspector: createArchiveInspector(),
    allowedRecipients,
    redirectAllTo,
    maxMessageBytes,
    isDraining,
  });
  return buildApp({
    ...serverOptionsOf(parts),
    version: parts.version,
    demoInbox: parts.demoInbox,
    page: config.ui ? { demo: parts.demoInbox !== null } : null,
    durability,
    intake,
    messages,
    reconciliation: createReconciliation({
      store,
      messages,
      mailboxes: parts.deliveryEngine.mailboxes,
      isOn: config.mailbox.reconcile,
      isDraining,
      now: backend.sharedState.now,
    }),
    composer,
    tickets: createTickets(apiKeys),
    stats: createStats({ store }),
    doctor: parts.doctorReports,
    accounts,
    suppressions,
    templates,
    endpointTests: parts.webhooks.endpointTests,
    webhookDeliveries: parts.webhooks.deliveries,
    sharedNow: backend.sharedState.now,
    toText: deriveText,
    waiters: parts.waiters,
    store,
    idempotency,
    isDraining,
    metrics: config.metrics.port === null ? metricsRouteOf(parts) : null,
    tracer: parts.tracing?.requests ?? null,
  });
}

/** Builds the app of METRICS_PORT. Null if the metrics are at PORT, or off. */
export function buildServiceMetricsApp(parts: ServiceParts) {
  const route = parts.config.metrics.port === null ? null : metricsRouteOf(parts);
  return route && buildMetricsApp(serverOptionsOf(parts), route);
}

/** Returns what all HTTP apps have in common. */
function serverOptionsOf({ config, logger, apiKeys, rates, backend, deliveryEngine, metrics }: ServiceParts) {
  const { rateLimit, trustProxy, maxMessageBytes } = config;
  return {
    logger,
    apiKeys,
    rateLimit,
    rates,
    trustProxy,
    maxMessageBytes,
    freeBytes: () => backend.store.freeBytes(),
    isSending: deliveryEngine.isSending,
    countRequest: metrics?.countRequest,
  };
}

function metricsRouteOf({ config, metrics }: ServiceParts) {
  return metrics && { metrics, isOpen: config.metrics.access === 'open' };
}

/** Serves backups of a queue that is a file. */
async function openQueueBackup(
  url: QueueUrl,
  { copyTo }: Backend,
  logger: Logger,
): Promise<BackupSocket | null> {
  if (url.kind !== 'sqlite' || !copyTo) return null;
  return openBackupSocket({ file: url.file, copyTo, logger });
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
