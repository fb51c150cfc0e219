import type { DatabaseSync } from 'node:sqlite';
import { isAmended, isRetryable, isSettled, STATUSES, type Status } from '../../../core/delivery/delivery.ts';
import {
  checkQueueCapacity,
  type QueueLimits,
  type QueueUsage,
} from '../../../core/delivery/queue-capacity.ts';
import type { ThreadSetup } from '../protocol.ts';
import { type CountedTimes, createDeliveryCounts, readOpenRows } from './delivery-counts.ts';
import { createKeptContents } from './kept-contents.ts';
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
  readonly signature: number;
}

/** The columns that a change replaces, see schema.ts, and what is counted. */
export interface MutableColumns extends CountedTimes {
  readonly revision: number;
  readonly status: Status;
  /** Of the queue. */
  readonly channel: string;
  readonly dueAt: number | null;
  readonly bounced: boolean;
  readonly state: string;
}

interface Head {
  readonly place: number;
  readonly owner: string;
  readonly revision: number;
  readonly status: Status;
  readonly bytes: number;
  readonly leaves_at: number | null;
}

/** A delivery that has settled and is not tidied yet. */
interface Untidy {
  readonly place: number;
  readonly bytes: number;
  /** Epoch ms by the clock of the file. */
  readonly leavesAt: number;
}

/** Number of settled deliveries that are tidied at once at the latest. */
const TIDY_ROWS = 100;

/** An SQL condition: the status is one of those for which the test is true. */
function statusWhere(test: (status: Status) => boolean): string {
  return `status IN (${STATUSES.filter(test).map((status) => `'${status}'`)})`;
}

/** The status of deliveries that are in the queue. */
export const UNSETTLED = statusWhere((status) => !isSettled(status));
const SETTLED = statusWhere(isSettled);
const WITHOUT_CONTENT = statusWhere((status) => isSettled(status) && !isRetryable(status));

/**
 * Procedures on single deliveries. The usage of unsettled deliveries is read at startup and counted
 * in memory.
 *
 * A change writes only the row of `deliveries`. What else follows from a delivery that settles is
 * done for many of them at once, a moment later: its content is removed, its row moves from one
 * index to the other, and it is added to the counts of its hour. After a crash it is done at the next start.
 *
 * @param now epoch ms by the clock of the file
 */
