import type { Tracing } from '../adapters/tracing/tracing.ts';
import { createWebhookSender } from '../adapters/webhook/webhook-sender.ts';
import type { Config } from '../config/config.ts';
import type { Accounts } from '../core/accounts/accounts.ts';
import type { ApiKeys } from '../core/auth/api-keys.ts';
import type { ApiKey } from '../core/auth/caller.ts';
import type { Events } from '../core/events.ts';
import type { Backend } from '../core/ports/backend.ts';
import { createWebhooks } from '../core/webhooks/webhooks.ts';
import { createEventPresenter } from '../http/presenters/event-presenter.ts';

export interface WebhookDeliveryOptions {
  readonly config: Pick<Config, 'webhooks'>;
  readonly version: string;
  readonly backend: Backend;
  readonly events: Events;
  readonly apiKeys: Pick<ApiKeys, 'get'>;
  readonly accounts: Pick<Accounts, 'status'>;
  /** Null: nothing records spans. */
  readonly tracing: Pick<Tracing, 'traceCalls'> | null;
  readonly backoffScale: number;
}

/** Delivers events to WEBHOOK_URL and to the `webhook_url` of API keys. */
export interface WebhookDelivery {
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
  accounts,
  tracing,
  backoffScale,
}: WebhookDeliveryOptions): WebhookDelivery {
  const { url } = config.webhooks;
  const urlsOf = (key: ApiKey | null) =>
    [url, key?.webhookUrl].filter((endpoint) => typeof endpoint === 'string');
  const untraced = createWebhookSender({ ...config.webhooks, version });
  const sender = tracing?.traceCalls(untraced) ?? untraced;
  const { recover, resetGone, drain } = createWebhooks({
    queue,
    outbox,
    sender,
    events,
    urlsFor: (owner) => urlsOf(apiKeys.get(owner)),
    accountUrls: () => urlsOf(null),
    presenter: createEventPresenter(accounts, durability),
    now: sharedState.now,
    backoffScale,
    random: Math.random,
  });
  return {
    recover: (keys) => recover([null, ...keys].flatMap(urlsOf)),
    resetGone,
    drain,
    close: sender.close,
  };
}
