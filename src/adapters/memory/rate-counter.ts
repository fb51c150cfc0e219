import { performance } from 'node:perf_hooks';
import { createOldestEntry } from '../../core/oldest-entry.ts';
import type { RateCounter, RateCounters } from '../../core/ports/rate-counter.ts';

/** Maximum number of windows. Beyond it, the oldest is dropped first. */
const MAX_WINDOWS = 5000;

interface Window {
  /** When the first cost was spent in it, in ms of the monotonic clock. */
  readonly startedAt: number;
  used: number;
}

/**
 * Creates rate counters for one process. Keys and addresses are bounded separately, so that many
 * addresses never reset the counter of a key.
 */
export function createMemoryRateCounter(): RateCounters {
  return { keys: createCounter(), addresses: createCounter() };
}

function createCounter(): RateCounter {
  const windows = new Map<string, Window>();
  const oldest = createOldestEntry(windows);

  function windowOf(name: string, windowMs: number, now: number): Window {
    const current = windows.get(name);
    if (current !== undefined && current.startedAt + windowMs > now) return current;
    windows.delete(name);
    for (let first = oldest(); first && windows.size >= MAX_WINDOWS; first = oldest())
      windows.delete(first[0]);
    const opened = { startedAt: now, used: 0 };
    windows.set(name, opened);
    return opened;
  }

  return {
    async spend(name, cost, { max, windowMs }) {
      const now = performance.now();
      const window = windowOf(name, windowMs, now);
      const fits = window.used + cost <= max;
      if (fits) window.used += cost;
      return { fits, left: Math.max(0, max - window.used), resetMs: window.startedAt + windowMs - now };
    },
  };
}
