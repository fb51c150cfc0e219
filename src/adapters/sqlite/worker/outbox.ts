import type { DatabaseSync } from 'node:sqlite';
import {
  createOutboxCapacity,
  type OutboxCapacity,
  type Usage,
} from '../../../core/webhooks/outbox-capacity.ts';
import type { OnRollback } from './transactions.ts';

/** Number of pending notices read at once. */
const PAGE_SIZE = 200;

interface StoredNotice {
  readonly place: number;
  readonly url: string;
  readonly bytes: number;
}

/** The arguments of `putNotice`. The last one is the notice in JSON. */
export type NoticeRow = readonly [id: string, url: string, usage: Usage, notice: string];

/** One page of notices in JSON, and where the next one begins; null at the end. */
export interface NoticePage {
  readonly notices: readonly string[];
  readonly next: number | null;
}

/**
 * Procedures of the Outbox. The usage of each endpoint is read at startup and counted in memory.
 */
export function createOutbox(db: DatabaseSync, limits: Usage) {
  const get = db.prepare('SELECT notice FROM notices WHERE id = ?');
  const insert = db.prepare('INSERT INTO notices (id, url, bytes, notice) VALUES (?, ?, ?, ?)');
  const replace = db.prepare('UPDATE notices SET url = ?, bytes = ?, notice = ? WHERE place = ?');
  const remove = db.prepare('DELETE FROM notices WHERE id = ? RETURNING url, bytes');
  const find = db.prepare('SELECT place, url, bytes FROM notices WHERE id = ?');
  const page = db.prepare(
    `SELECT place, notice FROM notices WHERE place > ? ORDER BY place LIMIT ${PAGE_SIZE}`,
  );
  const capacity = readCapacity(db, limits);

  return {
    reads: {
      findNotice: (id: string): string | null => {
        const row = get.get(id);
        return row ? String(row.notice) : null;
      },
      noticePage(after: number): NoticePage {
        const rows = page.all(after) as unknown as { place: number; notice: string }[];
        const next = rows.length < PAGE_SIZE ? null : (rows.at(-1)?.place ?? null);
        return { notices: rows.map(({ notice }) => notice), next };
      },
    },
    writes: {
      /** Returns false, and stores nothing, when there is no capacity for another. */
      putNotice(onRollback: OnRollback, ...[id, url, usage, notice]: NoticeRow): boolean {
        const stored = find.get(id) as StoredNotice | undefined;
        if (!stored && !capacity.hasFor(url, usage)) return false;
        if (stored) {
          const storedUsage = { notices: 1, bytes: stored.bytes };
          replace.run(url, usage.bytes, notice, stored.place);
          capacity.remove(stored.url, storedUsage);
          onRollback(() => capacity.add(stored.url, storedUsage));
        } else {
          insert.run(id, url, usage.bytes, notice);
        }
        capacity.add(url, usage);
        onRollback(() => capacity.remove(url, usage));
        return true;
      },
      removeNotice(onRollback: OnRollback, id: string): void {
        const removed = remove.get(id) as { url: string; bytes: number } | undefined;
        if (!removed) return;
        const usage = { notices: 1, bytes: removed.bytes };
        capacity.remove(removed.url, usage);
        onRollback(() => capacity.add(removed.url, usage));
      },
    },
  };
}

function readCapacity(db: DatabaseSync, limits: Usage): OutboxCapacity {
  const capacity = createOutboxCapacity(limits);
  const rows = db
    .prepare('SELECT url, count(*) AS notices, sum(bytes) AS bytes FROM notices GROUP BY url')
    .all();
  for (const { url, notices, bytes } of rows)
    capacity.add(String(url), { notices: Number(notices), bytes: Number(bytes) });
  return capacity;
}
