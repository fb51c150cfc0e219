import { isQueueFull, type QueueLimits } from '../../core/delivery/queue-capacity.ts';
import type { RecordStore } from '../../core/store-then-queue.ts';
import type { Database } from './database.ts';
import { decodeDelivery, toInsert, toMutableColumns } from './delivery-rows.ts';
import { createListing } from './listing.ts';

/** Creates a RecordStore in a file. */
export function createSqliteStore(database: Database, limits: QueueLimits): RecordStore {
  const { now, state } = database;
  return {
    async insert(delivery) {
      const row = toInsert(delivery, now());
      const known = await database.write(delivery.id, 'insertDelivery', ...row);
      return known ? decodeDelivery(known) : delivery;
    },
    async get(id) {
      const stored = await database.read(id, 'findDelivery', id);
      return stored && decodeDelivery(stored);
    },
    update(from, to) {
      const columns = toMutableColumns(to, now());
      return database.write(to.id, 'updateDelivery', to.id, from.revision, columns);
    },
    // Nothing is dropped before RETAIN.
    tombstone: async () => null,
    ...createListing(database),
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
