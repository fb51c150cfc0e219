import { type FastifyBaseLogger, type FastifyInstance, fastify, LogController } from 'fastify';
import { pino } from 'pino';
import type { z } from 'zod';
import type { ApiKeys } from '../core/auth/api-keys.ts';
import type { DeliveryStore } from '../core/ports/delivery-store.ts';
import type { Rate, RateCounters } from '../core/ports/rate-counter.ts';
import { answerClientError, newRequestId, sendProblem } from './errors/problem.ts';
import { documentApi } from './openapi/openapi.ts';
import { toYaml } from './openapi/yaml.ts';
import { logRequests, observe } from './request/access-log.ts';
import { createAuthenticator, demandScope, requireKey } from './request/auth.ts';
import { createBodyCapacity } from './request/body/body-capacity.ts';
import { readJsonBodies } from './request/body/read-body.ts';
import { createRateLimits } from './request/rate-limit.ts';
import { checkRequestHeads } from './request/request-head.ts';
import { resendRoutes } from './resend/routes.ts';
import { type AccountOptions, accountRoutes } from './routes/accounts.ts';
import { type BatchOptions, batchRoutes } from './routes/batch.ts';
import { docsRoutes } from './routes/docs.ts';
import { type HealthOptions, healthRoutes } from './routes/health.ts';
import { type MessageOptions, messageRoutes } from './routes/messages.ts';
import { problemRoutes } from './routes/problems.ts';
import { type SendOptions, sendRoutes } from './routes/send.ts';
import { type SuppressionOptions, suppressionRoutes } from './routes/suppressions.ts';
import { type TemplateOptions, templateRoutes } from './routes/templates.ts';
import { collectRoutes, unknownRoutes } from './routes/unknown.ts';
import { createSubmission, type SubmissionOptions } from './submission/submission.ts';
import { validate } from './validation/validation.ts';

export interface AppOptions
  extends Omit<SubmissionOptions, 'limits'>,
    Omit<SendOptions, 'acceptance'>,
    Omit<BatchOptions, 'acceptance'>,
    MessageOptions,
    AccountOptions,
    SuppressionOptions,
    TemplateOptions,
    HealthOptions {
  readonly accounts: SubmissionOptions['accounts'] & AccountOptions['accounts'];
  readonly store: SubmissionOptions['store'] & SendOptions['store'] & HealthOptions['store'];
  /** Bytes that QUEUE_MAX_BYTES has left for bodies being read. */
  readonly freeBytes: DeliveryStore['freeBytes'];
  readonly logger: FastifyBaseLogger;
  readonly version: string;
  readonly apiKeys: Pick<ApiKeys, 'keys'>;
  /** Of keys that have none of their own. */
  readonly rateLimit: Rate;
  readonly rates: RateCounters;
  /** Addresses and CIDRs of proxies whose X-Forwarded-For is believed. */
  readonly trustProxy: readonly string[];
  readonly maxMessageBytes: number;
  /** How long the headers and the body of a request may take to arrive. */
  readonly requestTimeoutMs?: number;
}

const DEFAULT_REQUEST_TIMEOUT_MS = 60_000;
/** What JSON adds to a message that is just small enough. */
const BODY_OVERHEAD_BYTES = 1024 * 1024;
/** Bodies of full size that fit into memory at once, of two keys, however full the queue is or small QUEUE_MAX_BYTES. */
const MIN_BODIES = 2;
const MAX_HEADER_BYTES = 16 * 1024;

