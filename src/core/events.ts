import { EventEmitter } from 'node:events';
import type { Attempt, Delivery, DeliveryError } from './delivery/delivery.ts';
import type { BouncedRecipient, FollowUp } from './delivery/follow-up.ts';
import type { LookupResult } from './delivery/lookup.ts';
import type { Outcome } from './delivery/outcome.ts';
import type { MailReason } from './inbound/decision.ts';
import type { MailboxFault, SentResult } from './ports/mailbox.ts';
import type { Notice } from './ports/outbox.ts';
import type { SentMail } from './ports/sent-index.ts';
import type { WebhookResult } from './ports/webhook-sender.ts';

/**
 * Internal events, for the log, metrics, waiters, webhooks and suppressions. Listeners must not throw.
 */
export interface CoreEvents {
  /** A message was accepted and stored. */
  'message.accepted': [delivery: Delivery];
  /** An attempt ended. */
  'message.attempted': [delivery: Delivery, attempt: Attempt, outcome: Outcome];
  /** Sent Mail was searched for a message. The delivery is as before the search. */
  'message.searched': [delivery: Delivery, result: SentResult];
  /** The search for a message has ended. The delivery is as before that. */
  'message.looked_up': [delivery: Delivery, result: LookupResult];
  'message.deferred': [delivery: Delivery];
  'message.settled': [delivery: Delivery];
  /** A mail followed a settled message into the inbox of its account. */
  'message.followed_up': [delivery: Delivery, followUp: FollowUp];
  /** Recipients of a message bounced that is no longer stored. */
  'message.bounced_late': [mail: SentMail, recipients: readonly BouncedRecipient[]];
  /** This instance reads the inbox of an account: for the first time, or again after a fault. */
  'inbox.watched': [user: string];
  /** The inbox of an account cannot be read. Not repeated while the code stays the same. */
  'inbox.failed': [user: string, fault: MailboxFault];
  /** A report or a reply in the inbox of an account changed nothing. */
  'inbox.ignored': [user: string, reason: MailReason];
  /** `isNews`: no instance had paused it before for the same reason. */
  'account.paused': [user: string, error: DeliveryError, untilAt: number, isNews: boolean];
  'account.resumed': [user: string];
  /** Mail waits because the account has used its quota of 24 h, or all of it but the reserve. */
  'account.short': [user: string, error: DeliveryError, untilAt: number];
  /** A From domain nears the number of messages in 24 h from which Gmail's bulk rules apply. */
  'domain.near_bulk': [domain: string, messages: number];
  /** An endpoint was called. The notice is as before the call: `failures` counts earlier calls. */
  'webhook.attempted': [notice: Notice, result: WebhookResult];
  /** A notice was given up without being delivered. */
  'webhook.dropped': [notice: Notice, reason: string];
  /** An endpoint responded 410 Gone. `dropped` counts the notices dropped with it. */
  'webhook.gone': [url: string, dropped: number];
  /**
   * A queue worker failed with an unexpected error: a bug, or an unavailable store. The id it held
   * is tried again. The id is empty if the worker failed to take one.
   */
  'worker.failed': [id: string, error: unknown];
}

/** The events of accounts that webhooks report. */
export type AccountEvent = 'account.paused' | 'account.resumed';

export type Events = EventEmitter<CoreEvents>;

export function createEvents(): Events {
  // Each account adds a listener.
  return new EventEmitter<CoreEvents>().setMaxListeners(0);
}
