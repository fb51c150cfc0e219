import type { DeliveryQuery, ListPosition } from '../../../core/delivery/delivery-query.ts';

/** Until the year 33658. */
const DIGITS = 15;

/** A place as a member of a sorted set whose members all have the same score: Redis keeps them in the order of their bytes, which is that of places. */
export function toTimelineMember({ createdAt, id }: ListPosition): string {
  return `${timeOf(createdAt)}:${id}`;
}

/** What a list begins before, and where it ends at the latest: as Redis has the ends of such a range. */
export function toTimelineRange({
  after,
  createdAfter,
  createdBefore,
}: DeliveryQuery): readonly [from: string, to: string] {
  const befores = [
    after === null ? [] : toTimelineMember(after),
    createdBefore === null ? [] : timeOf(createdBefore),
  ]
    .flat()
    .sort();
  return [
    befores[0] === undefined ? '+' : `(${befores[0]}`,
    createdAfter === null ? '-' : `[${timeOf(createdAfter)}`,
  ];
}

/** How many bytes of a member come before the id. */
export const BEFORE_ID = DIGITS + 1;

function timeOf(epochMs: number): string {
  return String(epochMs).padStart(DIGITS, '0');
}
