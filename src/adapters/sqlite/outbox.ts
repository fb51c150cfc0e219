import type { Notice, Outbox } from '../../core/ports/outbox.ts';
import { usageOf } from '../../core/webhooks/outbox-capacity.ts';
import type { Database } from './database.ts';
import type { NoticePage, NoticeRow } from './worker/outbox.ts';

/** Returns the arguments of `putNotice`. */
export function toNoticeRow(notice: Notice): NoticeRow {
  const { id, url } = notice;
  return [id, url, usageOf(notice), JSON.stringify(notice)];
}

/** Creates an Outbox in a file, which does not know the queue. */
export function createSqliteOutbox(database: Database): Outbox {
  return {
    put: (notice) => database.write(notice.id, 'putNotice', ...toNoticeRow(notice)),
    async get(id) {
      const notice = await database.read(id, 'findNotice', id);
      return notice === null ? null : JSON.parse(notice);
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
