import type { AccountStatus } from '../accounts/account-status.ts';
import type { Delivery } from '../delivery/delivery.ts';
import type { FollowUp } from '../delivery/follow-up.ts';

/**
 * Presents the subject of an event as the public JSON that `http` defines. It is a port because
 * core stores the body of a notice at the time of the event, and must not know the wire format.
 */
export interface EventPresenter {
  /** Returns the message resource of a delivery. */
  message(delivery: Delivery): unknown;
  /** Returns what is public of a mail that followed a message. */
  followUp(followUp: FollowUp): unknown;
  /** Returns the account resource of a status. */
  account(status: AccountStatus): unknown;
}
