import { type Delivery, dueAfterMs } from '../../core/delivery/delivery.ts';
import type { Priority } from '../../core/message/message.ts';

/**
 * What is needed to push an id to the queue. It is stored in the same step as the change that makes
 * the push necessary, and removed in the same step as the push, so a crash between the two loses
 * nothing. An id that is pushed while it is taken is stored too.
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
  const { account: channel, priority } = delivery;
  return { channel, priority, dueAt: now + dueAfterMs(delivery, Date.now()), writtenAt: now };
}
