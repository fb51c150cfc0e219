import type { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Notice, Outbox } from '../../core/ports/outbox.ts';
import {
  createOutboxCapacity,
  type OutboxCapacity,
  type Usage,
  usageOf,
} from '../../core/webhooks/outbox-capacity.ts';
import type { GroupCommit } from './group-commit.ts';

/** Number of pending notices read at once. */
const PAGE_SIZE = 200;

interface Row {
  readonly place: number;
  readonly notice: string;
}

/**
 * Creates an Outbox in a file. The usage of each endpoint is read at startup and counted in memory.
 */
export function createSqliteOutbox(db: DatabaseSync, groupCommit: GroupCommit, limits: Usage): Outbox {
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
    put(notice) {
      const { id, url } = notice;
      const usage = usageOf(notice);
      return groupCommit.write((onRollback) => {
        const stored = find.get(id) as { place: number; url: string; bytes: number } | undefined;
        if (!stored && !capacity.hasFor(url, usage)) return false;
        if (stored) {
          const storedUsage = { notices: 1, bytes: stored.bytes };
          replace.run(url, usage.bytes, JSON.stringify(notice), stored.place);
          capacity.remove(stored.url, storedUsage);
          onRollback(() => capacity.add(stored.url, storedUsage));
        } else {
          insert.run(id, url, usage.bytes, JSON.stringify(notice));
        }
        capacity.add(url, usage);
        onRollback(() => capacity.remove(url, usage));
        return true;
      });
    },
    get(id) {
      return groupCommit.read(() => parseNotice(get.get(id)));
    },
    remove(id) {
      return groupCommit.write((onRollback) => {
        const removed = remove.get(id) as { url: string; bytes: number } | undefined;
        if (!removed) return;
        const usage = { notices: 1, bytes: removed.bytes };
        capacity.remove(removed.url, usage);
        onRollback(() => capacity.add(removed.url, usage));
      });
    },
    async *pending() {
      let last: number | undefined = 0;
      while (last !== undefined) {
        const after: number = last;
        const rows = (await groupCommit.read(() => page.all(after))) as unknown as Row[];
        for (const { notice } of rows) yield JSON.parse(notice);
        last = rows.length < PAGE_SIZE ? undefined : rows.at(-1)?.place;
        if (last !== undefined) await nextTurn();
      }
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

function parseNotice(row: Record<string, unknown> | undefined): Notice | null {
  return row ? JSON.parse(String(row.notice)) : null;
}
