import { isQueueFull, type QueueLimits } from '../../core/delivery/queue-capacity.ts';
import type { DeliveryStore } from '../../core/ports/delivery-store.ts';
import type { Database } from './database.ts';
import { decodeDelivery, toInsert, toMutableColumns } from './delivery-rows.ts';
import { createListing } from './listing.ts';

export interface SqliteStoreOptions extends QueueLimits {
  readonly retainMs: number;
}

/** Creates a DeliveryStore in a file. */
export function createSqliteStore(
  database: Database,
  { retainMs, ...limits }: SqliteStoreOptions,
): DeliveryStore {
  const { now, state } = database;
  return {
    async insert(delivery) {
      const row = toInsert(delivery, retainMs, now());
      const known = await database.write(delivery.id, 'insertDelivery', ...row);
      return known ? decodeDelivery(known) : delivery;
    },
    async get(id) {
      const stored = await database.read(id, 'findDelivery', id);
      return stored && decodeDelivery(stored);
    },
    update(from, to) {
      const { id, content } = to;
      const columns = toMutableColumns(to, retainMs, now());
      return database.write(id, 'updateDelivery', id, from.revision, columns, content === null);
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
