import { describe, test } from 'vitest';
import { hasRedis } from '../helpers/redis.ts';
import { openRedis } from './parts.ts';
import { expectTruth, playSeed, SEEDS, SEVERAL } from './seeds.ts';

async function onRedis() {
  const redis = await openRedis();
  return { instances: 2, stores: [redis], env: { QUEUE_URL: redis.url } };
}

describe.skipIf(!hasRedis)(
  'two instances on a Redis, whichever of the three is killed, and whenever',
  SEVERAL,
  () => {
    test.each(SEEDS)('nothing acknowledged is lost, and no second copy goes untold (seed %i)', (seed) =>
      playSeed(seed, onRedis, expectTruth),
    );
  },
);
