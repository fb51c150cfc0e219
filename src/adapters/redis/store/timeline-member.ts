import type { DeliveryQuery, ListPosition } from '../../../core/delivery/delivery-query.ts';

/** Digits of the time: enough until the year 33658. */
const TIME_DIGITS = 15;

/** Number of bytes of a member before the id. */
export const ID_OFFSET = TIME_DIGITS + 1;

/**
 * Encodes a position as a member of the timeline. All members have the same score, so Redis sorts
 * them by their bytes, which is the order of positions.
 */
export function toTimelineMember({ createdAt, id }: ListPosition): string {
  return `${encodeTime(createdAt)}:${id}`;
}

/** Decodes a member of the timeline. */
export function toPosition(member: string): ListPosition {
  return { createdAt: Number(member.slice(0, TIME_DIGITS)), id: member.slice(ID_OFFSET) };
}

/** Returns the bounds for ZRANGE BYLEX REV that select what a query may match, newest first. */
export function toTimelineRange({
  after,
  createdAfter,
  createdBefore,
}: DeliveryQuery): readonly [from: string, to: string] {
  const upperBounds = [
    after === null ? [] : toTimelineMember(after),
    createdBefore === null ? [] : encodeTime(createdBefore),
  ]
    .flat()
    .sort();
  return [
    upperBounds[0] === undefined ? '+' : `(${upperBounds[0]}`,
    createdAfter === null ? '-' : `[${encodeTime(createdAfter)}`,
  ];
}

/** Encodes epoch ms so that text sorts as numbers do. */
export function encodeTime(epochMs: number): string {
  return String(epochMs).padStart(TIME_DIGITS, '0');
}
