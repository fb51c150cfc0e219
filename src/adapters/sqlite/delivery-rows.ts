import type { DatabaseSync } from 'node:sqlite';
import { type Delivery, isSettled } from '../../core/delivery/delivery.ts';
import {
  decodeContent,
  decodeRecord,
  encodeContent,
  encodeRecord,
} from '../../core/delivery/delivery-codec.ts';

/** The statements on deliveries and their contents, one delivery each. They run in whatever transaction is open. */
export interface DeliveryRows {
  /** Null also once its time is over. */
  find(id: string): Delivery | null;
  /** What there is to know of a delivery before it is changed. Null also once its time is over. */
  findHead(id: string): DeliveryHead | null;
  insert(delivery: Delivery): void;
  update(place: number, to: Delivery): void;
}

export interface DeliveryHead {
  readonly place: number;
  readonly revision: number;
  readonly bytes: number;
  /** Null: not settled. */
  readonly leaves_at: number | null;
}

/**
 * @param retainMs how long settled deliveries stay
 * @param now epoch ms by the clock of the file
 */
export function prepareDeliveryRows(db: DatabaseSync, retainMs: number, now: () => number): DeliveryRows {
  const kept = 'id = ? AND coalesce(leaves_at > ?, 1)';
  const find = db.prepare(
    `SELECT record, content FROM deliveries LEFT JOIN contents USING (place) WHERE ${kept}`,
  );
  const head = db.prepare(`SELECT place, revision, bytes, leaves_at FROM deliveries WHERE ${kept}`);
  const insert = db.prepare(
    `INSERT OR REPLACE INTO deliveries (id, owner, priority, created_at, bytes, revision, status, account, due_at, leaves_at, record)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const update = db.prepare(
    'UPDATE deliveries SET revision = ?, status = ?, account = ?, due_at = ?, leaves_at = ?, record = ? WHERE place = ?',
  );
  const insertContent = db.prepare('INSERT OR REPLACE INTO contents VALUES (?, ?)');
  const deleteContent = db.prepare('DELETE FROM contents WHERE place = ?');

  function changing(delivery: Delivery) {
    const { revision, status, account } = delivery;
    const leavesAt = isSettled(status) ? now() + retainMs : null;
    return [revision, status, account, toDueAt(delivery, now()), leavesAt, encodeRecord(delivery)];
  }

  return {
    find(id) {
      const row = find.get(id, now()) as { record: string; content: Uint8Array | null } | undefined;
      return row ? toDelivery(row) : null;
    },
    findHead(id) {
      return (head.get(id, now()) as DeliveryHead | undefined) ?? null;
    },
    insert(delivery) {
      const { id, owner, priority, createdAt, bytes, content } = delivery;
      const { lastInsertRowid } = insert.run(id, owner, priority, createdAt, bytes, ...changing(delivery));
      if (content) insertContent.run(lastInsertRowid, encodeContent(content));
    },
    update(place, to) {
      update.run(...changing(to), place);
      if (to.content === null) deleteContent.run(place);
    },
  };
}

export function toDelivery({ record, content }: { record: string; content: Uint8Array | null }): Delivery {
  return decodeRecord(record, content && decodeContent(content));
}

/**
 * When the queue is to give it, after a restart: null is at once. In epoch ms: by the wall clock for what the client has set; by the clock of the file,
 * and negative, for a back-off.
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

/** How long an id waits after a restart, in ms. */
export function toDelay(due: number | null, fileNow: number): number {
  if (due === null) return 0;
  return Math.max(0, due < 0 ? -due - fileNow : due - Date.now());
}
