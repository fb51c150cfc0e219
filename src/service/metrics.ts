import type { SharedMetrics } from '../adapters/metrics/state-metrics.ts';
import type { Config } from '../config/config.ts';
import type { Accounts } from '../core/accounts/accounts.ts';
import type { ApiKeys } from '../core/auth/api-keys.ts';
import { hasScope } from '../core/auth/caller.ts';
import type { Events } from '../core/events.ts';
import type { Backend } from '../core/ports/backend.ts';
import type { Metrics } from '../core/ports/metrics.ts';

export interface MetricsSetup {
  readonly config: Config;
  readonly version: string;
  readonly backend: Pick<Backend, 'store'>;
  readonly events: Events;
  readonly apiKeys: Pick<ApiKeys, 'keys'>;
  readonly accounts: Pick<Accounts, 'list' | 'users'>;
}

/** Starts to count. Returns null if METRICS is off, without loading what metrics need. */
export async function openMetrics(setup: MetricsSetup): Promise<Metrics | null> {
  const { config, version, backend, events, apiKeys, accounts } = setup;
  if (config.metrics.access === 'off') return null;
  const { createMetrics } = await import('../adapters/metrics/metrics.ts');
  return createMetrics({
    version,
    events,
    keys: () =>
      apiKeys
        .keys()
        .filter((key) => hasScope(key, 'send'))
        .map(({ name }) => name),
    accounts: accounts.users,
    readShared: () => readShared(setup),
    isBackendUp: () => backend.store.refusalCode() !== 'queue_unavailable',
  });
}

async function readShared({ config, backend, accounts }: MetricsSetup): Promise<SharedMetrics> {
  const { maxMessages, maxBytes } = config.queue;
  const [{ byStatus, oldestDueAt }, statuses] = await Promise.all([
    backend.store.stats(null, Date.now()),
    accounts.list(),
  ]);
  const bytes = maxBytes - backend.store.freeBytes();
  return { queue: { byStatus, oldestDueAt, bytes, maxMessages, maxBytes }, accounts: statuses };
}
