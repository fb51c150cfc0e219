import type { Delivery } from '../../core/delivery/delivery.ts';
import type { DeliveryQuery, ListPosition } from '../../core/delivery/delivery-query.ts';
import type { DeliveryStore, Unsettled } from '../../core/ports/delivery-store.ts';
import type { Database } from './database.ts';
import { decodeDelivery } from './delivery-rows.ts';
import type { ListPage, UnsettledRow } from './worker/listing.ts';

/** Reads many deliveries page by page. */
export function createListing(database: Database): Pick<DeliveryStore, 'list' | 'unsettled'> {
  return {
    async list(query) {
      const found: Delivery[] = [];
      let position: ListPosition | null = startOf(query);
      while (position) {
        const page: ListPage = await database.read(null, 'listPage', query, position);
        for (const [record, state] of page.found) {
          found.push(decodeDelivery([record, state, null]));
          if (found.length === query.limit) return found;
        }
        position = page.next;
      }
      return found;
    },
    async *unsettled() {
      let last: readonly [createdAt: number, place: number] | null = [Number.NEGATIVE_INFINITY, 0];
      while (last) {
        const rows: readonly UnsettledRow[] = await database.read(null, 'unsettledPage', ...last);
        for (const row of rows) yield toUnsettled(row);
        const end = rows.at(-1);
        last = end ? [end.created_at, end.place] : null;
      }
    },
  };
}

/**
 * Returns a position before the first delivery that can match, in the order of the query. No id sorts
 * before ''.
 */
function startOf({ after, createdAfter, createdBefore, waitingAt }: DeliveryQuery): ListPosition {
  if (waitingAt !== null) return after ?? { createdAt: createdAfter ?? 0, id: '' };
  const before = { createdAt: createdBefore ?? Number.MAX_SAFE_INTEGER, id: '' };
  return after && after.createdAt < before.createdAt ? after : before;
}

function toUnsettled({
  id,
  account,
  status,
  error,
  lookup,
  scheduled_at,
  expires_at,
}: UnsettledRow): Unsettled {
  return {
    id,
    account,
    status,
    error: error === null ? null : JSON.parse(error),
    lookup: lookup === null ? null : JSON.parse(lookup),
    scheduledAt: scheduled_at,
    expiresAt: expires_at,
  };
}
