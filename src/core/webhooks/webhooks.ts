import type { Delivery } from '../delivery/delivery.ts';
import { type TraceContext, traceIdOf } from '../delivery/trace-context.ts';
import { createId } from '../id.ts';
import type { EventPresenter } from '../ports/event-presenter.ts';
import {
  createWebhookDispatcher,
  type WebhookDispatcher,
  type WebhookDispatcherOptions,
} from './webhook-dispatcher.ts';

export interface WebhooksOptions extends WebhookDispatcherOptions {
  /** Returns the endpoints for the events of the messages of an API key. */
  readonly urlsFor: (owner: string) => readonly string[];
  /** Returns the endpoints for the events of accounts. */
  readonly accountUrls: () => readonly string[];
  readonly presenter: EventPresenter;
}

/** Notifies endpoints of events of messages and accounts. */
export type Webhooks = Pick<WebhookDispatcher, 'resetGone' | 'recover' | 'drain'>;

interface WebhookEvent {
  readonly type: string;
  /** The id of the message, or the account. */
  readonly about: string;
  /** Increases with each event of a message. */
  readonly sequence?: number;
  /** The trace of the message. */
  readonly trace?: TraceContext | null;
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
  const { events, urlsFor, accountUrls, presenter } = options;
  const dispatcher = createWebhookDispatcher(options);

  /** @param describe Called only if there is an endpoint to notify. */
  function notify(urls: readonly string[], describe: () => WebhookEvent) {
    const endpoints = [...new Set(urls)].filter((url) => !dispatcher.isGone(url));
    if (endpoints.length === 0) return;
    const createdAt = Date.now();
    const { type, about, sequence, trace, data } = describe();
    const timestamp = new Date(createdAt).toISOString();
    const body = JSON.stringify({ type, timestamp, sequence, trace_id: traceIdOf(trace), data });
    const eventId = createId('evt');
    for (const url of endpoints) {
      void dispatcher.enqueue({
        id: createId('ntc'),
        eventId,
        type,
        about,
        url,
        trace: trace ?? undefined,
        body,
        createdAt,
        dueAt: options.now(),
        failures: 0,
        retriedForMs: 0,
      });
    }
  }

  function notifyOfMessage(delivery: Delivery) {
    const { id, owner, status, revision, trace } = delivery;
    notify(urlsFor(owner), () => ({
      type: `message.${status}`,
      about: id,
      sequence: revision,
      trace,
      data: presenter.message(delivery),
    }));
  }

  function notifyOfAccount(type: string, user: string) {
    notify(accountUrls(), () => ({ type, about: user, data: presenter.account(user) }));
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
