import type { DatabaseSync } from 'node:sqlite';
import type { Delivery } from '../../../core/delivery/delivery.ts';
import {
  type DeliveryQuery,
  type ListPosition,
  matchesQuery,
} from '../../../core/delivery/delivery-query.ts';
import { UNSETTLED } from './deliveries.ts';

/** Number of rows read at once, however few of them match. Takes a millisecond or two. */
const PAGE_SIZE = 100;

interface ListRow {
  readonly created_at: number;
  readonly id: string;
  /** Null if the columns show that the delivery does not match. */
  readonly record: string | null;
  readonly state: string;
}

/** One page of a listing: the matches in it, and where the next one begins; null at the end. */
export interface ListPage {
  readonly found: readonly (readonly [record: string, state: string])[];
  readonly next: ListPosition | null;
}

export interface UnsettledRow {
  readonly place: number;
  readonly created_at: number;
  readonly id: string;
  readonly account: string;
  readonly status: Delivery['status'];
  /** JSON. */
  readonly error: string | null;
  readonly scheduled_at: number | null;
  readonly expires_at: number | null;
}

/** What the queue needs to know of an unsettled delivery. */
export type QueuedRow = readonly [
  createdAt: number,
  place: number,
  id: string,
  account: string,
  priority: string,
  dueAt: number | null,
];

/**
 * Procedures that read many deliveries, one page each, so that writes can run between the pages.
 *
 * @param now epoch ms by the clock of the file
 */
export function createListing(db: DatabaseSync, now: () => number) {
  const page = db.prepare(`
    WITH page AS (
      SELECT place, created_at, id FROM deliveries
      WHERE (created_at, id) < (:createdAt, :id) AND created_at >= :createdAfter
      ORDER BY created_at DESC, id DESC LIMIT ${PAGE_SIZE}
    )
    SELECT page.created_at, page.id, state,
      (SELECT record FROM records WHERE records.place = deliveries.place) AS record
    FROM page
    LEFT JOIN deliveries ON deliveries.place = page.place
      AND coalesce(leaves_at > :now, 1)
      AND coalesce(owner = :owner, 1)
      AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
    ORDER BY page.created_at DESC, page.id DESC
  `);
  const waitingPage = db.prepare(`
    WITH page AS (
      SELECT place, created_at, id, owner, status, state FROM deliveries
      WHERE leaves_at IS NULL AND ${UNSETTLED} AND created_at < :createdBefore
        AND created_at >= :createdAt AND (created_at, id) > (:createdAt, :id)
      ORDER BY created_at, id LIMIT ${PAGE_SIZE}
    )
    SELECT created_at, id, state, CASE
      WHEN coalesce(owner = :owner, 1) AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
      THEN (SELECT record FROM records WHERE records.place = page.place)
    END AS record FROM page
  `);
  const unsettledPage = db.prepare(`
    SELECT place, created_at, id, account, status, json_extract(latest, '$.error') AS error,
      json_extract(latest, '$.scheduledAt') AS scheduled_at, json_extract(latest, '$.expiresAt') AS expires_at
    FROM (
      SELECT *, CASE WHEN rtrim(state) = '{}'
        THEN (SELECT record FROM records WHERE records.place = deliveries.place)
        ELSE state END AS latest
      FROM deliveries
      WHERE leaves_at IS NULL AND ${UNSETTLED} AND (created_at, place) > (?, ?)
      ORDER BY created_at, place LIMIT ${PAGE_SIZE}
    )
  `);
  const queuedPage = db.prepare(`
    SELECT created_at, place, id, account, priority, due_at FROM deliveries
    WHERE leaves_at IS NULL AND ${UNSETTLED} AND (created_at, place) > (?, ?)
    ORDER BY created_at, place LIMIT ${PAGE_SIZE}
  `);
  queuedPage.setReturnArrays(true);

  return {
    reads: {
      listPage(query: DeliveryQuery, { createdAt, id }: ListPosition): ListPage {
        const { owner, createdAfter, createdBefore } = query;
        const statuses = query.statuses && JSON.stringify(query.statuses);
        const filter = { owner, statuses, createdAt, id };
        const rows = (query.waitingAt === null
          ? page.all({ ...filter, createdAfter: createdAfter ?? 0, now: now() })
          : waitingPage.all({
              ...filter,
              createdBefore: createdBefore ?? Number.MAX_SAFE_INTEGER,
            })) as unknown as ListRow[];
        const found = rows.flatMap(({ record, state }) => {
          if (record === null) return [];
          const delivery = { ...JSON.parse(record), ...JSON.parse(state) };
          return matchesQuery(delivery, query) ? [[record, state] as const] : [];
        });
        const last = rows.length < PAGE_SIZE ? undefined : rows.at(-1);
        return { found, next: last ? { createdAt: last.created_at, id: last.id } : null };
      },
      unsettledPage: (createdAt: number, place: number): readonly UnsettledRow[] =>
        unsettledPage.all(createdAt, place).map((row) => ({ ...row }) as unknown as UnsettledRow),
      /** Reads no records. */
      queuedPage: (createdAt: number, place: number): readonly QueuedRow[] =>
        queuedPage.all(createdAt, place) as unknown as QueuedRow[],
    },
  };
}
