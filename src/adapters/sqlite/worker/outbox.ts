import type { DatabaseSync } from 'node:sqlite';
import {
  createOutboxCapacity,
  type OutboxCapacity,
  type Usage,
} from '../../../core/webhooks/outbox-capacity.ts';
import type { OnRollback } from './transactions.ts';

/** Number of pending notices read at once. */
const PAGE_SIZE = 200;
/** Maximum number of failed notices removed at once. */
const DROP_ROWS = 100;

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

/** Filters of a list of notices. Null matches any. `isFailed`: 1 or 0. */
export interface NoticeFilter {
  readonly key: string | null;
  readonly about: string | null;
  readonly isFailed: 0 | 1 | null;
  readonly limit: number;
  /** Only notices of an earlier place. */
  readonly before: number;
}

/**
 * Procedures of the Outbox. The usage of each endpoint is read at startup and counted in memory.
 *
 * @param retainMs how long failed notices are kept
 * @param now epoch ms by the clock of the file
 */
export function createOutbox(db: DatabaseSync, limits: Usage, retainMs: number, now: () => number) {
  const get = db.prepare('SELECT notice FROM notices WHERE id = ? AND leaves_at IS NULL');
  const getAny = db.prepare('SELECT notice FROM notices WHERE id = ? AND coalesce(leaves_at > ?, 1)');
  const insert = db.prepare('INSERT INTO notices (id, url, bytes, notice) VALUES (?, ?, ?, ?)');
  const replace = db.prepare(
    'UPDATE notices SET url = ?, bytes = ?, notice = ?, leaves_at = ? WHERE place = ?',
  );
  const remove = db.prepare('DELETE FROM notices WHERE id = ? AND leaves_at IS NULL RETURNING url, bytes');
  const find = db.prepare('SELECT place, url, bytes FROM notices WHERE id = ? AND leaves_at IS NULL');
  const findFailed = db.prepare('SELECT place, url, bytes FROM notices WHERE id = ? AND leaves_at > ?');
  const oldestFailed = db.prepare(
    `SELECT place, bytes, leaves_at FROM notices WHERE leaves_at IS NOT NULL ORDER BY leaves_at, place LIMIT 1`,
  );
  const removeAt = db.prepare('DELETE FROM notices WHERE place = ?');
  const page = db.prepare(
    `SELECT place, notice FROM notices WHERE place > ? AND leaves_at IS NULL ORDER BY place LIMIT ${PAGE_SIZE}`,
  );
  const list = db.prepare(
    `SELECT place, notice FROM notices
     WHERE place < $before AND coalesce(leaves_at > $now, 1)
       AND ($isFailed IS NULL OR (leaves_at IS NOT NULL) = $isFailed)
       AND ($key IS NULL OR json_extract(notice, '$.key') = $key)
       AND ($about IS NULL OR json_extract(notice, '$.about') = $about)
     ORDER BY place DESC LIMIT $limit`,
  );
  const capacity = readCapacity(db, limits);

  function add(url: string, usage: Usage, onRollback: OnRollback) {
    capacity.add(url, usage);
    onRollback(() => capacity.remove(url, usage));
  }

  function subtract(url: string, bytes: number, onRollback: OnRollback) {
    const usage = { notices: 1, bytes };
    capacity.remove(url, usage);
    onRollback(() => capacity.add(url, usage));
  }

  function addFailed(usage: Usage, onRollback: OnRollback) {
    capacity.addFailed(usage);
    onRollback(() => capacity.removeFailed(usage));
  }

  function subtractFailed(bytes: number, onRollback: OnRollback) {
    const usage = { notices: 1, bytes };
    capacity.removeFailed(usage);
    onRollback(() => capacity.addFailed(usage));
  }

  /**
   * Removes failed notices that have expired, and the oldest ones while there are too many, in one
   * small step. Returns whether there may be more.
   */
  function dropFailed(onRollback: OnRollback): boolean {
    for (let left = DROP_ROWS; left > 0; left--) {
      const oldest = oldestFailed.get();
      if (!oldest || (Number(oldest.leaves_at) > now() && capacity.fitsFailed())) return false;
      removeAt.run(Number(oldest.place));
      subtractFailed(Number(oldest.bytes), onRollback);
    }
    return true;
  }

  return {
    reads: {
      findNotice: (id: string): string | null => toNotice(get.get(id)),
      findAnyNotice: (id: string): string | null => toNotice(getAny.get(id, now())),
      noticePage(after: number): NoticePage {
        const rows = page.all(after) as unknown as { place: number; notice: string }[];
        const next = rows.length < PAGE_SIZE ? null : (rows.at(-1)?.place ?? null);
        return { notices: rows.map(({ notice }) => notice), next };
      },
      listNotices({ key, about, isFailed, limit, before }: NoticeFilter): [place: number, notice: string][] {
        const filter = { $key: key, $about: about, $isFailed: isFailed, $limit: limit, $before: before };
        return list
          .all({ ...filter, $now: now() })
          .map(({ place, notice }) => [Number(place), String(notice)]);
      },
    },
    writes: {
      /** Returns false, and stores nothing, when there is no capacity for another. */
      putNotice(onRollback: OnRollback, ...[id, url, usage, notice]: NoticeRow): boolean {
        const stored = find.get(id) as StoredNotice | undefined;
        if (!stored && !capacity.hasFor(url, usage)) return false;
        if (stored) {
          replace.run(url, usage.bytes, notice, null, stored.place);
          subtract(stored.url, stored.bytes, onRollback);
        } else {
          insert.run(id, url, usage.bytes, notice);
        }
        add(url, usage, onRollback);
        if (!capacity.fitsFailed()) dropFailed(onRollback);
        return true;
      },
      removeNotice(onRollback: OnRollback, id: string): void {
        const removed = remove.get(id) as { url: string; bytes: number } | undefined;
        if (removed) subtract(removed.url, removed.bytes, onRollback);
      },
      /** Makes a waiting notice a failed one. */
      failNotice(onRollback: OnRollback, ...[id, url, usage, notice]: NoticeRow): void {
        const stored = find.get(id) as StoredNotice | undefined;
        if (!stored) return;
        replace.run(url, usage.bytes, notice, now() + retainMs, stored.place);
        subtract(stored.url, stored.bytes, onRollback);
        addFailed(usage, onRollback);
        dropFailed(onRollback);
      },
      /** Makes a failed notice wait again. Returns false if it is gone, or if there is no capacity. */
      replayNotice(onRollback: OnRollback, ...[id, url, usage, notice]: NoticeRow): boolean {
        const stored = findFailed.get(id, now()) as StoredNotice | undefined;
        if (!stored || !capacity.hasFor(url, usage)) return false;
        replace.run(url, usage.bytes, notice, null, stored.place);
        subtractFailed(stored.bytes, onRollback);
        add(url, usage, onRollback);
        dropFailed(onRollback);
        return true;
      },
      dropFailedNotices: dropFailed,
    },
  };
}

function toNotice(row: Record<string, unknown> | undefined): string | null {
  return row ? String(row.notice) : null;
}

function readCapacity(db: DatabaseSync, limits: Usage): OutboxCapacity {
  const capacity = createOutboxCapacity(limits);
  const rows = db
    .prepare(
      `SELECT url, leaves_at IS NOT NULL AS is_failed, count(*) AS notices, sum(bytes) AS bytes
       FROM notices GROUP BY url, is_failed`,
    )
    .all();
  for (const { url, is_failed, notices, bytes } of rows) {
    const usage = { notices: Number(notices), bytes: Number(bytes) };
    if (is_failed) capacity.addFailed(usage);
    else capacity.add(String(url), usage);
  }
  return capacity;
}
