import type { Delivery } from '../delivery/delivery.ts';
import { createId } from '../id.ts';
import type { EventPresenter } from '../ports/event-presenter.ts';
import {
  createWebhookDispatcher,
  type WebhookDispatcher,
  type WebhookDispatcherOptions,
} from './webhook-dispatcher.ts';

export interface WebhooksOptions extends WebhookDispatcherOptions {
  /** Where the events of this key's messages go. */
  readonly urlsFor: (owner: string) => readonly string[];
  /** Where the events of accounts go. */
  readonly accountUrls: () => readonly string[];
  readonly presenter: EventPresenter;
}

/** Tells endpoints what becomes of messages and accounts. */
export type Webhooks = Pick<WebhookDispatcher, 'forgetGone' | 'recover' | 'drain'>;

interface Happening {
  readonly type: string;
  readonly about: string;
  /** Grows with each event of a message. */
  readonly sequence?: number;
  readonly data: unknown;
}

/**
 * Listens, and makes one notice for each endpoint of what it hears:
 *
 *     {"type": "message.sent", "timestamp": "2026-11-22T09:00:00.000Z", "sequence": 4, "data": {…}}
 *
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#payload-structure
 */
export function createWebhooks(options: WebhooksOptions): Webhooks {
  const { events, urlsFor, accountUrls, presenter } = options;
  const notifier = createWebhookDispatcher(options);

  /** @param describe called only if there is somebody to tell */
  function announce(urls: readonly string[], describe: () => Happening) {
    const endpoints = [...new Set(urls)].filter((url) => !notifier.isGone(url));
    if (endpoints.length === 0) return;
    const createdAt = Date.now();
    const { type, about, sequence, data } = describe();
    const body = JSON.stringify({ type, timestamp: new Date(createdAt).toISOString(), sequence, data });
    const eventId = createId('evt');
    for (const url of endpoints) {
      void notifier.tell({
        id: createId('ntc'),
        eventId,
        type,
        about,
        url,
        body,
        createdAt,
        dueAt: options.now(),
        failures: 0,
        retriedForMs: 0,
      });
    }
  }

  function announceMessage(delivery: Delivery) {
    const { id, owner, status, revision } = delivery;
    announce(urlsFor(owner), () => ({
      type: `message.${status}`,
      about: id,
      sequence: revision,
      data: presenter.message(delivery),
    }));
  }

  function announceAccount(type: string, user: string) {
    announce(accountUrls(), () => ({ type, about: user, data: presenter.account(user) }));
  }

  events.on('message.settled', announceMessage);
  events.on('message.deferred', announceMessage);
  events.on('account.paused', (user, _error, _untilAt, isNews) => {
    if (isNews) announceAccount('account.paused', user);
  });
  events.on('account.resumed', (user) => announceAccount('account.resumed', user));
  const { forgetGone, recover, drain } = notifier;
  return { forgetGone, recover, drain };
}
