import type { DatabaseSync } from 'node:sqlite';
import type { Delivery, Status } from '../../../core/delivery/delivery.ts';
import { type Counted, createDeliveryCounters } from '../../../core/delivery/delivery-counters.ts';
import {
  COUNTED_HOURS,
  type DeliveryStats,
  type Settlement,
  settlementOf,
  statusesOf,
} from '../../../core/delivery/delivery-stats.ts';
import { HOUR } from '../../../core/time.ts';
import type { OnRollback } from './transactions.ts';

/** What is counted of a delivery, besides its columns. Epoch ms by the wall clock. */
export interface CountedTimes {
  /** See `firstDueAt`. */
  readonly firstDueAt: number;
  readonly finishedAt: number | null;
}

/** A row that is not tidied. */
export type OpenRow = Pick<Delivery, 'owner' | 'status'> &
  CountedTimes & { readonly place: number; readonly bytes: number };

/**
 * The numbers of deliveries. They are counted in memory with each change.
 *
 * The file has the counts of each hour without those deliveries that are settled and not tidied.
 * Tidying adds them in the transaction that marks their rows as tidy, so a crash neither loses nor
 * doubles any.
 */
export interface DeliveryCounts {
  /** Counts a change of a delivery. `from` is null if it is new. */
  change(from: Counted | null, to: Counted, finishedAt: number | null, onRollback: OnRollback): void;
  /** Stores the counts of what has settled since the last call. */
  store(onRollback: OnRollback): void;
  stats(owner: string | null, now: number): DeliveryStats;
}

/** @param open the rows that are not tidied */
export function createDeliveryCounts(db: DatabaseSync, open: readonly OpenRow[]): DeliveryCounts {
  const add = db.prepare(`
    INSERT INTO settled_hours VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET sent = sent + excluded.sent, failed = failed + excluded.failed
  `);
  const removeOld = db.prepare('DELETE FROM settled_hours WHERE hour <= ?');
  const counters = createDeliveryCounters();
  /** What has settled and is not in the file. */
  const unstored: Settlement[] = [];
  let storedHour = Number.NEGATIVE_INFINITY;

  for (const { owner, hour, sent, failed } of db.prepare('SELECT * FROM settled_hours').iterate()) {
    const settlement = { owner: String(owner), hour: Number(hour) };
    counters.settle({ ...settlement, result: 'sent' }, Number(sent));
    counters.settle({ ...settlement, result: 'failed' }, Number(failed));
  }
  for (const { owner, status, firstDueAt, finishedAt } of open) {
    counters.change(null, { owner, status, dueAt: firstDueAt });
    const settlement = settlementOf({ owner, status, finishedAt });
    if (settlement) settle(settlement);
  }

  function settle(settlement: Settlement) {
    counters.settle(settlement);
    unstored.push(settlement);
  }

  return {
    change(from, to, finishedAt, onRollback) {
      counters.change(from, to);
      onRollback(() => counters.change(to, from));
      const settlement = from?.status === to.status ? null : settlementOf({ ...to, finishedAt });
      if (settlement === null) return;
      settle(settlement);
      onRollback(() => {
        counters.settle(settlement, -1);
        unstored.pop();
      });
    },
    store(onRollback) {
      const settlements = unstored.splice(0);
      onRollback(() => unstored.push(...settlements));
      for (const group of Map.groupBy(settlements, ({ owner, hour }) => `${hour} ${owner}`).values()) {
        const [{ owner, hour }] = group as [Settlement];
        const sent = group.filter(({ result }) => result === 'sent').length;
        add.run(owner, hour, sent, group.length - sent);
        if (hour > storedHour) removeOld.run(hour - COUNTED_HOURS * HOUR);
        storedHour = Math.max(storedHour, hour);
      }
    },
    stats: counters.read,
  };
}

/** Reads the deliveries that are in the queue, or are settled and not tidied. */
export function readOpenRows(db: DatabaseSync): OpenRow[] {
  const rows = db.prepare(`
    SELECT place, bytes, owner, status, created_at,
      CASE WHEN status = 'scheduled' AND rtrim(state) = '{}' THEN due_at ELSE state ->> '$.scheduledAt' END,
      CASE WHEN ${statusIn('sent')} OR ${statusIn('failed')} THEN ${latest('finishedAt')} END
    FROM deliveries WHERE leaves_at IS NULL
  `);
  rows.setReturnArrays(true);
  return rows.all().map((row) => {
    const [place, bytes, owner, status, createdAt, scheduledAt, finishedAt] = row as unknown as [
      number,
      number,
      string,
      Status,
      number,
      number | null,
      number | null,
    ];
    return { place, bytes, owner, status, finishedAt, firstDueAt: Math.max(createdAt, scheduledAt ?? 0) };
  });
}

function statusIn(result: 'sent' | 'failed'): string {
  return `status IN (${statusesOf(result).map((status) => `'${status}'`)})`;
}

/** SQL: the latest value of a field, which is in the record until the first change. */
function latest(field: string): string {
  return `coalesce(
    state ->> '$.${field}', (SELECT record ->> '$.${field}' FROM records WHERE records.place = deliveries.place)
  )`;
}
