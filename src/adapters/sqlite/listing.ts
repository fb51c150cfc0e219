import type { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Delivery } from '../../core/delivery/delivery.ts';
import { decodeRecord } from '../../core/delivery/delivery-codec.ts';
import type { DeliveryQuery, ListPosition } from '../../core/delivery/delivery-query.ts';
import { matchesQuery } from '../../core/delivery/delivery-query.ts';
import type { DeliveryStore, Unsettled } from '../../core/ports/delivery-store.ts';
import type { GroupCommit } from './group-commit.ts';

/** Read at once, however few of them are asked for: a millisecond or two. */
const PAGE = 100;

interface Row {
  readonly created_at: number;
  readonly id: string;
  /** Null if the columns show that it is not asked for. */
  readonly record: string | null;
}

type UnsettledRow = Omit<Unsettled, 'error' | 'scheduledAt' | 'expiresAt'> & {
  readonly place: number;
  readonly created_at: number;
  readonly error: string | null;
  readonly scheduled_at: number | null;
  readonly expires_at: number | null;
};

/** Reads many deliveries, page by page, and lets the event loop turn between the pages. */
export function createListing(
  db: DatabaseSync,
  commits: GroupCommit,
): Pick<DeliveryStore, 'list' | 'unsettled'> {
  const page = db.prepare(`
    WITH page AS (
      SELECT place, created_at, id FROM deliveries
      WHERE (created_at, id) < (:createdAt, :id) AND created_at >= :createdAfter
      ORDER BY created_at DESC, id DESC LIMIT ${PAGE}
    )
    SELECT page.created_at, page.id, record FROM page
    LEFT JOIN deliveries ON deliveries.place = page.place
      AND coalesce(leaves_at > :now, 1)
      AND coalesce(owner = :owner, 1)
      AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
    ORDER BY page.created_at DESC, page.id DESC
  `);
  const unsettledPage = db.prepare(`
    SELECT place, created_at, id, account, status, json_extract(record, '$.error') AS error,
      json_extract(record, '$.scheduledAt') AS scheduled_at, json_extract(record, '$.expiresAt') AS expires_at
    FROM deliveries
    WHERE leaves_at IS NULL AND (created_at, place) > (?, ?)
    ORDER BY created_at, place LIMIT ${PAGE}
  `);

  function readPage(
    { owner, statuses, createdAfter }: DeliveryQuery,
    { createdAt, id }: ListPosition,
  ): Row[] {
    const asked = { owner, statuses: statuses && JSON.stringify(statuses), createdAfter: createdAfter ?? 0 };
    return page.all({ ...asked, createdAt, id, now: commits.now() }) as unknown as Row[];
  }

  return {
    async list(query) {
      const found: Delivery[] = [];
      let after: ListPosition | null = startOf(query);
      while (after) {
        const from: ListPosition = after;
        const rows = await commits.read(() => readPage(query, from));
        for (const { record } of rows) {
          if (record === null) continue;
          const delivery = decodeRecord(record, null);
          if (matchesQuery(delivery, query)) found.push(delivery);
          if (found.length === query.limit) return found;
        }
        after = rows.length < PAGE ? null : placeOf(rows.at(-1));
        if (after) await nextTurn();
      }
      return found;
    },
    async *unsettled() {
      let last: readonly [number, number] | null = [Number.NEGATIVE_INFINITY, 0];
      while (last) {
        const [createdAt, place]: readonly [number, number] = last;
        const rows = (await commits.read(() =>
          unsettledPage.all(createdAt, place),
        )) as unknown as UnsettledRow[];
        for (const { id, account, status, error, scheduled_at: scheduledAt, expires_at: expiresAt } of rows)
          yield {
            id,
            account,
            status,
            error: error === null ? null : JSON.parse(error),
            scheduledAt,
            expiresAt,
          };
        const end: UnsettledRow | undefined = rows.length < PAGE ? undefined : rows.at(-1);
        last = end ? [end.created_at, end.place] : null;
        if (last) await nextTurn();
      }
    },
  };
}

/** The place in the list before the first that can be asked for: no id is before ''. */
function startOf({ after, createdBefore }: DeliveryQuery): ListPosition {
  const before = { createdAt: createdBefore ?? Number.MAX_SAFE_INTEGER, id: '' };
  return after && after.createdAt < before.createdAt ? after : before;
}

function placeOf(row: Row | undefined): ListPosition | null {
  return row ? { createdAt: row.created_at, id: row.id } : null;
}
