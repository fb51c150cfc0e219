import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createBodyCapacity } from '../../src/http/request/body/body-capacity.ts';

const FULL = expect.objectContaining({ code: 'queue_full' });

describe('the capacity for request bodies', () => {
  test('lets a key use as much as it leaves free', () => {
    const capacity = createBodyCapacity(() => 100);
    capacity.open('a').add(30);
    const second = capacity.open('a');
    second.add(20);
    expect(() => second.add(1)).toThrow(FULL);
    expect(() => capacity.open('a').check(1)).toThrow(FULL);
    expect(capacity.used()).toBe(50);
  });

  test('lets the only body of a key use all remaining capacity', () => {
    const capacity = createBodyCapacity(() => 100);
    for (let i = 0; i < 5; i++) capacity.open('slow').add(10);
    const only = capacity.open('b');
    only.add(20);
    only.add(30);
    expect(() => only.add(1)).toThrow(FULL);
  });

  test('follows the capacity that the queue leaves', () => {
    let freeBytes = 100;
    const body = createBodyCapacity(() => freeBytes).open('a');
    body.add(40);
    freeBytes = 50;
    body.add(10);
    expect(() => body.add(1)).toThrow(FULL);
    freeBytes = 60;
    body.add(1);
  });

  test('is fully restored once each body is released, even twice', () => {
    const bodies = fc.array(
      fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.array(fc.nat(60), { maxLength: 5 })),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(bodies, (opened) => {
        const capacity = createBodyCapacity(() => 200);
        const holds = opened.map(([key, pieces]) => {
          const hold = capacity.open(key);
          for (const piece of pieces) {
            try {
              hold.add(piece);
            } catch {}
          }
          return hold;
        });
        expect(capacity.used()).toBeLessThanOrEqual(200);
        for (const hold of holds) {
          hold.release();
          hold.release();
          hold.add(10);
        }
        expect(capacity.used()).toBe(0);
      }),
    );
  });
});
