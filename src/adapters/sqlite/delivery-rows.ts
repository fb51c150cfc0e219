import type { DatabaseSync } from 'node:sqlite';
import { type Delivery, isSettled } from '../../core/delivery/delivery.ts';
import {
  decodeContent,
  decodeRecord,
  encodeContent,
  encodeRecord,
} from '../../core/delivery/delivery-codec.ts';

/** Statements on single deliveries and their contents. They run in the open transaction. */
export interface DeliveryRows {
  /** Returns null if there is none, or it has expired. */
  find(id: string): Delivery | null;
  /** Returns what an update needs to know. Null if there is no delivery, or it has expired. */
  findHead(id: string): DeliveryHead | null;
  insert(delivery: Delivery): void;
  update(place: number, to: Delivery): void;
}

export interface DeliveryHead {
  /** Primary key of the row. */
  readonly place: number;
  readonly revision: number;
  readonly bytes: number;
  /** Epoch ms by the clock of the file; null while the delivery is unsettled. */
  readonly leaves_at: number | null;
}

/**
 * @param retainMs lifetime of settled deliveries, in ms
 * @param now epoch ms by the clock of the file
 */
export function prepareDeliveryRows(db: DatabaseSync, retainMs: number, now: () => number): DeliveryRows {
  const isStored = 'id = ? AND coalesce(leaves_at > ?, 1)';
  const find = db.prepare(
    `SELECT record, content FROM deliveries LEFT JOIN contents USING (place) WHERE ${isStored}`,
  );
  const findHead = db.prepare(`SELECT place, revision, bytes, leaves_at FROM deliveries WHERE ${isStored}`);
  const insert = db.prepare(
    `INSERT OR REPLACE INTO deliveries (id, owner, priority, created_at, bytes, revision, status, account, due_at, leaves_at, record)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const update = db.prepare(
    'UPDATE deliveries SET revision = ?, status = ?, account = ?, due_at = ?, leaves_at = ?, record = ? WHERE place = ?',
  );
  const insertContent = db.prepare('INSERT OR REPLACE INTO contents VALUES (?, ?)');
  const deleteContent = db.prepare('DELETE FROM contents WHERE place = ?');

  /** Returns the values of the columns that an update changes, in the order of the statements. */
  function mutableColumns(delivery: Delivery) {
    const { revision, status, account } = delivery;
    const leavesAt = isSettled(status) ? now() + retainMs : null;
    return [revision, status, account, toDueAt(delivery, now()), leavesAt, encodeRecord(delivery)];
  }

  return {
    find(id) {
      const row = find.get(id, now()) as { record: string; content: Uint8Array | null } | undefined;
      return row ? decodeRecord(row.record, row.content && decodeContent(row.content)) : null;
    },
    findHead(id) {
      return (findHead.get(id, now()) as DeliveryHead | undefined) ?? null;
    },
    insert(delivery) {
      const { id, owner, priority, createdAt, bytes, content } = delivery;
      const fixedColumns = [id, owner, priority, createdAt, bytes];
      const { lastInsertRowid } = insert.run(...fixedColumns, ...mutableColumns(delivery));
      if (content) insertContent.run(lastInsertRowid, encodeContent(content));
    },
    update(place, to) {
      update.run(...mutableColumns(to), place);
      if (to.content === null) deleteContent.run(place);
    },
  };
}

/**
 * When a delivery is due after a restart. Null: at once. Positive: epoch ms by the wall clock, for
 * a time that the client has set. Negative: epoch ms by the clock of the file, for a back-off.
 */
function toDueAt(
  { status, scheduledAt, nextAttemptAt, expiresAt }: Delivery,
  fileNow: number,
): number | null {
  if (status === 'scheduled') return scheduledAt === null ? null : Math.ceil(scheduledAt);
  if (nextAttemptAt === null) return null;
  if (expiresAt !== null && expiresAt <= nextAttemptAt) return Math.ceil(expiresAt);
  return -Math.ceil(fileNow + nextAttemptAt - Date.now());
}

/** Converts a stored due time into a delay from now, in ms. */
export function toDelay(dueAt: number | null, fileNow: number): number {
  if (dueAt === null) return 0;
  return Math.max(0, dueAt < 0 ? -dueAt - fileNow : dueAt - Date.now());
}
