import type { DatabaseSync } from 'node:sqlite';
import { isSettled } from '../../core/delivery/delivery.ts';
import {
  checkQueueCapacity,
  isQueueFull,
  type QueueLimits,
  type QueueUsage,
} from '../../core/delivery/queue-capacity.ts';
import type { DeliveryStore } from '../../core/ports/delivery-store.ts';
import type { GroupCommit, OnRollback } from './group-commit.ts';
import { createListing } from './listing.ts';
import { prepareRows } from './rows.ts';

export interface SqliteStoreOptions extends QueueLimits {
  readonly retainMs: number;
}

/** A Store in a file. What waits is counted in memory, from the file at the start. */
export function createSqliteStore(
  db: DatabaseSync,
  commits: GroupCommit,
  { retainMs, ...limits }: SqliteStoreOptions,
): DeliveryStore {
  const rows = prepareRows(db, retainMs, commits.now);
  let open = totalsOf(db);

  function count(bytes: number, sign: 1 | -1, onRollback: OnRollback) {
    const before = open;
    open = { messages: open.messages + sign, bytes: open.bytes + sign * bytes };
    onRollback(() => {
      open = before;
    });
  }

  return {
    insert(delivery) {
      return commits.write((onRollback) => {
        const known = rows.find(delivery.id);
        if (known) return known;
        checkQueueCapacity(open, limits, delivery.bytes);
        rows.insert(delivery);
        count(delivery.bytes, 1, onRollback);
        return delivery;
      });
    },
    get(id) {
      return commits.read(() => rows.find(id));
    },
    update(from, to) {
      return commits.write((onRollback) => {
        const head = rows.head(to.id);
        if (head?.revision !== from.revision) return false;
        const [wasSettled, settles] = [head.leaves_at !== null, isSettled(to.status)];
        if (wasSettled && !settles) checkQueueCapacity(open, limits, head.bytes);
        rows.update(head.place, to);
        if (wasSettled !== settles) count(head.bytes, settles ? -1 : 1, onRollback);
        return true;
      });
    },
    // Nothing is dropped before RETAIN.
    tombstone: async () => null,
    ...createListing(db, commits),
    refusal() {
      if (commits.isFailing()) return 'queue_unavailable';
      return isQueueFull(open, limits) ? 'queue_full' : null;
    },
    freeBytes() {
      return limits.maxBytes - open.bytes;
    },
    trouble: () => commits.checkFile(),
    onChangeElsewhere() {},
  };
}

function totalsOf(db: DatabaseSync): QueueUsage {
  const totals = db
    .prepare(
      'SELECT count(*) AS messages, coalesce(sum(bytes), 0) AS bytes FROM deliveries WHERE leaves_at IS NULL',
    )
    .get();
  return totals as unknown as QueueUsage;
}
