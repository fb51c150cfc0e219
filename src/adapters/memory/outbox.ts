import type { Notice, Outbox } from '../../core/ports/outbox.ts';
import { createOutboxCapacity, type Usage, usageOf } from '../../core/webhooks/outbox-capacity.ts';

/** Creates an Outbox in memory. Notices are immutable, so it returns the stored objects. */
export function createMemoryOutbox(limits: Usage): Outbox {
  const notices = new Map<string, Notice>();
  const capacity = createOutboxCapacity(limits);

  function remove(id: string) {
    const notice = notices.get(id);
    if (!notice) return;
    notices.delete(id);
    capacity.remove(notice.url, usageOf(notice));
  }

  return {
    async put(notice) {
      if (!notices.has(notice.id) && !capacity.hasFor(notice.url, usageOf(notice))) return false;
      remove(notice.id);
      notices.set(notice.id, notice);
      capacity.add(notice.url, usageOf(notice));
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
