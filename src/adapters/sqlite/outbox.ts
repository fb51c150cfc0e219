import type { Notice } from '../../core/ports/outbox.ts';
import type { NoticeRecords } from '../../core/webhooks/notice-queue.ts';
import { usageOf } from '../../core/webhooks/outbox-capacity.ts';
import type { Database } from './database.ts';
import type { NoticePage, NoticeRow } from './worker/outbox.ts';

/** Returns the arguments of `putNotice`. */
export function toNoticeRow(notice: Notice): NoticeRow {
  const { id, url } = notice;
  return [id, url, usageOf(notice), JSON.stringify(notice)];
}

/** Creates NoticeRecords in a file. */
export function createSqliteOutbox(database: Database): NoticeRecords {
  return {
    put: (notice) => database.write(notice.id, 'putNotice', ...toNoticeRow(notice)),
    async get(id) {
      const notice = await database.read(id, 'findNotice', id);
      return notice === null ? null : JSON.parse(notice);
    },
    fail: (notice) => database.write(notice.id, 'failNotice', ...toNoticeRow(notice)),
    replay: (notice) => database.write(notice.id, 'replayNotice', ...toNoticeRow(notice)),
    async find(id) {
      const notice = await database.read(id, 'findAnyNotice', id);
      return notice === null ? null : JSON.parse(notice);
    },
    async list({ key, about, status, limit, after }) {
      const isFailed = status === null ? null : status === 'failed' ? 1 : 0;
      const before = after === null ? Number.MAX_SAFE_INTEGER : Number(after);
      const filter = { key, about, isFailed, limit, before } as const;
      const rows = await database.read(null, 'listNotices', filter);
      return rows.map(([place, notice]) => ({ notice: JSON.parse(notice), position: String(place) }));
    },
    remove: (id) => database.write(id, 'removeNotice', id),
    async *pending() {
      let after: number | null = 0;
      while (after !== null) {
        const page: NoticePage = await database.read(null, 'noticePage', after);
        for (const notice of page.notices) yield JSON.parse(notice);
        after = page.next;
      }
    },
  };
}
