import { join } from 'node:path';
import { describe, test } from 'vitest';
import { CONCURRENT, expectNoViolation, runSeed, SEEDS } from './seeds.ts';

const onFile = async (folder: string) => ({
  instances: 1,
  stores: [],
  env: { QUEUE_URL: `sqlite:${join(folder, 'outtray.db')}` },
});

describe('the service on SQLite, killed at random moments', CONCURRENT, () => {
  test.each(SEEDS)('loses no acknowledged message and reports every possible duplicate (seed %i)', (seed) =>
    runSeed(seed, onFile, expectNoViolation),
  );
});
