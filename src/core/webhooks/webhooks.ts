import { createNotices, type Notices, type NoticesOptions } from './notices.ts';
import {
  createWebhookDispatcher,
  type WebhookDispatcher,
  type WebhookDispatcherOptions,
} from './webhook-dispatcher.ts';

export interface WebhooksOptions extends WebhookDispatcherOptions, Omit<NoticesOptions, 'isGone'> {}

/** Notifies endpoints of events of messages and accounts. */
export interface Webhooks extends Pick<WebhookDispatcher, 'serve' | 'resetGone' | 'recover' | 'drain'> {
  /**
   * Creates the notices of changes. They are stored with the change that they report, so that an
   * event is lost only if the change is.
   */
  readonly notices: Notices;
}

export function createWebhooks(options: WebhooksOptions): Webhooks {
  const { isGone, ...dispatcher } = createWebhookDispatcher(options);
  return { ...dispatcher, notices: createNotices({ ...options, isGone }) };
}
