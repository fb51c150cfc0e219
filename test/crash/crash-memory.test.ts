import { expect, test } from 'vitest';
import { CONCURRENT, runSeed } from './seeds.ts';

const inMemory = async () => ({ instances: 1, stores: [], env: { QUEUE_URL: 'memory:' } });

test('the crash harness detects messages lost by the memory backend', CONCURRENT, () =>
  runSeed(1, inMemory, ({ violations, tally }, details) => {
    expect(tally.missing, details).toBeGreaterThan(0);
    expect(violations, details).toContainEqual(expect.stringContaining('was acknowledged and is missing'));
  }),
);
