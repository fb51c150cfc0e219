import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { createOldestEntry } from '../../src/core/oldest-entry.ts';
import { cpuTimeOf } from '../helpers/cpu-time.ts';

test('the oldest entry of a Map is known after each change', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom('add', 'delete', 'deleteOldest'), fc.integer({ min: 0, max: 20 }))),
      (changes) => {
        const map = new Map<number, object>();
        const oldest = createOldestEntry(map);
        for (const [change, key] of changes) {
          map.delete(change === 'deleteOldest' ? (oldest()?.[0] ?? key) : key);
          if (change === 'add') map.set(key, {});
          expect(oldest()).toEqual(map.entries().next().value);
        }
      },
    ),
  );
});

test('the oldest entry is found quickly, however many were deleted before it', () => {
  const map = new Map<number, object>();
  const oldest = createOldestEntry(map);
  for (let n = 0; n < 100_000; n += 1) map.set(n, {});
  const tookMs = cpuTimeOf(() => {
    for (let n = 100_000; n < 200_000; n += 1) {
      map.set(n, {});
      map.delete(oldest()?.[0] ?? -1);
    }
  });
  expect(map.size).toBe(100_000);
  // A new iterator for each takes 3 seconds.
  expect(tookMs).toBeLessThan(1000);
});

test('deleted entries are freed while the oldest entry stays', async () => {
  const map = new Map<number, object>([[0, {}]]);
  const oldest = createOldestEntry(map);
  const values = Array.from({ length: 10_000 }, (_, n) => {
    const value = {};
    map.set(n + 1, value);
    expect(oldest()?.[0]).toBe(0);
    if (n >= 10) map.delete(n - 9);
    return new WeakRef(value);
  });
  await nextTurn();
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  const retained = values.filter((value) => value.deref() !== undefined).length;
  expect(retained).toBeLessThan(200);
});
