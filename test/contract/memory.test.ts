import { expect, test } from 'vitest';
import { createMemoryBackend } from '../../src/adapters/memory/index.ts';
import { createRetained } from '../../src/adapters/memory/retained.ts';
import { backendContract } from './backend.ts';

backendContract('memory', async (limits) => createMemoryBackend({ ...limits, onEarlyDrop() {} }));

test('what is retained is bounded by count and by bytes: the oldest goes first, and that is told', () => {
  let early = 0;
  const kept = createRetained<number>({ forMs: 60_000, maxCount: 3, maxBytes: 100, onEarly: () => early++ });
  for (let n = 0; n < 4; n += 1) kept.set(`k${n}`, n, 10);
  expect([kept.get('k0'), kept.get('k1')]).toEqual([undefined, 1]);
  kept.set('big', 9, 85);
  expect([kept.get('k2'), kept.get('k3'), kept.get('big')]).toEqual([undefined, 3, 9]);
  expect(early).toBe(3);
});
