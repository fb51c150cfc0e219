import type { DatabaseSync } from 'node:sqlite';
import { isSettled } from '../../core/delivery/delivery.ts';
import {
  checkQueueCapacity,
  isQueueFull,
  type QueueLimits,
  type QueueUsage,
} from '../../core/delivery/queue-capacity.ts';
import type { RecordStore } from '../../core/store-then-queue.ts';
import { prepareDeliveryRows } from './delivery-rows.ts';
import type { GroupCommit, OnRollback } from './group-commit.ts';
import { createListing } from './listing.ts';

export interface SqliteStoreOptions extends QueueLimits {
  readonly retainMs: number;
}

/**
 * Creates a RecordStore in a file. The usage of unsettled deliveries is read at startup and
 * counted in memory.
 */
export function createSqliteStore(
  db: DatabaseSync,
  groupCommit: GroupCommit,
  { retainMs, ...limits }: SqliteStoreOptions,
): RecordStore {
  const rows = prepareDeliveryRows(db, retainMs, groupCommit.now);
  let unsettled = readUsage(db);

  function count(bytes: number, sign: 1 | -1, onRollback: OnRollback) {
    const before = unsettled;
    unsettled = { messages: unsettled.messages + sign, bytes: unsettled.bytes + sign * bytes };
    onRollback(() => {
      unsettled = before;
    });
  }

  return {
    insert(delivery) {
      return groupCommit.write((onRollback) => {
        const known = rows.find(delivery.id);
        if (known) return known;
        checkQueueCapacity(unsettled, limits, delivery.bytes);
        rows.insert(delivery);
        count(delivery.bytes, 1, onRollback);
        return delivery;
      });
    },
    get(id) {
      return groupCommit.read(() => rows.find(id));
    },
    update(from, to) {
      return groupCommit.write((onRollback) => {
        const head = rows.findHead(to.id);
        if (head?.revision !== from.revision) return false;
        const wasSettled = head.leaves_at !== null;
        const settles = isSettled(to.status);
        if (wasSettled && !settles) checkQueueCapacity(unsettled, limits, head.bytes);
        rows.update(head.place, to);
        if (wasSettled !== settles) count(head.bytes, settles ? -1 : 1, onRollback);
        return true;
      });
    },
    // Nothing is dropped before RETAIN.
    tombstone: async () => null,
    ...createListing(db, groupCommit),
    refusalCode() {
      if (groupCommit.isFailing()) return 'queue_unavailable';
      return isQueueFull(unsettled, limits) ? 'queue_full' : null;
    },
    freeBytes() {
      return limits.maxBytes - unsettled.bytes;
    },
    healthProblem: () => groupCommit.checkFile(),
    onRemoteChange() {},
  };
}

function readUsage(db: DatabaseSync): QueueUsage {
  const usage = db
    .prepare(
      'SELECT count(*) AS messages, coalesce(sum(bytes), 0) AS bytes FROM deliveries WHERE leaves_at IS NULL',
    )
    .get();
  return usage as unknown as QueueUsage;
}
