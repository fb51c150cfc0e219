import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { createNumberHeap } from '../../src/core/delivery/number-heap.ts';

test('the smallest of the numbers that were not removed is known after each change', () => {
  fc.assert(
    fc.property(
      // Few different numbers, so that some are in the heap several times, and enough to drop removed ones.
      fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 10 }),
      fc.integer({ min: 0, max: 3000 }),
      (values, repeated) => {
        const heap = createNumberHeap();
        const kept: number[] = [];
        for (const value of values) {
          heap.add(value);
          kept.push(value);
        }
        for (let i = 0; i < repeated; i += 1) {
          heap.add(100 + i);
          heap.remove(100 + i);
        }
        while (kept.length > 0) {
          expect(heap.min()).toBe(Math.min(...kept));
          heap.remove(kept.splice(Math.floor(kept.length / 2), 1)[0] ?? 0);
        }
        expect(heap.min()).toBeUndefined();
      },
    ),
  );
});
