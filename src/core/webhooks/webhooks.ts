import type { Delivery } from '../delivery/delivery.ts';
import type { DeliveryStore } from '../ports/delivery-store.ts';
import type { Notice } from '../ports/outbox.ts';
import { createNotices, type NoticesOptions } from './notices.ts';
import {
  createWebhookDispatcher,
  OUTBOX_FULL,
  type WebhookDispatcher,
  type WebhookDispatcherOptions,
} from './webhook-dispatcher.ts';

export interface WebhooksOptions extends WebhookDispatcherOptions, Omit<NoticesOptions, 'isGone'> {
  readonly store: Pick<DeliveryStore, 'onNoticeDropped'>;
}

/** Notifies endpoints of events of messages and accounts. */
export interface Webhooks extends Pick<WebhookDispatcher, 'serve' | 'resetGone' | 'recover' | 'drain'> {
  /**
   * Returns the notices of a message that settles or is deferred. They are stored with its change,
   * so that an event is lost only if the change is.
   */
  noticesOf(delivery: Delivery): readonly Notice[];
}

/** Events of accounts are stored when they are emitted. */
export function createWebhooks(options: WebhooksOptions): Webhooks {
  const { events, store } = options;
  const { isGone, enqueue, serve, resetGone, recover, drain } = createWebhookDispatcher(options);
  const notices = createNotices({ ...options, isGone });

  function notifyOfAccount(type: 'account.paused' | 'account.resumed', user: string) {
    for (const notice of notices.ofAccount(type, user)) void enqueue(notice);
  }

  events.on('account.paused', (user, _error, _untilAt, isNews) => {
    if (isNews) notifyOfAccount('account.paused', user);
  });
  events.on('account.resumed', (user) => notifyOfAccount('account.resumed', user));
  store.onNoticeDropped((notice) => events.emit('webhook.dropped', notice, OUTBOX_FULL));
  return { noticesOf: notices.ofMessage, serve, resetGone, recover, drain };
}
