import { toMailboxKey } from '../message/address.ts';
import type { Delivery, Status } from './delivery.ts';

/** Whether a delivery is asked for, wherever in the list it stands. */
export function matchesQuery(
  delivery: Delivery,
  { owner, statuses, tag, recipient, createdAfter, createdBefore }: DeliveryQuery,
): boolean {
  return (
    (owner === null || delivery.owner === owner) &&
    (statuses === null || statuses.includes(delivery.status)) &&
    (tag === null ||
      Object.entries(delivery.tags).some(([name, value]) => name === tag || `${name}:${value}` === tag)) &&
    (recipient === null || delivery.recipients.some(({ email }) => toMailboxKey(email) === recipient)) &&
    (createdAfter === null || delivery.createdAt >= createdAfter) &&
    (createdBefore === null || delivery.createdAt < createdBefore)
  );
}

/** Which deliveries to list. Null: any. */
export interface DeliveryQuery {
  readonly owner: string | null;
  readonly statuses: readonly Status[] | null;
  /** The name of a tag, or `name:value`. */
  readonly tag: string | null;
  /** Somebody it is addressed to, as {@link toMailboxKey} has it. */
  readonly recipient: string | null;
  /** At this time or later, and before that one. */
  readonly createdAfter: number | null;
  readonly createdBefore: number | null;
  readonly limit: number;
  /** Only what comes after this place in the list. */
  readonly after: ListPosition | null;
}

/** A place in the list of all deliveries, that stays right while deliveries come and go. */
export interface ListPosition {
  readonly createdAt: number;
  readonly id: string;
}
