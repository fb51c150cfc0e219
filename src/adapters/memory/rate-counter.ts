import { performance } from 'node:perf_hooks';
import type { RateCounter, RateCounters } from '../../core/ports/rate-counter.ts';

/** Windows kept at most: past that, the oldest goes first. */
const MAX_WINDOWS = 5000;

interface Window {
  /** When the first cost was spent in it, on the monotonic clock, in ms. */
  readonly startedAt: number;
  used: number;
}

/** RateCounters of one process. Keys and addresses are bounded apart, so that a flood of addresses never resets a key. */
export function createMemoryRateCounter(): RateCounters {
  return { keys: createCounter(), addresses: createCounter() };
}

function createCounter(): RateCounter {
  const windows = new Map<string, Window>();

  function windowOf(name: string, windowMs: number, now: number): Window {
    const current = windows.get(name);
    if (current !== undefined && current.startedAt + windowMs > now) return current;
    windows.delete(name);
    for (const oldest of windows.keys()) {
      if (windows.size < MAX_WINDOWS) break;
      windows.delete(oldest);
    }
    const fresh = { startedAt: now, used: 0 };
    windows.set(name, fresh);
    return fresh;
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