export function createDeliveries(
  db: DatabaseSync,
  {
    retainMs,
    retainContentMs = 0,
    ...limits
  }: QueueLimits & Pick<ThreadSetup, 'retainMs' | 'retainContentMs'>,
  now: () => number,
) {
  const isStored = 'id = ? AND coalesce(deliveries.leaves_at > ?, 1)';
  const find = db.prepare(`
    SELECT record, state, content FROM deliveries JOIN records USING (place)
    LEFT JOIN contents ON contents.place = deliveries.place AND NOT (${WITHOUT_CONTENT})
    WHERE ${isStored}
  `);
  find.setReturnArrays(true);
  const findHead = db.prepare(
    `SELECT place, owner, revision, status, bytes, leaves_at FROM deliveries WHERE ${isStored}`,
  );
  const insert = db.prepare(
    `INSERT OR REPLACE INTO deliveries (id, owner, priority, created_at, bytes, signature, revision, status, account, due_at, state)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const insertRecord = db.prepare('INSERT INTO records VALUES (?, ?)');
  const insertContent = db.prepare('INSERT INTO contents VALUES (?, ?)');
  const update = db.prepare(
    'UPDATE deliveries SET revision = ?, status = ?, account = ?, due_at = ?, state = ? WHERE place = ?',
  );
  const markBounced = db.prepare('UPDATE deliveries SET bounced = 1 WHERE place = ? AND bounced IS NULL');
  const revive = db.prepare('UPDATE deliveries SET leaves_at = NULL WHERE place = ?');
  const expire = db.prepare(
    `UPDATE deliveries SET leaves_at = ? WHERE place = ? AND leaves_at IS NULL AND ${SETTLED}`,
  );
  const isWithoutContent = db.prepare(`SELECT 1 FROM deliveries WHERE place = ? AND ${WITHOUT_CONTENT}`);
  const findKept = db.prepare(`
    SELECT content FROM deliveries JOIN contents USING (place) LEFT JOIN kept_contents USING (place)
    WHERE ${isStored} AND (NOT (${WITHOUT_CONTENT}) OR coalesce(kept_contents.leaves_at, ?) > ?)
  `);
  findKept.setReturnArrays(true);
  const kept = createKeptContents(db, { retainContentMs, maxBytes: limits.maxBytes }, now);
  const open = readOpenRows(db);
  const counts = createDeliveryCounts(db, open);
  const untidy: Untidy[] = open
    .filter(({ status }) => isSettled(status))
    .map(({ place, bytes }) => ({ place, bytes, leavesAt: now() + retainMs }));
  let unsettled: QueueUsage = { messages: 0, bytes: 0 };
  for (const { status, bytes } of open) if (!isSettled(status)) unsettled = add(unsettled, 1, bytes);

  function count(bytes: number, sign: 1 | -1, onRollback: OnRollback) {
    const before = unsettled;
    unsettled = add(unsettled, sign, sign * bytes);
    onRollback(() => {
      unsettled = before;
    });
  }

  function settle(place: number, bytes: number, onRollback: OnRollback) {
    untidy.push({ place, bytes, leavesAt: now() + retainMs });
    onRollback(() => untidy.pop());
    if (untidy.length >= TIDY_ROWS) tidy(onRollback);
  }

  /** Tidies the deliveries that are still settled. */
  function tidy(onRollback: OnRollback): void {
    const rows = untidy.splice(0);
    onRollback(() => untidy.push(...rows));
    for (const { place, bytes, leavesAt } of rows) {
      if (expire.run(leavesAt, place).changes === 0) continue;
      if (isWithoutContent.get(place)) kept.settle(place, bytes, onRollback);
    }
    counts.store(onRollback);
  }

  const findDelivery = (id: string) => (find.get(id, now()) as unknown as StoredDelivery | undefined) ?? null;

  return {
    unsettled: () => unsettled,
    untidy: () => untidy.length,
    untidyPlaces: () => untidy.map(({ place }) => place),
    reads: {
      findDelivery,
      /** Returns the content, in an array because it is moved. Null if it is not kept. */
      findContent(id: string): readonly [content: Uint8Array] | null {
        const time = now();
        // Content of a delivery that is not tidied will be kept.
        const untidyUntil = time + retainContentMs;
        return (findKept.get(id, time, untidyUntil, time) as unknown as [Uint8Array] | undefined) ?? null;
      },
      deliveryStats: counts.stats,
    },
    writes: {
      /** Returns the stored delivery if the id is known already, else null. */
      insertDelivery(
        onRollback: OnRollback,
        { id, owner, priority, createdAt, bytes, signature }: FixedColumns,
        { revision, status, channel, dueAt, bounced, state, firstDueAt, finishedAt }: MutableColumns,
        record: string,
        content: Uint8Array | null,
      ): StoredDelivery | null {
        const known = findDelivery(id);
        if (known) return known;
        checkQueueCapacity(unsettled, limits, bytes);
        const fixed = [id, owner, priority, createdAt, bytes, signature];
        const { lastInsertRowid } = insert.run(...fixed, revision, status, channel, dueAt, state);
        insertRecord.run(lastInsertRowid, record);
        if (bounced) markBounced.run(lastInsertRowid);
        if (content) insertContent.run(lastInsertRowid, content);
        count(bytes, 1, onRollback);
        counts.change(null, { owner, status, dueAt: firstDueAt }, finishedAt, onRollback);
        return null;
      },
      /** Returns false, and changes nothing, if the delivery is gone or has another revision. */
      updateDelivery(
        onRollback: OnRollback,
        id: string,
        fromRevision: number,
        fromDueAt: number,
        { revision, status, channel, dueAt, bounced, state, firstDueAt, finishedAt }: MutableColumns,
      ): boolean {
        const head = findHead.get(id, now()) as Head | undefined;
        if (head?.revision !== fromRevision) return false;
        const { place, owner, bytes, leaves_at } = head;
        if (bounced) markBounced.run(place);
        if (isAmended(head, { status })) {
          update.run(revision, status, channel, dueAt, state, place);
          return true;
        }
        const wasSettled = isSettled(head.status);
        const settles = isSettled(status);
        if (wasSettled && !settles) checkQueueCapacity(unsettled, limits, bytes);
        // What has settled is counted in the file before its row says otherwise.
        if (wasSettled && leaves_at === null) tidy(onRollback);
        update.run(revision, status, channel, dueAt, state, place);
        if (wasSettled) revive.run(place);
        if (settles) settle(place, bytes, onRollback);
        if (wasSettled !== settles) count(bytes, settles ? -1 : 1, onRollback);
        const before = { owner, status: head.status, dueAt: fromDueAt };
        counts.change(before, { owner, status, dueAt: firstDueAt }, finishedAt, onRollback);
        return true;
      },
      tidySettled: tidy,
      removeExpiredContents: kept.removeExpired,
    },
  };
}

function add({ messages, bytes }: QueueUsage, addedMessages: number, addedBytes: number): QueueUsage {
  return { messages: messages + addedMessages, bytes: bytes + addedBytes };
}
