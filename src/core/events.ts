import { EventEmitter } from 'node:events';
import type { Attempt, Delivery, DeliveryError } from './delivery/delivery.ts';
import type { Outcome } from './delivery/outcome.ts';
import type { Notice } from './ports/outbox.ts';
import type { WebhookResult } from './ports/webhook-sender.ts';

/** What happens inside, for whoever listens: logs, waiters. Listeners must not throw. */
export interface CoreEvents {
  /** An attempt ended. */
  'message.attempted': [delivery: Delivery, attempt: Attempt, outcome: Outcome];
  'message.deferred': [delivery: Delivery];
  'message.settled': [delivery: Delivery];
  /** `isNews`: it was not paused before, by any instance, or for another reason. */
  'account.paused': [user: string, error: DeliveryError, untilAt: number, isNews: boolean];
  'account.resumed': [user: string];
  /** Mail waits because the account has sent what it may in 24 h, or all but the reserve. */
  'account.short': [user: string, error: DeliveryError, untilAt: number];
  /** An endpoint was called. The notice is as it was before: `failures` of earlier calls. */
  'webhook.attempted': [notice: Notice, answer: WebhookResult];
  /** An endpoint will not be told of an event. */
  'webhook.dropped': [notice: Notice, reason: string];
  /** An endpoint wants no more: so many notices that waited for it are dropped. */
  'webhook.gone': [url: string, dropped: number];
  /** A lane met an error that is nobody's reply: a bug, or a store that cannot be reached. What it held is tried again. */
  'lane.failed': [id: string, error: unknown];
}

export type Events = EventEmitter<CoreEvents>;

export function createEvents(): Events {
  return new EventEmitter<CoreEvents>();
}
