import { describe, test } from 'vitest';
import { hasRedis } from '../helpers/redis.ts';
import { openRedis } from './processes.ts';
import { CONCURRENT, expectNoViolation, runSeed, SEEDS } from './seeds.ts';

async function onRedis() {
  const redis = await openRedis();
  return { instances: 2, stores: [redis], env: { QUEUE_URL: redis.url } };
}

describe.skipIf(!hasRedis)(
  'two instances on Redis, with any of the three killed at random moments (skipped without redis-server)',
  CONCURRENT,
  () => {
    test.each(SEEDS)('lose no acknowledged message and report every possible duplicate (seed %i)', (seed) =>
      runSeed(seed, onRedis, expectNoViolation),
    );
  },
);
