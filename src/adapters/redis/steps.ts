import type { Delivery } from '../../core/delivery/delivery.ts';
import type { DeliveryChange, QueueEffect } from '../../core/ports/delivery-store.ts';
import type { Notice } from '../../core/ports/outbox.ts';
import type { Call, Results } from './connection/scripts.ts';
import type { PendingPush } from './pending-push.ts';

/** Calls that are run alone or joined with others, and what to do once they have run. */
export interface Step<Outcome = void> {
  readonly calls: readonly Call[];
  /** @throws {AppError} */
  complete(results: Results): Outcome;
}

/** Changes of the queue that go with changes of deliveries. */
export interface QueueSteps {
  /** Enqueues a new delivery. */
  stepForNew(id: string, pending: PendingPush): Step;
  /**
   * Enqueues a notice that the previous call has added: see PUSH_NOTICE.
   *
   * @param dueAt epoch ms by the clock of the connection
   */
  stepForNotice(id: string, channel: string, dueAt: number): Step;
  /** Changes the queue with a delivery. */
  stepFor(from: Delivery, to: Delivery, effect: QueueEffect): Step;
  /** Returns the delivery of a taken id if it was read with it, once. */
  readTaken(id: string): Delivery | null;
}

/** Changes of the outbox that go with changes of deliveries and shared values. */
export interface OutboxSteps {
  /** Adds notices and enqueues them. Drops those that there is no capacity for. */
  stepForNew(notices: readonly Notice[]): Step;
}

/** Changes of deliveries that go with changes of shared values. */
export interface DeliverySteps {
  /**
   * Changes a delivery and the queue. The outcome is whether the delivery had the expected
   * revision.
   */
  stepOf(change: DeliveryChange): Step<boolean>;
}
