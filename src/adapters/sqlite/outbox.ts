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

/** Read at once of what is pending. */
const PAGE = 200;

interface Row {
  readonly place: number;
  readonly notice: string;
}

/** An Outbox in a file. What each endpoint holds is counted in memory, from the file at the start. */
export function createSqliteOutbox(db: DatabaseSync, commits: GroupCommit, limits: Usage): Outbox {
  const get = db.prepare('SELECT notice FROM notices WHERE id = ?');
  const insert = db.prepare('INSERT INTO notices (id, url, bytes, notice) VALUES (?, ?, ?, ?)');
  const replace = db.prepare('UPDATE notices SET url = ?, bytes = ?, notice = ? WHERE place = ?');
  const remove = db.prepare('DELETE FROM notices WHERE id = ? RETURNING url, bytes');
  const held = db.prepare('SELECT place, url, bytes FROM notices WHERE id = ?');
  const page = db.prepare(`SELECT place, notice FROM notices WHERE place > ? ORDER BY place LIMIT ${PAGE}`);
  const capacity = readCapacity(db, limits);

  return {
    put(notice) {
      const { id, url } = notice;
      const usage = usageOf(notice);
      return commits.write((onRollback) => {
        const former = held.get(id) as { place: number; url: string; bytes: number } | undefined;
        if (!former && !capacity.hasFor(url, usage)) return false;
        if (former) {
          const given = { notices: 1, bytes: former.bytes };
          replace.run(url, usage.bytes, JSON.stringify(notice), former.place);
          capacity.remove(former.url, given);
          onRollback(() => capacity.add(former.url, given));
        } else {
          insert.run(id, url, usage.bytes, JSON.stringify(notice));
        }
        capacity.add(url, usage);
        onRollback(() => capacity.remove(url, usage));
        return true;
      });
    },
    get(id) {
      return commits.read(() => parse(get.get(id)));
    },
    remove(id) {
      return commits.write((onRollback) => {
        const gone = remove.get(id) as { url: string; bytes: number } | undefined;
        if (!gone) return;
        const usage = { notices: 1, bytes: gone.bytes };
        capacity.remove(gone.url, usage);
        onRollback(() => capacity.add(gone.url, usage));
      });
    },
    async *pending() {
      let last: number | undefined = 0;
      while (last !== undefined) {
        const after: number = last;
        const rows = (await commits.read(() => page.all(after))) as unknown as Row[];
        for (const { notice } of rows) yield JSON.parse(notice);
        last = rows.length < PAGE ? undefined : rows.at(-1)?.place;
        if (last !== undefined) await nextTurn();
      }
    },
  };
}

function readCapacity(db: DatabaseSync, bounds: Usage): OutboxCapacity {
  const room = createOutboxCapacity(bounds);
  for (const { url, notices, bytes } of db
    .prepare('SELECT url, count(*) AS notices, sum(bytes) AS bytes FROM notices GROUP BY url')
    .all()) {
    room.add(String(url), { notices: Number(notices), bytes: Number(bytes) });
  }
  return room;
}

function parse(row: Record<string, unknown> | undefined): Notice | null {
  return row ? JSON.parse(String(row.notice)) : null;
}
