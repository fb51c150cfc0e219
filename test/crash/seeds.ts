import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Report, reckon, weather } from './run.ts';
import { openWorld, type WorldSetup } from './world.ts';

/** CRASH_SEED repeats that one; CRASH_SEEDS is how many: `npm run crash` plays twenty of each kind. */
export const SEEDS: readonly number[] = process.env.CRASH_SEED
  ? [Number(process.env.CRASH_SEED)]
  : Array.from({ length: Number(process.env.CRASH_SEEDS ?? 1) }, (_, index) => index + 1);

/** Most of the time of a seed is waiting: for its turn, and until all has come to rest. */
export const SEVERAL = { concurrent: true, timeout: 300_000 };

/** Every fourth leaves it to a person what to do about an attempt that may have been one too many. */
function onUncertain(seed: number): Record<string, string> {
  return seed % 4 === 0 ? { ON_UNCERTAIN: 'hold' } : {};
}

export type Setting = (folder: string) => Promise<Omit<WorldSetup, 'folder'>>;

/** Runs one seed in a folder of its own, which stays if anything is not as expected: the data and the logs are in it. */
export async function playSeed(
  seed: number,
  setting: Setting,
  expected: (report: Report, told: string) => void,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'ot5-crash-'));
  const { env, ...others } = await setting(folder);
  const report = await inWorld({ ...others, folder, env: { ...env, ...onUncertain(seed) } }, String(seed));
  expected(report, `CRASH_SEED=${seed}, see ${folder}: ${JSON.stringify(report, null, 2)}`);
  await rm(folder, { recursive: true });
}

/** One world at a time has bad weather, as it takes all of a small machine; many may wait until they have come to rest. */
async function inWorld(setup: WorldSetup, seed: string): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const { world, crowd } = await inTurn(async () => {
    const opened = stack.use(await openWorld(setup));
    return { world: opened, crowd: await weather(opened, seed) };
  });
  return await reckon(world, crowd, seed);
}

let lastTurn: Promise<unknown> = Promise.resolve();

function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const turn = lastTurn.then(work);
  lastTurn = turn.catch(() => {});
  return turn;
}

/** All promises held, and there was something to keep. */
export function expectTruth(report: Report, told: string): void {
  expect(report.violations, told).toEqual([]);
  expect(report.tally.sent, told).toBeGreaterThan(0);
}
