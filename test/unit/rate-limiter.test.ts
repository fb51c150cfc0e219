import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type ConcurrencyBook, concurrencyIn } from '../../src/core/accounts/concurrency-limit.ts';
import { emptyPace, paceIn } from '../../src/core/accounts/rate-limiter.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const now = () => performance.timeOrigin + performance.now();

/** The pace of an account, with those on their way counted as its book does. */
function aPace(rate: number) {
  const book = emptyPace();
  let starting = 0;
  const pace = () => paceIn(book, rate, starting, now);
  return {
    waitMs: () => pace().waitMs(),
    start() {
      pace().start();
      starting += 1;
    },
    seen() {
      starting -= 1;
      pace().seen();
    },
    /** One that has started is given up. */
    cancel() {
      starting -= 1;
    },
  };
}

/** The most that began within any second. */
function busiestSecond(times: readonly number[]): number {
  return Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + 1000).length));
}

describe('the pace', () => {
  test.each([
    [20, 10],
    [7.5, 20],
    [1, 30],
    [0.5, 60],
    [300, 5],
  ])('of %f messages a second holds in any second, and is reached over %d', (rate, seconds) => {
    const pace = aPace(rate);
    const times: number[] = [];
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      // Timers fire late, now more and now less.
      vi.advanceTimersByTime(pace.waitMs() + (times.length % 7));
      pace.start();
      pace.seen();
      times.push(performance.now());
    }
    expect(busiestSecond(times)).toBeLessThanOrEqual(Math.ceil(rate));
    expect(times.length / seconds).toBeGreaterThanOrEqual(rate * 0.9);
  });

  test('counts what the server may see at any moment: who logs in first does not add to those who need not', () => {
    const pace = aPace(4);
    pace.start();
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      vi.advanceTimersByTime(pace.waitMs());
      pace.start();
      pace.seen();
      times.push(performance.now());
    }
    vi.advanceTimersByTime(240);
    pace.seen();
    times.push(performance.now());
    for (let i = 0; i < 8; i++) {
      vi.advanceTimersByTime(pace.waitMs());
      pace.start();
      pace.seen();
      times.push(performance.now());
    }
    expect(busiestSecond(times)).toBeLessThanOrEqual(4);
  });

  test('waits for those who are on their way, and goes on when one of them never arrives', () => {
    const pace = aPace(1);
    pace.start();
    vi.advanceTimersByTime(5000);
    expect(pace.waitMs()).toBe(Number.POSITIVE_INFINITY);
    pace.cancel();
    expect(pace.waitMs()).toBe(0);
  });

  test('does not save up: after a rest it begins evenly', () => {
    const pace = aPace(10);
    vi.advanceTimersByTime(60_000);
    const waits = Array.from({ length: 5 }, () => {
      const waitMs = pace.waitMs();
      vi.advanceTimersByTime(waitMs);
      pace.start();
      pace.seen();
      return waitMs;
    });
    expect(waits.filter((ms) => ms > 0).length).toBeGreaterThanOrEqual(3);
  });
});

describe('how many go at once', () => {
  function aConcurrency(max: number) {
    const book: ConcurrencyBook = { slowdown: null };
    return concurrencyIn(book, max);
  }

  test('halves when Gmail asks to slow down, never below one, and grows back one by one', () => {
    const concurrency = aConcurrency(8);
    concurrency.throttled();
    expect(concurrency.limit).toBe(4);
    const seen = new Set<number>();
    for (let i = 0; i < 200; i++) {
      concurrency.accepted();
      seen.add(concurrency.limit);
    }
    expect([...seen]).toEqual([4, 5, 6, 7, 8]);
    for (let i = 0; i < 5; i++) concurrency.throttled();
    expect(concurrency.limit).toBe(1);
  });

  test('starts with one after a pause, and is back with a few messages, but only slowly past what was too much', () => {
    const concurrency = aConcurrency(6);
    concurrency.restarted();
    expect(concurrency.limit).toBe(1);
    for (let i = 0; i < 5; i++) concurrency.accepted();
    expect(concurrency.limit).toBe(6);
    concurrency.throttled();
    concurrency.restarted();
    for (let i = 0; i < 5; i++) concurrency.accepted();
    expect(concurrency.limit).toBe(3);
    for (let i = 0; i < 20; i++) concurrency.accepted();
    expect(concurrency.limit).toBe(4);
    // Once all have gone at once again, what was too much then is forgotten.
    for (let i = 0; i < 40; i++) concurrency.accepted();
    expect(concurrency.limit).toBe(6);
    concurrency.restarted();
    for (let i = 0; i < 5; i++) concurrency.accepted();
    expect(concurrency.limit).toBe(6);
  });
});
