import { type Delivery, firstDueAt } from '../../../core/delivery/delivery.ts';
import { isInQueue, QUEUE_STATUSES } from '../../../core/delivery/delivery-stats.ts';
import { KEYS } from '../keys.ts';
import { encodeTime, toTimelineMember } from './timeline-member.ts';

/** A member of a sorted set. */
export interface WaitingMember {
  readonly key: string;
  readonly member: string;
}

/** The sets of deliveries in the queue. Each delivery is in one. */
export const WAITING_SETS = QUEUE_STATUSES.flatMap((status) => [KEYS.waiting(status), KEYS.planned(status)]);

/**
 * Returns where a delivery in the queue is counted, or null if it is settled.
 *
 * Members begin with the owner. All have the same score, so Redis sorts them by owner and time:
 * `owner:created:id`, or `owner:due:created:id` in the planned ones.
 */
export function toWaitingMember(delivery: Delivery): WaitingMember | null {
  const { owner, status, createdAt } = delivery;
  if (!isInQueue(status)) return null;
  const dueAt = firstDueAt(delivery);
  const created = toTimelineMember(delivery);
  return dueAt > createdAt
    ? { key: KEYS.planned(status), member: `${owner}:${encodeTime(dueAt)}:${created}` }
    : { key: KEYS.waiting(status), member: `${owner}:${created}` };
}
