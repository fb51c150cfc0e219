import { type Delivery, dueAfterMs } from '../../core/delivery/delivery.ts';
import { channelOf } from '../../core/delivery/lookup.ts';
import type { Priority } from '../../core/message/message.ts';

/**
 * What is needed to push an id to the queue. It is stored when an id is pushed while it is taken,
 * until the push is made after the id is done. Versions 0.1 and 0.2 stored it with every delivery
 * that was to be pushed.
 */
export interface PendingPush {
  readonly channel: string;
  readonly priority: Priority;
  /** Epoch ms by the clock of the connection. */
  readonly dueAt: number;
  /** Epoch ms by the clock of the connection. */
  readonly writtenAt: number;
}

/**
 * The pending push of an unsettled delivery.
 *
 * @param now epoch ms by the clock of the connection
 */
export function toPendingPush(delivery: Delivery, now: number): PendingPush {
  const { priority } = delivery;
  return {
    channel: channelOf(delivery),
    priority,
    dueAt: now + dueAfterMs(delivery, Date.now()),
    writtenAt: now,
  };
}
