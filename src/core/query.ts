import { toMailboxKey } from './address.ts';
import type { Delivery } from './delivery.ts';
import type { DeliveryQuery } from './ports.ts';

/** Whether a delivery is asked for, wherever in the list it stands. */
export function matches(delivery: Delivery, { owner, statuses, tag, recipient, createdAfter, createdBefore }: DeliveryQuery): boolean {
  return (
    (owner === null || delivery.owner === owner) &&
    (statuses === null || statuses.includes(delivery.status)) &&
    (tag === null || Object.entries(delivery.tags).some(([name, value]) => name === tag || `${name}:${value}` === tag)) &&
    (recipient === null || delivery.recipients.some(({ email }) => toMailboxKey(email) === recipient)) &&
    (createdAfter === null || delivery.createdAt >= createdAfter) &&
    (createdBefore === null || delivery.createdAt < createdBefore)
  );
}
