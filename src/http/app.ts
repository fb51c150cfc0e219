import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import type { ApiKeys } from '../core/auth/api-keys.ts';
import type { Rate, RateCounters } from '../core/ports/rate-counter.ts';
import { documentApi } from './openapi/openapi.ts';
import { toYaml } from './openapi/yaml.ts';
import { createAuthenticator, requireKey, requireScope } from './request/auth.ts';
import { createRateLimits } from './request/rate-limit.ts';
import { presentError } from './resend/errors.ts';
import { resendRoutes } from './resend/routes.ts';
import { type AccountOptions, accountRoutes } from './routes/accounts.ts';
import { type BatchOptions, batchRoutes } from './routes/batch.ts';
import { type ContentOptions, contentRoutes, contentViewRoutes } from './routes/content.ts';
import { type DemoInboxOptions, demoInboxRoutes, demoViewRoutes } from './routes/demo-inbox.ts';
import { docsRoutes } from './routes/docs.ts';
import { type DoctorOptions, doctorRoutes } from './routes/doctor.ts';
import { type HealthOptions, healthRoutes } from './routes/health.ts';
import { keyRoutes } from './routes/key.ts';
import { type MessageOptions, messageRoutes } from './routes/messages.ts';
import { type MetricsOptions, metricsRoutes } from './routes/metrics.ts';
import { problemRoutes } from './routes/problems.ts';
import { type SendOptions, sendRoutes } from './routes/send.ts';
import { type StatsOptions, statsRoutes } from './routes/stats.ts';
import { type SuppressionOptions, suppressionRoutes } from './routes/suppressions.ts';
import { type TemplateOptions, templateRoutes, templateViewRoutes } from './routes/templates.ts';
import { type UiOptions, uiRoutes } from './routes/ui.ts';
import { collectRoutes, unknownRoutes } from './routes/unknown.ts';
import { type WebhookOptions, webhookRoutes } from './routes/webhooks.ts';
import { createServer, type ServerOptions } from './server.ts';
import { createSubmission, type SubmissionOptions } from './submission/submission.ts';

export interface AppOptions
  extends ServerOptions,
    Omit<SubmissionOptions, 'limits'>,
    Omit<SendOptions, 'submission'>,
    Omit<BatchOptions, 'submission'>,
    MessageOptions,
    ContentOptions,
    AccountOptions,
    StatsOptions,
    DoctorOptions,
    SuppressionOptions,
    TemplateOptions,
    WebhookOptions,
    HealthOptions,
    DemoInboxOptions,
    UiOptions {
  readonly messages: MessageOptions['messages'];
  readonly accounts: SubmissionOptions['accounts'] & AccountOptions['accounts'];
  readonly store: SubmissionOptions['store'] & SendOptions['store'] & HealthOptions['store'];
  readonly apiKeys: Pick<ApiKeys, 'keys'>;
  /** Rate limit of API keys without their own. */
  readonly rateLimit: Rate;
  readonly rates: RateCounters;
  /** Null: the app has no GET /metrics. */
  readonly metrics: MetricsOptions | null;
}

/** Builds the HTTP service, ready to listen. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const app = createServer(options, presentError);
  const exampleOf = await documentApi(app, options.version);

  const routes = collectRoutes(app);
  const authenticate = createAuthenticator(options.apiKeys.keys);
  const limits = await createRateLimits(app, options.rates, options.rateLimit);
  const submission = createSubmission({ ...options, limits });
  await app.register(unknownRoutes, { authenticate, limits, routes });
  await app.register(healthRoutes, options);
  await app.register(docsRoutes, { toYaml });
  await app.register(problemRoutes, { exampleOf });
  await app.register(demoViewRoutes, options);
  await app.register(uiRoutes, options);
  if (options.metrics) await app.register(metricsRoutes, { ...options.metrics, authenticate, limits });
  await app.register(async (withKey) => {
    withKey.addHook('onRoute', requireScope);
    withKey.addHook('onRequest', requireKey(authenticate, limits));
    await withKey.register(sendRoutes, { ...options, submission });
    await withKey.register(batchRoutes, { ...options, submission });
    await withKey.register(messageRoutes, options);
    await withKey.register(contentRoutes, options);
    await withKey.register(resendRoutes, { ...options, submission });
    await withKey.register(templateRoutes, options);
    await withKey.register(suppressionRoutes, options);
    await withKey.register(accountRoutes, options);
    await withKey.register(keyRoutes);
    await withKey.register(demoInboxRoutes, options);
    await withKey.register(statsRoutes, options);
    await withKey.register(doctorRoutes, options);
    await withKey.register(webhookRoutes, options);
  });
  // The API document lists them after the operations that return their URLs.
  await app.register(contentViewRoutes, options);
  await app.register(templateViewRoutes, options);
  await app.ready();
  return app;
}

/** Builds an app that has only GET /metrics, ready to listen. */
export async function buildMetricsApp(
  options: ServerOptions & Pick<AppOptions, 'apiKeys' | 'rateLimit' | 'rates'>,
  metrics: MetricsOptions,
): Promise<FastifyInstance> {
  const app = createServer(options, presentError);
  const routes = collectRoutes(app);
  const authenticate = createAuthenticator(options.apiKeys.keys);
  const limits = await createRateLimits(app, options.rates, options.rateLimit);
  await app.register(unknownRoutes, { authenticate, limits, routes });
  await app.register(metricsRoutes, { ...metrics, authenticate, limits });
  await app.ready();
  return app;
}

/** Returns the OpenAPI document as YAML, as GET /openapi.yaml serves it. */
export async function openApiDocument(version: string): Promise<string> {
  const unused = () => {
    throw new Error('the OpenAPI document is generated without a service');
  };
  await using app = await buildApp({
    logger: pino({ level: 'silent' }),
    version,
    page: null,
    apiKeys: { keys: () => [] },
    rateLimit: { max: 1, windowMs: 1000 },
    rates: { keys: { spend: unused }, addresses: { spend: unused } },
    trustProxy: [],
    maxMessageBytes: 1,
    accounts: { defaultFrom: { email: '', name: null }, budget: unused, list: unused, verify: unused },
    durability: 'memory',
    intake: { accept: unused, check: unused, preview: unused },
    messages: {
      get: unused,
      content: unused,
      list: unused,
      cancel: unused,
      retry: unused,
      reschedule: unused,
    },
    reconciliation: { reconcile: unused },
    composer: { compose: unused },
    tickets: { issue: unused, verify: unused },
    stats: { read: unused },
    doctor: { read: unused },
    templates: { list: unused, render: unused },
    toText: unused,
    suppressions: { get: unused, list: unused, add: unused, remove: unused },
    endpointTests: { run: unused },
    webhookDeliveries: { list: unused, replay: unused },
    sharedNow: unused,
    waiters: { wait: unused },
    store: { get: unused, tombstone: unused, refusalCode: unused },
    freeBytes: unused,
    isSending: unused,
    idempotency: { claim: unused, accept: unused, release: unused, markUnknown: unused },
    isDraining: unused,
    metrics: { metrics: { contentType: '', read: unused }, isOpen: false },
    demoInbox: null,
  });
  return toYaml(app.swagger());
}
