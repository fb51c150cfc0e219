import { type FastifyBaseLogger, type FastifyInstance, fastify, LogController } from 'fastify';
import type { z } from 'zod';
import type { DeliveryStore } from '../core/ports/delivery-store.ts';
import type { RequestTracer } from '../core/ports/request-tracer.ts';
import { createErrorHandler, type ErrorPresenter } from './errors/error-handler.ts';
import { type CountRequest, logRequests, observeRequest } from './request/access-log.ts';
import { createBodyCapacity } from './request/body/body-capacity.ts';
import { readJsonBodies } from './request/body/read-body.ts';
import { createClientErrorHandler } from './request/client-error.ts';
import { newRequestId } from './request/request-context.ts';
import { checkRequestHeads } from './request/request-head.ts';
import { createRequestPacer } from './request/request-pacer.ts';
import { traceRequests } from './request/request-spans.ts';
import { validate } from './validation/validation.ts';

export interface ServerOptions {
  readonly logger: FastifyBaseLogger;
  /** Addresses and CIDRs of proxies whose X-Forwarded-For is trusted. */
  readonly trustProxy: readonly string[];
  /** Maximum size of an encoded message, in bytes. */
  readonly maxMessageBytes: number;
  /** Bytes of QUEUE_MAX_BYTES that are free for request bodies. */
  readonly freeBytes: DeliveryStore['freeBytes'];
  /** Whether mail is being sent, which requests must not starve. */
  readonly isSending: () => boolean;
  /** How long the headers and the body of a request may take to arrive, in ms. */
  readonly requestTimeoutMs?: number;
  /** Counts each request for metrics. */
  readonly countRequest?: CountRequest | undefined;
  /** Records requests as spans. Null: nothing does. */
  readonly tracer?: RequestTracer | null;
}

const DEFAULT_REQUEST_TIMEOUT_MS = 60_000;
/** Bytes that JSON adds to a message of the maximum size. */
const BODY_OVERHEAD_BYTES = 1024 * 1024;
/**
 * Bodies of maximum size that always fit into memory, from two API keys, however full the queue or
 * small QUEUE_MAX_BYTES.
 */
const MIN_BODIES = 2;
const MAX_HEADER_BYTES = 16 * 1024;

/**
 * Creates the Fastify instance. Replaces the defaults that are too lenient or do not produce our
 * errors.
 */
export function createServer(options: ServerOptions, presentError: ErrorPresenter): FastifyInstance {
  const { logger, trustProxy, freeBytes, requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS } = options;
  const { countRequest = () => {} } = options;
  const bodyLimit = options.maxMessageBytes + BODY_OVERHEAD_BYTES;
  const handleError = createErrorHandler(presentError);
  const app = fastify({
    loggerInstance: withoutInfo(logger),
    // `logRequests` writes one line per request. A child logger for each would double the cost.
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
      // `checkRequestHeads` refuses it with a problem.
      requireHostHeader: false,
    },
    routerOptions: {
      // The longest that fits into the headers. A longer id is unknown, not an error of its own.
      maxParamLength: MAX_HEADER_BYTES,
      // Clients join a base URL that ends with a slash and a path that begins with one.
      ignoreDuplicateSlashes: true,
      ignoreTrailingSlash: true,
    },
    return503OnClosing: false,
    // Replaced below. Fastify's own load 100 modules at startup.
    schemaController: { compilersFactory: { buildValidator: replaced, buildSerializer: replaced } },
    frameworkErrors: (error, request, reply) => {
      observeRequest(request, reply, logger, countRequest);
      handleError(error, request, reply);
    },
    clientErrorHandler: createClientErrorHandler(presentError, logger),
  });
  // Expectations other than 100-continue may be ignored (RFC 9110, section 10.1.1). Node would
  // respond 417.
  app.server.on('checkExpectation', (request, response) => app.routing(request, response));

  // First, so that a request is also logged if it ends before it begins.
  logRequests(app, logger, countRequest);
  const pace = createRequestPacer(options.isSending);
  app.addHook('onRequest', (_request, _reply, done) => pace(done));
  if (options.tracer) traceRequests(app, options.tracer);
  checkRequestHeads(app);
  app.setErrorHandler(handleError);
  readJsonBodies(
    app,
    createBodyCapacity(() => Math.max(freeBytes(), MIN_BODIES * bodyLimit)),
  );
  app.setValidatorCompiler<z.ZodType>(({ schema, httpPart }) => {
    // The schemas of headers are documentation only: the code that uses a header parses it.
    if (httpPart === 'headers') return () => true;
    return (value) => ({ value: validate(schema, value, httpPart) });
  });
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  return app;
}

/**
 * Returns the logger of Fastify. Its only info line repeats the address that the service logs when
 * it listens.
 */
function withoutInfo(logger: FastifyBaseLogger): FastifyBaseLogger {
  const level = ['trace', 'debug', 'info'].includes(logger.level) ? 'warn' : logger.level;
  return logger.child({}, { level });
}

function replaced(): never {
  throw new Error('the compilers of the app are set when it is created');
}
