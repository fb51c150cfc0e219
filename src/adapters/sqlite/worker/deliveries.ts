import type { DatabaseSync } from 'node:sqlite';
import {
  checkQueueCapacity,
  type QueueLimits,
  type QueueUsage,
} from '../../../core/delivery/queue-capacity.ts';
import type { OnRollback } from './transactions.ts';

/** A delivery as it is stored, see delivery-rows.ts: record, state and content. */
export type StoredDelivery = readonly [record: string, state: string, content: Uint8Array | null];

/** The columns that never change. */
export interface FixedColumns {
  readonly id: string;
  readonly owner: string;
  readonly priority: string;
  readonly createdAt: number;
  readonly bytes: number;
}

/** The columns that a change may replace, see schema.ts. */
export interface MutableColumns {
  readonly revision: number;
  readonly status: string;
  readonly account: string;
  readonly dueAt: number | null;
  readonly leavesAt: number | null;
  readonly state: string;
}

interface Head {
  readonly place: number;
  readonly revision: number;
  readonly bytes: number;
  readonly leaves_at: number | null;
}

/**
 * Procedures on single deliveries. The usage of unsettled deliveries is read at startup and counted
 * in memory.
 *
 * @param now epoch ms by the clock of the file
 */
export function createDeliveries(db: DatabaseSync, limits: QueueLimits, now: () => number) {
  const isStored = 'id = ? AND coalesce(leaves_at > ?, 1)';
  const find = db.prepare(
    `SELECT record, state, content FROM deliveries JOIN records USING (place) LEFT JOIN contents USING (place) WHERE ${isStored}`,
  );
  find.setReturnArrays(true);
  const findHead = db.prepare(`SELECT place, revision, bytes, leaves_at FROM deliveries WHERE ${isStored}`);
  const insert = db.prepare(
    `INSERT OR REPLACE INTO deliveries (id, owner, priority, created_at, bytes, revision, status, account, due_at, leaves_at, state)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const insertRecord = db.prepare('INSERT INTO records VALUES (?, ?)');
  const insertContent = db.prepare('INSERT INTO contents VALUES (?, ?)');
  const change = 'UPDATE deliveries SET revision = ?, status = ?, account = ?, due_at = ?, state = ?';
  const update = db.prepare(`${change} WHERE place = ?`);
  // Apart from `update`, because naming the column changes the indexes even if its value stays.
  const updateExpiry = db.prepare('UPDATE deliveries SET leaves_at = ? WHERE place = ?');
  const deleteContent = db.prepare('DELETE FROM contents WHERE place = ?');
  let unsettled = readUsage(db);

  function count(bytes: number, sign: 1 | -1, onRollback: OnRollback) {
    const before = unsettled;
    unsettled = { messages: unsettled.messages + sign, bytes: unsettled.bytes + sign * bytes };
    onRollback(() => {
      unsettled = before;
    });
  }

  const findDelivery = (id: string) => (find.get(id, now()) as unknown as StoredDelivery | undefined) ?? null;

  return {
    unsettled: () => unsettled,
    reads: { findDelivery },
    writes: {
      /** Returns the stored delivery if the id is known already, else null. */
      insertDelivery(
        onRollback: OnRollback,
        { id, owner, priority, createdAt, bytes }: FixedColumns,
        { revision, status, account, dueAt, leavesAt, state }: MutableColumns,
        record: string,
        content: Uint8Array | null,
      ): StoredDelivery | null {
        const known = findDelivery(id);
        if (known) return known;
        checkQueueCapacity(unsettled, limits, bytes);
        const fixed = [id, owner, priority, createdAt, bytes];
        const { lastInsertRowid } = insert.run(...fixed, revision, status, account, dueAt, leavesAt, state);
        insertRecord.run(lastInsertRowid, record);
        if (content) insertContent.run(lastInsertRowid, content);
        count(bytes, 1, onRollback);
        return null;
      },
      /** Returns false, and changes nothing, if the delivery is gone or has another revision. */
      updateDelivery(
        onRollback: OnRollback,
        id: string,
        fromRevision: number,
        { revision, status, account, dueAt, leavesAt, state }: MutableColumns,
        dropContent: boolean,
      ): boolean {
        const head = findHead.get(id, now()) as Head | undefined;
        if (head?.revision !== fromRevision) return false;
        const { place, bytes, leaves_at } = head;
        const wasSettled = leaves_at !== null;
        const settles = leavesAt !== null;
        if (wasSettled && !settles) checkQueueCapacity(unsettled, limits, bytes);
        update.run(revision, status, account, dueAt, state, place);
        if (wasSettled || settles) updateExpiry.run(leavesAt, place);
        if (dropContent) deleteContent.run(place);
        if (wasSettled !== settles) count(bytes, settles ? -1 : 1, onRollback);
        return true;
      },
    },
  };
}

function readUsage(db: DatabaseSync): QueueUsage {
  const usage = db
    .prepare(
      'SELECT count(*) AS messages, coalesce(sum(bytes), 0) AS bytes FROM deliveries WHERE leaves_at IS NULL',
    )
    .get();
  return { ...usage } as unknown as QueueUsage;
}
