import { expect, test } from 'vitest';
import { createDoctorReports } from '../../src/core/doctor-reports.ts';

const MINUTE = 60_000;
const REPORT = { ok: true, version: '1.0.0', first: null, checks: [] };

/** A doctor whose runs end when the test says so. */
function startDoctor() {
  const runs: PromiseWithResolvers<typeof REPORT>[] = [];
  const clock = { now: 0 };
  const reports = createDoctorReports(
    () => {
      const run = Promise.withResolvers<typeof REPORT>();
      runs.push(run);
      return run.promise;
    },
    () => clock.now,
  );
  return { ...reports, runs, clock };
}

test('concurrent requests share a run, however long it takes', async () => {
  const { read, runs, clock } = startDoctor();
  const first = read();
  clock.now = 5 * MINUTE;
  const second = read();
  runs[0]?.resolve(REPORT);
  expect(await first).toEqual({ ...REPORT, madeAt: expect.any(Number) });
  expect(await second).toBe(await first);
  expect(runs).toHaveLength(1);
});

test('a report is returned again for a minute, counted from its end', async () => {
  const { read, runs, clock } = startDoctor();
  const first = read();
  clock.now = MINUTE;
  runs[0]?.resolve(REPORT);
  const made = await first;
  clock.now = 2 * MINUTE - 1;
  expect(await read()).toBe(made);
  clock.now = 2 * MINUTE;
  void read();
  expect(runs).toHaveLength(2);
});

test('a run that fails is not repeated within a minute', async () => {
  const { read, runs, clock } = startDoctor();
  const failure = new Error('a bug');
  const first = read();
  runs[0]?.reject(failure);
  await expect(first).rejects.toBe(failure);
  await expect(read()).rejects.toBe(failure);
  clock.now = MINUTE;
  void read();
  expect(runs).toHaveLength(2);
});
