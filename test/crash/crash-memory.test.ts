import { expect, test } from 'vitest';
import { playSeed, SEVERAL } from './seeds.ts';

const inMemory = async () => ({ instances: 1, stores: [], env: { QUEUE_URL: 'memory:' } });

test('the harness finds what memory loses', SEVERAL, () =>
  playSeed(1, inMemory, ({ violations, tally }, told) => {
    expect(tally.missing, told).toBeGreaterThan(0);
    expect(violations, told).toContainEqual(expect.stringContaining('was acknowledged and is missing'));
  }),
);
