import type { Notice, Outbox } from '../../core/ports/outbox.ts';
import { createOutboxCapacity, type Usage, usageOf } from '../../core/webhooks/outbox-capacity.ts';

/** An Outbox in memory. Notices are immutable, so it hands out the ones it holds. */
export function createMemoryOutbox(bounds: Usage): Outbox {
  const notices = new Map<string, Notice>();
  const room = createOutboxCapacity(bounds);

  function remove(id: string) {
    const notice = notices.get(id);
    if (!notice) return;
    notices.delete(id);
    room.remove(notice.url, usageOf(notice));
  }

  return {
    async put(notice) {
      if (!notices.has(notice.id) && !room.hasFor(notice.url, usageOf(notice))) return false;
      remove(notice.id);
      notices.set(notice.id, notice);
      room.add(notice.url, usageOf(notice));
      return true;
    },
    async get(id) {
      return notices.get(id) ?? null;
    },
    async remove(id) {
      remove(id);
    },
    async *pending() {
      yield* [...notices.values()];
    },
  };
}
