import { matchesNotice, type Notice } from '../../core/ports/outbox.ts';
import type { NoticeRecords } from '../../core/webhooks/notice-queue.ts';
import { createOutboxCapacity, type Usage, usageOf } from '../../core/webhooks/outbox-capacity.ts';

interface Entry {
  readonly notice: Notice;
  /** Increases with each notice that is added. */
  readonly place: number;
  /** When a failed one expires, by `performance.now()`. Null while it waits. */
  readonly expiresAt: number | null;
}

/**
 * Creates NoticeRecords in memory. Notices are immutable, so it returns the stored objects.
 *
 * @param retainMs how long failed notices are kept
 */
export function createMemoryOutbox(limits: Usage, retainMs: number): NoticeRecords {
  const entries = new Map<string, Entry>();
  /** Ids of the failed ones, the oldest first. */
  const failed = new Set<string>();
  const capacity = createOutboxCapacity(limits);
  let places = 0;

  function find(id: string, isFailed: boolean): Entry | null {
    const entry = entries.get(id);
    return entry && failed.has(id) === isFailed && !isExpired(entry) ? entry : null;
  }

  function remove(id: string) {
    const entry = entries.get(id);
    if (!entry) return;
    const { notice } = entry;
    entries.delete(id);
    if (failed.delete(id)) capacity.removeFailed(usageOf(notice));
    else capacity.remove(notice.url, usageOf(notice));
  }

  /** Replaces the waiting or failed notice. It keeps its place in the list. */
  function putWaiting(notice: Notice) {
    const place = entries.get(notice.id)?.place ?? places++;
    remove(notice.id);
    entries.set(notice.id, { notice, place, expiresAt: null });
    capacity.add(notice.url, usageOf(notice));
    dropFailed();
  }

  function dropFailed() {
    for (const id of failed) {
      const entry = entries.get(id);
      if (entry && !isExpired(entry) && capacity.fitsFailed()) return;
      remove(id);
    }
  }

  return {
    async put(notice) {
      if (!find(notice.id, false) && !capacity.hasFor(notice.url, usageOf(notice))) return false;
      putWaiting(notice);
      return true;
    },
    async get(id) {
      return find(id, false)?.notice ?? null;
    },
    async remove(id) {
      if (find(id, false)) remove(id);
    },
    async *pending() {
      yield* [...entries.values()].flatMap(({ notice, expiresAt }) => (expiresAt === null ? [notice] : []));
    },
    async fail(notice) {
      const entry = find(notice.id, false);
      if (!entry) return;
      remove(notice.id);
      entries.set(notice.id, { notice, place: entry.place, expiresAt: performance.now() + retainMs });
      failed.add(notice.id);
      capacity.addFailed(usageOf(notice));
      dropFailed();
    },
    async replay(notice) {
      if (!find(notice.id, true) || !capacity.hasFor(notice.url, usageOf(notice))) return false;
      putWaiting(notice);
      return true;
    },
    async find(id) {
      return (find(id, false) ?? find(id, true))?.notice ?? null;
    },
    async list(query) {
      const before = query.after === null ? Number.POSITIVE_INFINITY : Number(query.after);
      return [...entries.values()]
        .filter((entry) => entry.place < before && !isExpired(entry) && matchesNotice(entry.notice, query))
        .sort((a, b) => b.place - a.place)
        .slice(0, query.limit)
        .map(({ notice, place }) => ({ notice, position: String(place) }));
    },
  };
}

function isExpired({ expiresAt }: Entry): boolean {
  return expiresAt !== null && expiresAt <= performance.now();
}
