import { firstDueAt } from '../../core/delivery/delivery.ts';
import { decodeContent } from '../../core/delivery/delivery-codec.ts';
import { isQueueFull, type QueueLimits } from '../../core/delivery/queue-capacity.ts';
import type { RecordStore } from '../../core/store-then-queue.ts';
import type { Database } from './database.ts';
import { decodeDelivery, toInsert, toMutableColumns } from './delivery-rows.ts';
import { createListing } from './listing.ts';
import { toNoticeRow } from './outbox.ts';
import { createRecentDeliveries } from './recent-deliveries.ts';

/** Creates a RecordStore in a file. */
export function createSqliteStore(database: Database, limits: QueueLimits): RecordStore {
  const { now, state } = database;
  // Most messages are attempted soon, and so without reading them. Only this process changes them.
  const recent = createRecentDeliveries();
  return {
    async insert(delivery) {
      const row = toInsert(delivery, now());
      const known = await database.write(delivery.id, 'insertDelivery', ...row);
      if (known) return decodeDelivery(known);
      recent.add(delivery);
      return delivery;
    },
    async get(id) {
      const inserted = recent.get(id);
      if (inserted) return inserted;
      const stored = await database.read(id, 'findDelivery', id);
      return stored && decodeDelivery(stored);
    },
    update(from, to) {
      recent.remove(to.id);
      const columns = toMutableColumns(to, now());
      return database.write(to.id, 'updateDelivery', to.id, from.revision, firstDueAt(from), columns);
    },
    async content(id) {
      const found = await database.read(id, 'findContent', id);
      return found && decodeContent(found[0]);
    },
    async updateWithNotices(from, to, notices) {
      recent.remove(to.id);
      const columns = toMutableColumns(to, now());
      const before = [from.revision, firstDueAt(from)] as const;
      const rows = notices.map(toNoticeRow);
      const isStored = await database.write(to.id, 'updateWithNotices', to.id, ...before, columns, rows);
      return isStored && notices.filter((_, i) => isStored[i]);
    },
    // Nothing is dropped before RETAIN.
    tombstone: async () => null,
    ...createListing(database),
    stats: (owner, wallNow) => database.read(null, 'deliveryStats', owner, wallNow),
    refusalCode() {
      if (state().failure !== null) return 'queue_unavailable';
      return isQueueFull(state().unsettled, limits) ? 'queue_full' : null;
    },
    freeBytes() {
      return limits.maxBytes - state().unsettled.bytes;
    },
    healthProblem: () => state().failure?.problem ?? null,
    onRemoteChange() {},
  };
}
