import { type Delivery, isSettled } from './delivery/delivery.ts';
import type { Events } from './events.ts';
import type { DeliveryChange, QueueEffect } from './ports/delivery-store.ts';
import type { Notice } from './ports/outbox.ts';

/**
 * Plans the changes of deliveries and announces them. Every change is made here, so none can be
 * stored without the notices that its event requires.
 */
export interface DeliveryChanges {
  /** Returns a change with the notices to store with it. */
  plan(from: Delivery, to: Delivery, effect: QueueEffect | null): DeliveryChange;
  /** Emits the event of a change, if it has one. Called once the change is stored. */
  announce(change: DeliveryChange): void;
}

export interface DeliveryChangesDeps {
  readonly events: Events;
  /** Returns a notice for each endpoint to notify of this settled or deferred delivery. */
  readonly noticesOf: (delivery: Delivery) => readonly Notice[];
}

const NONE: readonly Notice[] = [];

export function createDeliveryChanges({ events, noticesOf }: DeliveryChangesDeps): DeliveryChanges {
  return {
    plan(from, to, effect) {
      return { from, to, effect, notices: eventOf(from, to) === null ? NONE : noticesOf(to) };
    },
    announce({ from, to }) {
      const event = eventOf(from, to);
      if (event !== null) events.emit(event, to);
    },
  };
}

/** Returns the event that a change is, or null. */
function eventOf(from: Delivery, to: Delivery): 'message.settled' | 'message.deferred' | null {
  if (isSettled(to.status)) return from.status === to.status ? null : 'message.settled';
  if (to.status !== 'deferred') return null;
  // A message that keeps waiting for the same reason is reported once.
  return from.status === 'deferred' && from.error?.code === to.error?.code ? null : 'message.deferred';
}
