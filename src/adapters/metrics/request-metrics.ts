import type { Registry } from 'prom-client';
import { KNOWN_METHODS } from '../../core/known-methods.ts';
import type { EndedRequest } from '../../core/ports/metrics.ts';
import { addHistogram } from './plain-metrics.ts';

/** https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpserverrequestduration */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const OTHER_METHOD = '_OTHER';

/**
 * Measures HTTP requests as the semantic conventions of OpenTelemetry define it. Requests without a
 * route share an empty label, as do requests without a response.
 */
export function createRequestMetrics(registry: Registry): (request: EndedRequest) => void {
  const duration = addHistogram(registry, {
    name: 'http_server_request_duration_seconds',
    help: 'Time from the head of an HTTP request to the end of its response.',
    labelNames: ['http_request_method', 'http_route', 'http_response_status_code'],
    buckets: BUCKETS,
  });
  return ({ method, route, status, durationMs }) => {
    const series = duration.at(KNOWN_METHODS.has(method) ? method : OTHER_METHOD, route, status);
    series.observe(durationMs / 1000);
  };
}
