import { join } from 'node:path';
import { describe, test } from 'vitest';
import { expectTruth, playSeed, SEEDS, SEVERAL } from './seeds.ts';

const onFile = async (folder: string) => ({
  instances: 1,
  stores: [],
  env: { QUEUE_URL: `sqlite:${join(folder, 'outtray.db')}` },
});

describe('on a file, whenever the service is killed', SEVERAL, () => {
  test.each(SEEDS)('nothing acknowledged is lost, and no second copy goes untold (seed %i)', (seed) =>
    playSeed(seed, onFile, expectTruth),
  );
});
