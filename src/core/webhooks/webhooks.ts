import type { Delivery } from '../delivery/delivery.ts';
import { createId } from '../id.ts';
import type { EventPresenter } from '../ports/event-presenter.ts';
import type { Notice } from '../ports/outbox.ts';
import {
  createWebhookDispatcher,
  type WebhookDispatcher,
  type WebhookDispatcherOptions,
} from './webhook-dispatcher.ts';

export interface WebhooksOptions extends WebhookDispatcherOptions {
  /** Returns the endpoints for the events of the messages of an API key, each URL once. */
  readonly endpointsFor: (owner: string) => readonly Endpoint[];
  /** Returns the endpoints for the events of accounts. */
  readonly accountEndpoints: () => readonly Endpoint[];
  readonly presenter: EventPresenter;
}

/** Notifies endpoints of events of messages and accounts. */
export type Webhooks = Pick<WebhookDispatcher, 'resetGone' | 'recover' | 'drain'>;

/** Where events are sent. `key`: the API key whose `webhook_url` it is; missing for WEBHOOK_URL. */
export type Endpoint = Pick<Notice, 'url' | 'key'>;

interface WebhookEvent {
  readonly type: string;
  /** The id of the message, or the account. */
  readonly about: string;
  /** Increases with each event of a message. */
  readonly sequence?: number;
  readonly data: unknown;
}

/**
 * Listens to internal events and enqueues a notice of each for every endpoint:
 *
 *     {"type": "message.sent", "timestamp": "2026-11-22T09:00:00.000Z", "sequence": 4, "data": {…}}
 *
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#payload-structure
 */
export function createWebhooks(options: WebhooksOptions): Webhooks {
  const { events, endpointsFor, accountEndpoints, presenter } = options;
  const dispatcher = createWebhookDispatcher(options);

  /** @param describe Called only if there is an endpoint to notify. */
  function notify(all: readonly Endpoint[], describe: () => WebhookEvent) {
    const endpoints = all.filter(({ url }) => !dispatcher.isGone(url));
    if (endpoints.length === 0) return;
    const createdAt = Date.now();
    const { type, about, sequence, data } = describe();
    const body = JSON.stringify({ type, timestamp: new Date(createdAt).toISOString(), sequence, data });
    const eventId = createId('evt');
    for (const endpoint of endpoints) {
      void dispatcher.enqueue({
        id: createId('ntc'),
        eventId,
        type,
        about,
        ...endpoint,
        body,
        createdAt,
        dueAt: options.now(),
        failures: 0,
        retriedForMs: 0,
      });
    }
  }

  function notifyOfMessage(delivery: Delivery) {
    const { id, owner, status, revision } = delivery;
    notify(endpointsFor(owner), () => ({
      type: `message.${status}`,
      about: id,
      sequence: revision,
      data: presenter.message(delivery),
    }));
  }

  function notifyOfAccount(type: string, user: string) {
    notify(accountEndpoints(), () => ({ type, about: user, data: presenter.account(user) }));
  }

  events.on('message.settled', notifyOfMessage);
  events.on('message.deferred', notifyOfMessage);
  events.on('account.paused', (user, _error, _untilAt, isNews) => {
    if (isNews) notifyOfAccount('account.paused', user);
  });
  events.on('account.resumed', (user) => notifyOfAccount('account.resumed', user));
  const { resetGone, recover, drain } = dispatcher;
  return { resetGone, recover, drain };
}
