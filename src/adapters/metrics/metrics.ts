import { setTimeout as sleep } from 'node:timers/promises';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Events } from '../../core/events.ts';
import type { Metrics } from '../../core/ports/metrics.ts';
import { countEvents, type EventMetricsOptions } from './event-metrics.ts';
import { createRequestMetrics } from './request-metrics.ts';
import { shareRuns } from './share-runs.ts';
import { type SharedMetrics, toStateRegistry } from './state-metrics.ts';

/** Maximum time that the backend has to return the shared state, in ms. */
const READ_WITHIN_MS = 1500;
/** Minimum interval between two scrapes, in ms, so that a faulty scraper costs little. */
const INTERVAL_MS = 100;

export interface MetricsOptions extends EventMetricsOptions {
  readonly version: string;
  readonly events: Events;
  /** Reads the shared state from the backend. */
  readonly readShared: () => Promise<SharedMetrics>;
  /** Whether the backend takes messages, as far as is known without asking it. */
  readonly isBackendUp: () => boolean;
}

/** Creates metrics in the text format of Prometheus. */
export function createMetrics(options: MetricsOptions): Metrics {
  const { version, events, readShared, isBackendUp } = options;
  const registry = new Registry();
  new Gauge({
    name: 'outtray_build_info',
    help: 'Version of Outtray. The value is always 1.',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version }, 1);
  countEvents(events, registry, options);
  const node = nodeRegistry();
  const countRequest = createRequestMetrics(registry);
  // A read that hangs is not started again.
  const readOnce = shareRuns(() => readShared().catch(() => null));

  async function render(): Promise<string> {
    const state = await resultWithin(readOnce(), READ_WITHIN_MS);
    const registries = [toStateRegistry(state, isBackendUp()), registry, node];
    return Registry.merge(registries).metrics();
  }

  return {
    contentType: Registry.PROMETHEUS_CONTENT_TYPE,
    countRequest,
    read: shareRuns(render, INTERVAL_MS),
  };
}

/** Gauges with the name of a counter, which `promtool check metrics` refuses. Others have their parts. */
const MISNAMED = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

let nodeMetrics: Registry | undefined;

/** Returns the metrics of Node. There is one set for the whole process. */
function nodeRegistry(): Registry {
  if (nodeMetrics === undefined) {
    nodeMetrics = new Registry();
    collectDefaultMetrics({ register: nodeMetrics });
    for (const name of MISNAMED) nodeMetrics.removeSingleMetric(name);
  }
  return nodeMetrics;
}

/** Returns the result, or null if it takes longer than `ms`. */
async function resultWithin<Result>(result: Promise<Result>, ms: number): Promise<Result | null> {
  const timer = new AbortController();
  const late = sleep(ms, null, { signal: timer.signal }).catch(() => null);
  try {
    return await Promise.race([result, late]);
  } finally {
    timer.abort();
  }
}
