import type { Notice, Outbox } from '../../core/ports.ts';

export interface MemoryOutboxOptions {
  readonly maxNotices: number;
  readonly maxBytes: number;
}

interface Usage {
  readonly notices: number;
  readonly bytes: number;
}

const NOTHING: Usage = { notices: 0, bytes: 0 };
/** Roughly what a notice occupies besides its text. */
const FIXED_BYTES = 256;

/** An Outbox in memory. Notices are immutable, so it hands out the ones it holds. */
export function createMemoryOutbox({ maxNotices, maxBytes }: MemoryOutboxOptions): Outbox {
  const notices = new Map<string, Notice>();
  const usedBy = new Map<string, Usage>();
  let used = NOTHING;

  /** An endpoint may hold as much as it leaves free, so that there is room for the next one, however many are down. */
  function hasRoom(notice: Notice): boolean {
    const own = usedBy.get(notice.url) ?? NOTHING;
    return own.notices < maxNotices - used.notices && own.bytes + bytesOf(notice) <= maxBytes - used.bytes;
  }

  function count(notice: Notice, sign: 1 | -1) {
    used = sum(used, notice, sign);
    const own = sum(usedBy.get(notice.url) ?? NOTHING, notice, sign);
    if (own.notices > 0) usedBy.set(notice.url, own);
    else usedBy.delete(notice.url);
  }

  function remove(id: string) {
    const notice = notices.get(id);
    if (!notice) return;
    notices.delete(id);
    count(notice, -1);
  }

  return {
    async put(notice) {
      if (!notices.has(notice.id) && !hasRoom(notice)) return false;
      remove(notice.id);
      notices.set(notice.id, notice);
      count(notice, 1);
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

function sum({ notices, bytes }: Usage, notice: Notice, sign: 1 | -1): Usage {
  return { notices: notices + sign, bytes: bytes + sign * bytesOf(notice) };
}

function bytesOf({ body, url }: Notice): number {
  return FIXED_BYTES + body.length + url.length;
}
