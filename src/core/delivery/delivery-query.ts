import { toMailboxKey } from '../message/address.ts';
import { type Delivery, firstDueAt, hasBounced, isSettled, type Status } from './delivery.ts';

/** Whether a delivery matches the filters of a query. Ignores `limit` and `after`. */
export function matchesQuery(
  delivery: Delivery,
  { owner, statuses, bounced, waitingAt, tag, recipient, createdAfter, createdBefore }: DeliveryQuery,
): boolean {
  return (
    (owner === null || delivery.owner === owner) &&
    (statuses === null || statuses.includes(delivery.status)) &&
    (bounced === null || hasBounced(delivery) === bounced) &&
    (waitingAt === null || isWaiting(delivery, waitingAt)) &&
    (tag === null ||
      Object.entries(delivery.tags).some(([name, value]) => name === tag || `${name}:${value}` === tag)) &&
    (recipient === null || delivery.recipients.some(({ email }) => toMailboxKey(email) === recipient)) &&
    (createdAfter === null || delivery.createdAt >= createdAfter) &&
    (createdBefore === null || delivery.createdAt < createdBefore)
  );
}

/**
 * Whether a delivery waits to be sent: it is queued, sending or deferred, or was scheduled for a
 * time that has passed.
 *
 * @param now epoch ms
 */
export function isWaiting(
  delivery: Pick<Delivery, 'status' | 'createdAt' | 'scheduledAt'>,
  now: number,
): boolean {
  if (delivery.status === 'scheduled') return firstDueAt(delivery) <= now;
  return !isSettled(delivery.status);
}

/** Filters and page of a listing. A filter that is null matches any delivery. */
export interface DeliveryQuery {
  readonly owner: string | null;
  readonly statuses: readonly Status[] | null;
  /** Whether a recipient has bounced. */
  readonly bounced: boolean | null;
  /**
   * Lists, oldest first, only deliveries that wait at this time, in epoch ms. Null: lists all, newest
   * first.
   */
  readonly waitingAt: number | null;
  /** The name of a tag, or `name:value`. */
  readonly tag: string | null;
  /** One of its recipients, as {@link toMailboxKey} returns it. */
  readonly recipient: string | null;
  /** Inclusive, in epoch ms. */
  readonly createdAfter: number | null;
  /** Exclusive, in epoch ms. */
  readonly createdBefore: number | null;
  readonly limit: number;
  /** Only deliveries after this position in the list. */
  readonly after: ListPosition | null;
}

/** Matches every delivery, newest first. */
export const ANY_DELIVERY: Omit<DeliveryQuery, 'limit' | 'after'> = {
  owner: null,
  statuses: null,
  bounced: null,
  waitingAt: null,
  tag: null,
  recipient: null,
  createdAfter: null,
  createdBefore: null,
};

/** A position in the list of all deliveries. Stays valid while deliveries are added and dropped. */
export interface ListPosition {
  readonly createdAt: number;
  readonly id: string;
}

/** Compares positions, for a list that is sorted with the oldest first. */
export function comparePositions(a: ListPosition, b: ListPosition): number {
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}
