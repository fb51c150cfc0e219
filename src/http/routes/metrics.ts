import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import type { Metrics } from '../../core/ports/metrics.ts';
import { type Authenticate, requireScope, requireUncountedKey } from '../request/auth.ts';
import type { RateLimits } from '../request/rate-limit.ts';
import { publicResponses, success } from '../schemas/responses.ts';

export interface MetricsOptions {
  readonly metrics: Pick<Metrics, 'contentType' | 'read'>;
  /** Whether no key is needed. */
  readonly isOpen: boolean;
}

/** GET /metrics: counts and measures for a monitoring system. */
export const metricsRoutes: FastifyPluginAsyncZod<
  MetricsOptions & { readonly authenticate: Authenticate; readonly limits: RateLimits }
> = async (app, { metrics, isOpen, authenticate, limits }) => {
  app.addHook('onRoute', requireScope);
  if (!isOpen) app.addHook('onRequest', requireUncountedKey(authenticate, limits));

  app.get(
    '/metrics',
    {
      config: { scope: 'metrics' },
      schema: {
        operationId: 'getMetrics',
        tags: ['metrics'],
        summary: 'Read metrics',
        description: `Returns metrics in the text format of Prometheus. Needs a key with the scope
\`metrics\`, unless the operator has set METRICS to \`open\`. Does not count against the rate limit of
the key. METRICS_PORT moves it to a port of its own; METRICS=off removes it.

Succeeds within 2 seconds while the queue backend is unavailable: \`outtray_backend_up\` is 0, and the
metrics of the queue and the accounts are absent.`,
        ...(isOpen && { security: [] }),
        response: publicResponses({ 200: success('The metrics.', z.string(), { type: 'text/plain' }) }, [
          'invalid_json',
          'missing_api_key',
          'invalid_api_key',
          'insufficient_scope',
          'rate_limited',
        ]),
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.read()),
  );
};
