import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  type ConcurrencyLimit,
  growLimit,
  halveLimit,
  limitOf,
  restartLimit,
} from '../../src/core/accounts/concurrency-limit.ts';
import {
  commitMessage,
  newRateLimiter,
  startMessage,
  waitForRate,
} from '../../src/core/accounts/rate-limiter.ts';
import { MINUTE, SECOND } from '../../src/core/time.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const now = () => performance.timeOrigin + performance.now();

/** A rate limiter that counts uncommitted messages as the state of an account does. */
function aRateLimiter(rate: number) {
  const limiter = newRateLimiter();
  let uncommitted = 0;
  return {
    waitMs: () => waitForRate(limiter, rate, uncommitted, now()),
    start() {
      startMessage(limiter, rate, now());
      uncommitted += 1;
    },
    commit() {
      uncommitted -= 1;
      commitMessage(limiter, rate, now());
    },
    cancel() {
      uncommitted -= 1;
    },
  };
}

/** The largest number of messages that began within any second. */
function busiestSecond(times: readonly number[]): number {
  return Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + SECOND).length));
}

describe('the rate limiter', () => {
  test.each([
    [20, 10],
    [7.5, 20],
    [1, 30],
    [0.5, 60],
    [300, 5],
  ])('keeps to %f messages in any second, and reaches that rate over %d s', (rate, seconds) => {
    const limiter = aRateLimiter(rate);
    const times: number[] = [];
    const end = performance.now() + seconds * SECOND;
    while (performance.now() < end) {
      // Timers fire late by varying delays.
      vi.advanceTimersByTime(limiter.waitMs() + (times.length % 7));
      limiter.start();
      limiter.commit();
      times.push(performance.now());
    }
    expect(busiestSecond(times)).toBeLessThanOrEqual(Math.ceil(rate));
    expect(times.length / seconds).toBeGreaterThanOrEqual(rate * 0.9);
  });

  test('counts a started message at once, so that one delayed by its login does not exceed the rate', () => {
    const limiter = aRateLimiter(4);
    limiter.start();
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      vi.advanceTimersByTime(limiter.waitMs());
      limiter.start();
      limiter.commit();
      times.push(performance.now());
    }
    vi.advanceTimersByTime(240);
    limiter.commit();
    times.push(performance.now());
    for (let i = 0; i < 8; i++) {
      vi.advanceTimersByTime(limiter.waitMs());
      limiter.start();
      limiter.commit();
      times.push(performance.now());
    }
    expect(busiestSecond(times)).toBeLessThanOrEqual(4);
  });

  test('waits for uncommitted messages, and goes on when one of them is canceled', () => {
    const limiter = aRateLimiter(1);
    limiter.start();
    vi.advanceTimersByTime(5 * SECOND);
    expect(limiter.waitMs()).toBe(Number.POSITIVE_INFINITY);
    limiter.cancel();
    expect(limiter.waitMs()).toBe(0);
  });

  test('saves up no messages while idle: afterwards it spaces them evenly', () => {
    const limiter = aRateLimiter(10);
    vi.advanceTimersByTime(MINUTE);
    const waits = Array.from({ length: 5 }, () => {
      const waitMs = limiter.waitMs();
      vi.advanceTimersByTime(waitMs);
      limiter.start();
      limiter.commit();
      return waitMs;
    });
    expect(waits.filter((ms) => ms > 0).length).toBeGreaterThanOrEqual(3);
  });
});

describe('the concurrency limit', () => {
  function aConcurrencyLimit(max: number) {
    const state: ConcurrencyLimit = { slowdown: null };
    return {
      get limit() {
        return limitOf(state, max);
      },
      accept: () => growLimit(state, max),
      restart: () => restartLimit(state, max),
      halve: () => halveLimit(state, max),
    };
  }

  test('halves when Gmail asks to slow down, never below one, and grows back one by one', () => {
    const concurrency = aConcurrencyLimit(8);
    concurrency.halve();
    expect(concurrency.limit).toBe(4);
    const seen = new Set<number>();
    for (let i = 0; i < 200; i++) {
      concurrency.accept();
      seen.add(concurrency.limit);
    }
    expect([...seen]).toEqual([4, 5, 6, 7, 8]);
    for (let i = 0; i < 5; i++) concurrency.halve();
    expect(concurrency.limit).toBe(1);
  });

  test('starts with one after a pause and recovers within a few messages, but slowly past the limit that was too high', () => {
    const concurrency = aConcurrencyLimit(6);
    concurrency.restart();
    expect(concurrency.limit).toBe(1);
    for (let i = 0; i < 5; i++) concurrency.accept();
    expect(concurrency.limit).toBe(6);
    concurrency.halve();
    concurrency.restart();
    for (let i = 0; i < 5; i++) concurrency.accept();
    expect(concurrency.limit).toBe(3);
    for (let i = 0; i < 20; i++) concurrency.accept();
    expect(concurrency.limit).toBe(4);
    // Once all connections have been in use again, the limit that was too high is forgotten.
    for (let i = 0; i < 40; i++) concurrency.accept();
    expect(concurrency.limit).toBe(6);
    concurrency.restart();
    for (let i = 0; i < 5; i++) concurrency.accept();
    expect(concurrency.limit).toBe(6);
  });
});
