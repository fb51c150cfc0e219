import type { Tracing } from '../adapters/tracing/tracing.ts';
import { createWebhookSender } from '../adapters/webhook/webhook-sender.ts';
import type { Config } from '../config/config.ts';
import type { ApiKeys } from '../core/auth/api-keys.ts';
import type { ApiKey } from '../core/auth/caller.ts';
import type { Events } from '../core/events.ts';
import type { Backend } from '../core/ports/backend.ts';
import type { RateCounters } from '../core/ports/rate-counter.ts';
import { createEndpointTests, type EndpointTests } from '../core/webhooks/endpoint-tests.ts';
import type { Endpoint } from '../core/webhooks/notices.ts';
import { createWebhookDeliveries, type WebhookDeliveries } from '../core/webhooks/webhook-deliveries.ts';
import { createWebhooks, type Webhooks } from '../core/webhooks/webhooks.ts';
import { createEventPresenter } from '../http/presenters/event-presenter.ts';

export interface WebhookDeliveryOptions {
  readonly config: Pick<Config, 'webhooks'>;
  readonly version: string;
  readonly backend: Backend;
  readonly events: Events;
  readonly apiKeys: Pick<ApiKeys, 'get' | 'keys'>;
  readonly rates: RateCounters;
  /** Null: nothing records spans. */
  readonly tracing: Pick<Tracing, 'traceCalls'> | null;
  readonly backoffScale: number;
}

/** Delivers events to WEBHOOK_URL and to the `webhook_url` of API keys. */
export interface WebhookDelivery extends Pick<Webhooks, 'notices'> {
  readonly endpointTests: EndpointTests;
  readonly deliveries: WebhookDeliveries;
  /** Calls WEBHOOK_URL and the endpoints of these keys, too. */
  serve(keys: readonly ApiKey[]): void;
  /** Resumes the notices that the outbox holds for WEBHOOK_URL and the endpoints of these keys. */
  recover(keys: readonly ApiKey[]): Promise<void>;
  /** Lets endpoints that responded 410 Gone receive new notices again. */
  resetGone(): void;
  /** Makes no more calls. Resolves when the calls under way have ended. */
  drain(): Promise<void>;
  /** Aborts the calls under way and closes connections. */
  close(): Promise<void>;
}

export function openWebhookDelivery({
  config,
  version,
  backend: { queue, outbox, sharedState, durability },
  events,
  apiKeys,
  rates,
  tracing,
  backoffScale,
}: WebhookDeliveryOptions): WebhookDelivery {
  const { url, secrets, allowedHosts } = config.webhooks;
  const secretsOf = (name: string | null) => {
    const key = name === null ? null : apiKeys.get(name);
    return name !== null && key === null ? null : (key?.webhookSecrets ?? secrets);
  };
  const untraced = createWebhookSender({ secretsOf, allowedHosts, version });
  const sender = tracing?.traceCalls(untraced) ?? untraced;
  const webhooks = createWebhooks({
    queue,
    outbox,
    sender,
    events,
    endpointsFor: (owner) => endpointsOf(url, apiKeys.get(owner)),
    accountEndpoints: () => endpointsOf(url, null),
    presenter: createEventPresenter(durability),
    now: sharedState.now,
    backoffScale,
    random: Math.random,
  });
  const allOf = (keys: readonly ApiKey[]) => [null, ...keys].flatMap((key) => endpointsOf(url, key));
  const endpoints = () => allOf(apiKeys.keys());
  const urlsOf = (keys: readonly ApiKey[]) => allOf(keys).map((endpoint) => endpoint.url);
  return {
    ...webhooks,
    deliveries: createWebhookDeliveries({ outbox, queue, endpoints, now: sharedState.now }),
    endpointTests: createEndpointTests({
      endpoints,
      sender,
      counter: rates.keys,
      onDelivered: webhooks.resetGone,
    }),
    serve: (keys) => webhooks.serve(urlsOf(keys)),
    recover: (keys) => webhooks.recover(urlsOf(keys)),
    close: sender.close,
  };
}

/** @param webhookUrl WEBHOOK_URL. If a key has the same, it is called once, as the key's. */
function endpointsOf(webhookUrl: string | null, key: ApiKey | null): Endpoint[] {
  const own = key === null || key.webhookUrl === null ? [] : [{ url: key.webhookUrl, key: key.name }];
  return webhookUrl === null || webhookUrl === key?.webhookUrl ? own : [{ url: webhookUrl }, ...own];
}
