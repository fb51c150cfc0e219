import {
  type Delivery,
  firstDueAt,
  hasBounced,
  isSettled,
  STATUSES,
} from '../../../core/delivery/delivery.ts';
import type { DeliveryQuery } from '../../../core/delivery/delivery-query.ts';
import { mayMatch, signatureOf, signatureOfQuery } from '../../../core/delivery/signature.ts';

/*
 * A search row is what a search needs to know of a delivery, in 24 bytes: its head, the halves of its
 * signature, and the time of its creation. All rows are one string, in no order.
 */
const TIME_BYTES = 6;
const HEAD_BYTES = 10;
const SIGNATURE_AT = HEAD_BYTES;
const CREATED_AT = SIGNATURE_AT + 8;
export const ROW_BYTES = CREATED_AT + TIME_BYTES;

/** The first byte of a row is this one for the first status, and so on. A row never written is 0. */
const FIRST_STATUS = 'A'.charCodeAt(0);
/** Bit of the first byte of a row: a recipient has bounced. It makes the letter a small one. */
const BOUNCED = 0x20;

/**
 * Encodes what changes about a delivery, as ASCII: a letter for its status, a small one if a
 * recipient has bounced, and when it is first due, in base 36.
 */
export function encodeHead(delivery: Delivery): string {
  const letter = FIRST_STATUS + STATUSES.indexOf(delivery.status);
  const status = String.fromCharCode(hasBounced(delivery) ? letter | BOUNCED : letter);
  return (
    status +
    Math.floor(firstDueAt(delivery))
      .toString(36)
      .padStart(HEAD_BYTES - 1, '0')
  );
}

export function encodeRow(delivery: Delivery): Buffer {
  const row = Buffer.allocUnsafe(ROW_BYTES);
  const { high, low } = signatureOf(delivery);
  row.write(encodeHead(delivery), 'latin1');
  row.writeUInt32BE(high, SIGNATURE_AT);
  row.writeUInt32BE(low, SIGNATURE_AT + 4);
  row.writeUIntBE(delivery.createdAt, CREATED_AT, TIME_BYTES);
  return row;
}

/**
 * Searches the rows of deliveries that may match a query.
 *
 * @returns when they were created, without duplicates and in the order of the query; and the number
 *   of rows of unsettled deliveries
 */
export function searchRows(
  rows: Buffer,
  query: DeliveryQuery,
): { readonly times: readonly number[]; readonly unsettled: number } {
  const { statuses, bounced, waitingAt, createdAfter, createdBefore, after } = query;
  const isWanted = STATUSES.map(
    (status) => (statuses?.includes(status) ?? true) && (waitingAt === null || !isSettled(status)),
  );
  const isUnsettled = STATUSES.map((status) => !isSettled(status));
  const scheduled = STATUSES.indexOf('scheduled');
  const wanted = signatureOfQuery(query);
  const isOldestFirst = waitingAt !== null;
  const from = Math.max(createdAfter ?? 0, isOldestFirst ? (after?.createdAt ?? 0) : 0);
  const to = Math.min(
    createdBefore === null ? Number.POSITIVE_INFINITY : createdBefore - 1,
    isOldestFirst ? Number.POSITIVE_INFINITY : (after?.createdAt ?? Number.POSITIVE_INFINITY),
  );
  const times = new Set<number>();
  let unsettled = 0;
  for (let at = 0; at < rows.length; at += ROW_BYTES) {
    const letter = rows[at] as number;
    const status = (letter & ~BOUNCED) - FIRST_STATUS;
    if (isUnsettled[status]) unsettled += 1;
    if (!isWanted[status]) continue;
    if (bounced !== null && ((letter & BOUNCED) !== 0) !== bounced) continue;
    if (wanted !== null) {
      const high = rows.readUInt32BE(at + SIGNATURE_AT);
      const low = rows.readUInt32BE(at + SIGNATURE_AT + 4);
      if (!mayMatch({ high, low }, wanted)) continue;
    }
    const createdAt = rows.readUIntBE(at + CREATED_AT, TIME_BYTES);
    if (createdAt < from || createdAt > to) continue;
    if (waitingAt !== null && status === scheduled && firstDueIn(rows, at) > waitingAt) continue;
    times.add(createdAt);
  }
  const sorted = Float64Array.from(times).sort();
  return { times: [...(isOldestFirst ? sorted : sorted.reverse())], unsettled };
}

function firstDueIn(rows: Buffer, at: number): number {
  return Number.parseInt(rows.toString('latin1', at + 1, at + HEAD_BYTES), 36);
}
