import type { DatabaseSync } from 'node:sqlite';
import { isSettled } from '../../core/delivery/delivery.ts';
import { AppError } from '../../core/errors.ts';
import type { DeliveryStore } from '../../core/ports/delivery-store.ts';
import { prepareDeliveryRows } from './delivery-rows.ts';
import type { GroupCommit, OnRollback } from './group-commit.ts';
import { createListing } from './listing.ts';

export interface SqliteStoreOptions {
  /** Limits of unsettled deliveries: QUEUE_MAX_MESSAGES and QUEUE_MAX_BYTES. */
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
}

interface Totals {
  readonly messages: number;
  readonly bytes: number;
}

/**
 * Creates a DeliveryStore in a file. The totals of unsettled deliveries are read at startup and
 * counted in memory.
 */
export function createSqliteStore(
  db: DatabaseSync,
  groupCommit: GroupCommit,
  { maxMessages, maxBytes, retainMs }: SqliteStoreOptions,
): DeliveryStore {
  const rows = prepareDeliveryRows(db, retainMs, groupCommit.now);
  let unsettled = readTotals(db);

  function count(bytes: number, sign: 1 | -1, onRollback: OnRollback) {
    const before = unsettled;
    unsettled = { messages: unsettled.messages + sign, bytes: unsettled.bytes + sign * bytes };
    onRollback(() => {
      unsettled = before;
    });
  }

  /** @throws {AppError} `queue_full` if another delivery of this size would exceed a limit */
  function assertCapacity(bytes: number) {
    const { messages, bytes: used } = unsettled;
    if (messages >= maxMessages)
      throw queueFull(`It holds ${messages} messages; QUEUE_MAX_MESSAGES allows ${maxMessages}.`);
    if (used + bytes > maxBytes)
      throw queueFull(`It holds ${used} bytes; QUEUE_MAX_BYTES allows ${maxBytes}.`);
  }

  return {
    insert(delivery) {
      return groupCommit.write((onRollback) => {
        const known = rows.find(delivery.id);
        if (known) return known;
        assertCapacity(delivery.bytes);
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
        if (wasSettled && !settles) assertCapacity(head.bytes);
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
      return unsettled.messages < maxMessages && unsettled.bytes < maxBytes ? null : 'queue_full';
    },
    freeBytes() {
      return maxBytes - unsettled.bytes;
    },
    healthProblem: () => groupCommit.checkFile(),
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

function queueFull(detail: string): AppError {
  return new AppError('queue_full', { detail });
}
