import type { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Delivery } from '../../core/delivery/delivery.ts';
import { decodeRecord } from '../../core/delivery/delivery-codec.ts';
import type { DeliveryQuery, ListPosition } from '../../core/delivery/delivery-query.ts';
import { matchesQuery } from '../../core/delivery/delivery-query.ts';
import type { DeliveryStore, Unsettled } from '../../core/ports/delivery-store.ts';
import type { GroupCommit } from './group-commit.ts';

/** Number of rows read at once, however few of them match. Takes a millisecond or two. */
const PAGE_SIZE = 100;

interface Row {
  readonly created_at: number;
  readonly id: string;
  /** Null if the columns show that the delivery does not match. */
  readonly record: string | null;
}

type UnsettledRow = Omit<Unsettled, 'error' | 'scheduledAt' | 'expiresAt'> & {
  readonly place: number;
  readonly created_at: number;
  readonly error: string | null;
  readonly scheduled_at: number | null;
  readonly expires_at: number | null;
};

/** Reads many deliveries page by page, and yields to the event loop between the pages. */
export function createListing(
  db: DatabaseSync,
  groupCommit: GroupCommit,
): Pick<DeliveryStore, 'list' | 'unsettled'> {
  const page = db.prepare(`
    WITH page AS (
      SELECT place, created_at, id FROM deliveries
      WHERE (created_at, id) < (:createdAt, :id) AND created_at >= :createdAfter
      ORDER BY created_at DESC, id DESC LIMIT ${PAGE_SIZE}
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
    ORDER BY created_at, place LIMIT ${PAGE_SIZE}
  `);

  function readPage(query: DeliveryQuery, { createdAt, id }: ListPosition): Row[] {
    const { owner, statuses, createdAfter } = query;
    const filter = { owner, statuses: statuses && JSON.stringify(statuses), createdAfter: createdAfter ?? 0 };
    return page.all({ ...filter, createdAt, id, now: groupCommit.now() }) as unknown as Row[];
  }

  function readUnsettled(createdAt: number, place: number): Promise<UnsettledRow[]> {
    return groupCommit.read(() => unsettledPage.all(createdAt, place) as unknown as UnsettledRow[]);
  }

  return {
    async list(query) {
      const found: Delivery[] = [];
      let after: ListPosition | null = startOf(query);
      while (after) {
        const from: ListPosition = after;
        const rows = await groupCommit.read(() => readPage(query, from));
        for (const { record } of rows) {
          if (record === null) continue;
          const delivery = decodeRecord(record, null);
          if (matchesQuery(delivery, query)) found.push(delivery);
          if (found.length === query.limit) return found;
        }
        after = rows.length < PAGE_SIZE ? null : positionOf(rows.at(-1));
        if (after) await nextTurn();
      }
      return found;
    },
    async *unsettled() {
      let last: readonly [createdAt: number, place: number] | null = [Number.NEGATIVE_INFINITY, 0];
      while (last) {
        const rows: UnsettledRow[] = await readUnsettled(...last);
        for (const row of rows) yield toUnsettled(row);
        const end = rows.length < PAGE_SIZE ? undefined : rows.at(-1);
        last = end ? [end.created_at, end.place] : null;
        if (last) await nextTurn();
      }
    },
  };
}

/** Returns a position before the first delivery that can match. No id sorts before ''. */
function startOf({ after, createdBefore }: DeliveryQuery): ListPosition {
  const before = { createdAt: createdBefore ?? Number.MAX_SAFE_INTEGER, id: '' };
  return after && after.createdAt < before.createdAt ? after : before;
}

function positionOf(row: Row | undefined): ListPosition | null {
  return row ? { createdAt: row.created_at, id: row.id } : null;
}

function toUnsettled({ id, account, status, error, scheduled_at, expires_at }: UnsettledRow): Unsettled {
  return {
    id,
    account,
    status,
    error: error === null ? null : JSON.parse(error),
    scheduledAt: scheduled_at,
    expiresAt: expires_at,
  };
}
