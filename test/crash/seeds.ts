import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Report, runUnderFaults, settleAndReport } from './run.ts';
import { openTestBed, type TestBedSetup } from './test-bed.ts';

/**
 * CRASH_SEED selects one seed; CRASH_SEEDS is the number of seeds. `npm run crash` uses 20 for each
 * backend.
 */
export const SEEDS: readonly number[] = process.env.CRASH_SEED
  ? [Number(process.env.CRASH_SEED)]
  : Array.from({ length: Number(process.env.CRASH_SEEDS ?? 1) }, (_, index) => index + 1);

/** A seed mostly waits: for its turn, and until every message is settled. */
export const CONCURRENT = { concurrent: true, timeout: 300_000 };

/** Every fourth seed runs with ON_UNCERTAIN=hold. */
function onUncertain(seed: number): Record<string, string> {
  return seed % 4 === 0 ? { ON_UNCERTAIN: 'hold' } : {};
}

export type Setting = (folder: string) => Promise<Omit<TestBedSetup, 'folder'>>;

/** Runs one seed in a new folder with its data and logs. The folder stays if `expected` throws. */
export async function runSeed(
  seed: number,
  setting: Setting,
  expected: (report: Report, details: string) => void,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'ot5-crash-'));
  const { env, ...others } = await setting(folder);
  const report = await onTestBed({ ...others, folder, env: { ...env, ...onUncertain(seed) } }, String(seed));
  expected(report, `CRASH_SEED=${seed}, see ${folder}: ${JSON.stringify(report, null, 2)}`);
  await rm(folder, { recursive: true });
}

/**
 * Runs one test bed under faults at a time, because it uses all of a small machine. Several may
 * settle concurrently.
 */
async function onTestBed(setup: TestBedSetup, seed: string): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const { testBed, clients } = await inTurn(async () => {
    const opened = stack.use(await openTestBed(setup, seed));
    return { testBed: opened, clients: await runUnderFaults(opened, seed) };
  });
  return await settleAndReport(testBed, clients, seed);
}

let lastTurn: Promise<unknown> = Promise.resolve();

function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const turn = lastTurn.then(work);
  lastTurn = turn.catch(() => {});
  return turn;
}

/** Expects that no promise was broken and that at least one message was sent. */
export function expectNoViolation(report: Report, details: string): void {
  expect(report.violations, details).toEqual([]);
  expect(report.tally.sent, details).toBeGreaterThan(0);
}
