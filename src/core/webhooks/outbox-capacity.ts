import type { Notice } from '../ports/outbox.ts';

/** Enough for a deferral and an outcome of every message that can wait, where one endpoint may hold half of the room. */
const NOTICES_PER_MESSAGE = 4;
/** Roughly what a notice occupies besides its text. */
const FIXED_BYTES = 256;

/** What some notices occupy. */
export interface Usage {
  readonly notices: number;
  readonly bytes: number;
}

const NOTHING: Usage = { notices: 0, bytes: 0 };

/** What notices may occupy in all, where so many messages may wait (QUEUE_MAX_MESSAGES and QUEUE_MAX_BYTES). */
export function outboxLimits({
  maxMessages,
  maxBytes,
}: {
  readonly maxMessages: number;
  readonly maxBytes: number;
}): Usage {
  return { notices: NOTICES_PER_MESSAGE * maxMessages, bytes: maxBytes / 2 };
}

/** What one notice occupies. */
export function usageOf({ body, url }: Pick<Notice, 'body' | 'url'>): Usage {
  return { notices: 1, bytes: FIXED_BYTES + body.length + url.length };
}

/** Counts what the endpoints hold of an outbox. */
export interface OutboxCapacity {
  /** An endpoint may hold as much as it leaves free, so that there is room for the next one, however many are down. */
  hasFor(url: string, one: Usage): boolean;
  add(url: string, usage: Usage): void;
  remove(url: string, usage: Usage): void;
}

export function createOutboxCapacity(bounds: Usage): OutboxCapacity {
  const usedBy = new Map<string, Usage>();
  let used = NOTHING;

  function count(url: string, usage: Usage, sign: 1 | -1) {
    used = sum(used, usage, sign);
    const own = sum(usedBy.get(url) ?? NOTHING, usage, sign);
    if (own.notices > 0) usedBy.set(url, own);
    else usedBy.delete(url);
  }

  return {
    hasFor(url, one) {
      const own = usedBy.get(url) ?? NOTHING;
      return (
        own.notices < bounds.notices - used.notices && own.bytes + one.bytes <= bounds.bytes - used.bytes
      );
    },
    add(url, usage) {
      count(url, usage, 1);
    },
    remove(url, usage) {
      count(url, usage, -1);
    },
  };
}

function sum(a: Usage, b: Usage, sign: 1 | -1): Usage {
  return { notices: a.notices + sign * b.notices, bytes: a.bytes + sign * b.bytes };
}
