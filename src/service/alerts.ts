import type { Logger } from 'pino';
import { toAlertBody } from '../adapters/webhook/alert-body.ts';
import { createWebhookSender } from '../adapters/webhook/webhook-sender.ts';
import type { Config } from '../config/config.ts';
import type { Accounts } from '../core/accounts/accounts.ts';
import { createAlertQueue } from '../core/alerts/alert-queue.ts';
import { newAlertState } from '../core/alerts/alert-state.ts';
import { createAlerts } from '../core/alerts/alerts.ts';
import { describeUnexpectedError } from '../core/errors.ts';
import type { Events } from '../core/events.ts';
import { createId } from '../core/id.ts';
import type { Backend } from '../core/ports/backend.ts';
import { MINUTE } from '../core/time.ts';

export interface AlertDeliveryOptions {
  readonly config: Pick<Config, 'alertWebhookUrl' | 'webhooks'>;
  readonly version: string;
  readonly logger: Logger;
  readonly backend: Pick<Backend, 'store' | 'sharedState'>;
  readonly events: Events;
  readonly accounts: Pick<Accounts, 'list'>;
  readonly backoffScale: number;
}

/** Delivers alerts to ALERT_WEBHOOK_URL. */
export interface AlertDelivery {
  /** Starts to check the queue and the quotas. */
  start(): void;
  /** Makes no more calls. Resolves when the call under way has ended. */
  drain(): Promise<void>;
  /** Aborts the call under way and closes connections. */
  close(): Promise<void>;
}

/** Returns null if ALERT_WEBHOOK_URL is not set. */
export async function openAlerts({
  config: { alertWebhookUrl: url, webhooks },
  version,
  logger,
  backend: { store, sharedState },
  events,
  accounts,
  backoffScale,
}: AlertDeliveryOptions): Promise<AlertDelivery | null> {
  if (url === null) return null;
  const endpoint = new URL(url).host;
  // Chats do not check signatures: their URL is the secret.
  const sender = createWebhookSender({ secretsOf: () => [], allowedHosts: webhooks.allowedHosts, version });
  const queue = createAlertQueue({
    post: (alert) =>
      sender.post({ url, key: null, id: createId('evt'), sentAt: Date.now(), body: toAlertBody(alert, url) }),
    onFailed: ({ title }, reason, attempt) =>
      logger.warn({ endpoint, alert: title, reason, attempt }, 'alert failed'),
    onDropped: ({ title }, reason) => logger.error({ endpoint, alert: title, reason }, 'alert dropped'),
    backoffScale,
    random: Math.random,
  });
  const alerts = createAlerts({
    events,
    state: await sharedState.open('alerts', newAlertState),
    now: sharedState.now,
    listAccounts: accounts.list,
    readOldestDueAt: async () => (await store.stats(null, Date.now())).oldestDueAt,
    send: queue.add,
    onError: (error) => logger.error({ err: describeUnexpectedError(error) }, 'alert could not be composed'),
    checkEveryMs: MINUTE * backoffScale,
  });
  return {
    start: alerts.start,
    drain() {
      alerts.stop();
      return queue.drain();
    },
    close: sender.close,
  };
}