/** The HTTP service, ready to listen. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const app = createServer(options);
  await documentApi(app, options.version);

  const routes = collectRoutes(app);
  const authenticate = createAuthenticator(options.apiKeys.keys);
  const limits = await createRateLimits(app, options.rates, options.rateLimit);
  const acceptance = createSubmission({ ...options, limits });
  await app.register(unknownRoutes, { authenticate, limits, routes });
  await app.register(healthRoutes, options);
  await app.register(docsRoutes);
  await app.register(problemRoutes);
  await app.register(async (withKey) => {
    withKey.addHook('onRoute', demandScope);
    withKey.addHook('onRequest', requireKey(authenticate, limits));
    await withKey.register(sendRoutes, { ...options, acceptance });
    await withKey.register(batchRoutes, { ...options, acceptance });
    await withKey.register(messageRoutes, options);
    await withKey.register(resendRoutes, { ...options, acceptance });
    await withKey.register(templateRoutes, options);
    await withKey.register(suppressionRoutes, options);
    await withKey.register(accountRoutes, options);
  });
  await app.ready();
  return app;
}

/** Fastify, with its defaults replaced where they are too trusting or do not speak problem+json. */
function createServer(options: AppOptions): FastifyInstance {
  const {
    logger,
    trustProxy,
    maxMessageBytes,
    freeBytes,
    requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS,
  } = options;
  const bodyLimit = maxMessageBytes + BODY_OVERHEAD_BYTES;
  const app = fastify({
    loggerInstance: logger,
    // One line a request is ours to write; a logger for each request would cost as much again.
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: (parent) => parent,
    genReqId: newRequestId,
    trustProxy: trustProxy.length > 0 && [...trustProxy],
    bodyLimit,
    requestTimeout: requestTimeoutMs,
    http: {
      headersTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(5000, Math.ceil(requestTimeoutMs / 4)),
      maxHeaderSize: MAX_HEADER_BYTES,
      // Refused by checkRequestHeads, as a problem.
      requireHostHeader: false,
    },
    routerOptions: {
      // The longest that fits in the headers: an id is unknown, however long it is.
      maxParamLength: MAX_HEADER_BYTES,
      // Clients join a base URL that ends in a slash with a path that begins with one.
      ignoreDuplicateSlashes: true,
      ignoreTrailingSlash: true,
    },
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => {
      observe(request, reply, logger);
      sendProblem(error, request, reply);
    },
    clientErrorHandler: (error, socket) => answerClientError(error, socket, logger),
  });
  // Other expectations than 100-continue may be ignored (RFC 9110, section 10.1.1); Node would answer 417 by itself.
  app.server.on('checkExpectation', (request, response) => app.routing(request, response));

  logRequests(app, logger);
  checkRequestHeads(app);
  app.setErrorHandler(sendProblem);
  readJsonBodies(
    app,
    createBodyCapacity(() => Math.max(freeBytes(), MIN_BODIES * bodyLimit)),
  );
  app.setValidatorCompiler<z.ZodType>(({ schema, httpPart }) => {
    // Headers are read by those who honour them, and documented only.
    if (httpPart === 'headers') return () => true;
    return (value) => ({ value: validate(schema, value, httpPart) });
  });
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  return app;
}

/** The OpenAPI document as YAML: what GET /openapi.yaml serves. */
export async function openApiDocument(version: string): Promise<string> {
  const unused = () => {
    throw new Error('The document is made without a service');
  };
  await using app = await buildApp({
    logger: pino({ level: 'silent' }),
    version,
    apiKeys: { keys: () => [] },
    rateLimit: { max: 1, windowMs: 1000 },
    rates: { keys: { spend: unused }, addresses: { spend: unused } },
    trustProxy: [],
    maxMessageBytes: 1,
    accounts: { defaultFrom: { email: '', name: null }, budget: unused, list: unused, verify: unused },
    durability: 'memory',
    intake: { accept: unused, check: unused, preview: unused },
    messages: { get: unused, list: unused, cancel: unused, retry: unused, reschedule: unused },
    templates: { list: unused, render: unused },
    toText: unused,
    suppressions: { get: unused, list: unused, enter: unused, remove: unused },
    waiters: { wait: unused },
    store: { get: unused, tombstone: unused, refusal: unused },
    freeBytes: unused,
    idempotency: { claim: unused, accept: unused, release: unused, markUnknown: unused },
    isDraining: unused,
  });
  return toYaml(app.swagger());
}
