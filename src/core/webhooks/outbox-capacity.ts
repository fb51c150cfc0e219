import { traceLength } from '../delivery/trace-context.ts';
import type { Notice } from '../ports/outbox.ts';

/**
 * Enough for a deferral and an outcome of every message that can wait, when a single endpoint can
 * use half of the capacity.
 */
const NOTICES_PER_MESSAGE = 4;
/** Estimated memory of a notice besides its text. */
const FIXED_BYTES = 256;

/** The capacity that notices use. */
export interface Usage {
  readonly notices: number;
  readonly bytes: number;
}

const NO_USAGE: Usage = { notices: 0, bytes: 0 };

/** Returns the capacity of the outbox for QUEUE_MAX_MESSAGES and QUEUE_MAX_BYTES. */
export function outboxLimits({
  maxMessages,
  maxBytes,
}: {
  readonly maxMessages: number;
  readonly maxBytes: number;
}): Usage {
  return { notices: NOTICES_PER_MESSAGE * maxMessages, bytes: maxBytes / 2 };
}

/** Returns the capacity that one notice uses. */
export function usageOf({ body, url, trace }: Pick<Notice, 'body' | 'url' | 'trace'>): Usage {
  return { notices: 1, bytes: FIXED_BYTES + body.length + url.length + traceLength(trace) };
}

/** Counts how much of the outbox each endpoint uses. */
export interface OutboxCapacity {
  /**
   * Whether there is capacity for one more notice of an endpoint. An endpoint may use as much as it
   * leaves free, so the next endpoint always has capacity, even when many endpoints are down.
   */
  hasFor(url: string, one: Usage): boolean;
  add(url: string, usage: Usage): void;
  remove(url: string, usage: Usage): void;
  /** Counts failed notices, which use only what the waiting ones leave free. */
  addFailed(usage: Usage): void;
  removeFailed(usage: Usage): void;
  /** Whether the failed notices fit beside the waiting ones. */
  fitsFailed(): boolean;
}

/** @param limits Of all endpoints together. */
export function createOutboxCapacity(limits: Usage): OutboxCapacity {
  const usedBy = new Map<string, Usage>();
  let used = NO_USAGE;
  let failed = NO_USAGE;

  function count(url: string, usage: Usage, sign: 1 | -1) {
    used = sum(used, usage, sign);
    const own = sum(usedBy.get(url) ?? NO_USAGE, usage, sign);
    if (own.notices > 0) usedBy.set(url, own);
    else usedBy.delete(url);
  }

  return {
    hasFor(url, one) {
      const own = usedBy.get(url) ?? NO_USAGE;
      return (
        own.notices < limits.notices - used.notices && own.bytes + one.bytes <= limits.bytes - used.bytes
      );
    },
    add(url, usage) {
      count(url, usage, 1);
    },
    remove(url, usage) {
      count(url, usage, -1);
    },
    addFailed(usage) {
      failed = sum(failed, usage, 1);
    },
    removeFailed(usage) {
      failed = sum(failed, usage, -1);
    },
    fitsFailed() {
      return used.notices + failed.notices <= limits.notices && used.bytes + failed.bytes <= limits.bytes;
    },
  };
}

function sum(a: Usage, b: Usage, sign: 1 | -1): Usage {
  return { notices: a.notices + sign * b.notices, bytes: a.bytes + sign * b.bytes };
}
