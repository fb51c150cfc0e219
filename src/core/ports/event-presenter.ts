import type { Delivery } from '../delivery/delivery.ts';

/**
 * Maps the subject of an event to its public JSON, which `http` defines. A notice stores the body at the time of the event, so core needs the
 * JSON then: a port lets it ask for it without knowing the wire format.
 */
export interface EventPresenter {
  /** Returns the message resource of a delivery. */
  message(delivery: Delivery): unknown;
  /** Returns the resource of an account in its current state. */
  account(user: string): unknown;
}
