import { type Delivery, isAmended, isSettled } from './delivery/delivery.ts';
import type { FollowUp } from './delivery/follow-up.ts';
import type { Events } from './events.ts';
import type { DeliveryChange, QueueEffect } from './ports/delivery-store.ts';
import type { Notice } from './ports/outbox.ts';

/**
 * Plans the changes of deliveries and announces them. Every change is made here, so none can be
 * stored without the notices that its event requires.
 */
export interface DeliveryChanges {
  /**
   * Returns a change with the notices to store with it.
   *
   * @param followUp the mail that the change records
   */
  plan(from: Delivery, to: Delivery, effect: QueueEffect | null, followUp?: FollowUp): DeliveryChange;
  /** Emits the event of a change, if it has one. Called once the change is stored. */
  announce(change: DeliveryChange): void;
}

export interface DeliveryChangesDeps {
  readonly events: Events;
  /**
   * Returns a notice for each endpoint to notify of a delivery: it has settled, was deferred, or a
   * mail followed it.
   */
  readonly noticesOf: (delivery: Delivery, followUp?: FollowUp) => readonly Notice[];
}

const NONE: readonly Notice[] = [];

export function createDeliveryChanges({ events, noticesOf }: DeliveryChangesDeps): DeliveryChanges {
  return {
    plan(from, to, effect, followUp) {
      if (followUp) return { from, to, effect, notices: noticesOf(to, followUp), followUp };
      return { from, to, effect, notices: eventOf(from, to) === null ? NONE : noticesOf(to) };
    },
    announce({ from, to, followUp, lookupResult }) {
      if (lookupResult) events.emit('message.looked_up', from, lookupResult);
      if (followUp) events.emit('message.followed_up', to, followUp);
      const event = eventOf(from, to);
      if (event !== null) events.emit(event, to);
    },
  };
}

/** Returns the event of a new status, or null. */
function eventOf(from: Delivery, to: Delivery): 'message.settled' | 'message.deferred' | null {
  if (isAmended(from, to)) return null;
  if (isSettled(to.status)) return 'message.settled';
  if (to.status !== 'deferred') return null;
  // A message that keeps waiting for the same reason is reported once.
  return from.status === 'deferred' && from.error?.code === to.error?.code ? null : 'message.deferred';
}
