import type { DatabaseSync } from 'node:sqlite';
import { isSettled } from '../../core/delivery/delivery.ts';
import { AppError } from '../../core/errors.ts';
import type { DeliveryStore } from '../../core/ports/delivery-store.ts';
import { prepareDeliveryRows } from './delivery-rows.ts';
import type { GroupCommit, OnRollback } from './group-commit.ts';
import { createListing } from './listing.ts';

export interface SqliteStoreOptions {
  /** What may wait at once: QUEUE_MAX_MESSAGES and QUEUE_MAX_BYTES. */
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
}

interface Totals {
  readonly messages: number;
  readonly bytes: number;
}

/** A Store in a file. What waits is counted in memory, from the file at the start. */
export function createSqliteStore(
  db: DatabaseSync,
  commits: GroupCommit,
  { maxMessages, maxBytes, retainMs }: SqliteStoreOptions,
): DeliveryStore {
  const rows = prepareDeliveryRows(db, retainMs, commits.now);
  let open = readTotals(db);

  function count(bytes: number, sign: 1 | -1, onRollback: OnRollback) {
    const before = open;
    open = { messages: open.messages + sign, bytes: open.bytes + sign * bytes };
    onRollback(() => {
      open = before;
    });
  }

  function assertCapacity(bytes: number) {
    const { messages, bytes: held } = open;
    if (messages >= maxMessages)
      throw full(`It holds ${messages} messages; QUEUE_MAX_MESSAGES allows ${maxMessages}.`);
    if (held + bytes > maxBytes) throw full(`It holds ${held} bytes; QUEUE_MAX_BYTES allows ${maxBytes}.`);
  }

  return {
    insert(delivery) {
      return commits.write((onRollback) => {
        const known = rows.find(delivery.id);
        if (known) return known;
        assertCapacity(delivery.bytes);
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
        const head = rows.findHead(to.id);
        if (head?.revision !== from.revision) return false;
        const [wasSettled, settles] = [head.leaves_at !== null, isSettled(to.status)];
        if (wasSettled && !settles) assertCapacity(head.bytes);
        rows.update(head.place, to);
        if (wasSettled !== settles) count(head.bytes, settles ? -1 : 1, onRollback);
        return true;
      });
    },
    // Nothing is dropped before RETAIN.
    tombstone: async () => null,
    ...createListing(db, commits),
    refusalCode() {
      if (commits.isFailing()) return 'queue_unavailable';
      return open.messages < maxMessages && open.bytes < maxBytes ? null : 'queue_full';
    },
    freeBytes() {
      return maxBytes - open.bytes;
    },
    healthProblem: () => commits.checkFile(),
    onRemoteChange() {},
  };
}

function readTotals(db: DatabaseSync): Totals {
  const totals = db
    .prepare(
      'SELECT count(*) AS messages, coalesce(sum(bytes), 0) AS bytes FROM deliveries WHERE leaves_at IS NULL',
    )
    .get();
  return totals as unknown as Totals;
}

function full(detail: string): AppError {
  return new AppError('queue_full', { detail });
}
