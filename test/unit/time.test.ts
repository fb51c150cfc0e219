import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toIso } from '../../src/core/time.ts';

test('times are formatted as Date formats them, however many there are', () => {
  const at = fc.oneof(fc.integer({ min: 0, max: 4_102_444_800_000 }), fc.integer({ min: 0, max: 5000 }));
  fc.assert(
    fc.property(at, (time) => {
      expect(toIso(time)).toBe(new Date(time).toISOString());
      expect(toIso(time)).toBe(new Date(time).toISOString());
    }),
    { numRuns: 3000 },
  );
});
