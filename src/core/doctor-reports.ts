import type { DoctorReport } from './ports/doctor-report.ts';
import { MINUTE } from './time.ts';

/** Minimum time between the end of a run and the start of the next: Gmail limits logins. */
const MAX_AGE_MS = MINUTE;

export interface MadeReport extends DoctorReport {
  /** Epoch ms. */
  readonly madeAt: number;
}

export interface DoctorReports {
  /** Returns the last report if it is less than a minute old, otherwise a new one. */
  read(): Promise<MadeReport>;
}

interface Run {
  readonly report: Promise<MadeReport>;
  /** By the monotonic clock, in ms. Null: it is running. */
  endedAt: number | null;
}

/**
 * Makes reports, one at a time. Concurrent calls share a run, also one that fails.
 *
 * @param now ms of a monotonic clock
 */
export function createDoctorReports(
  make: () => Promise<DoctorReport>,
  now: () => number = () => performance.now(),
): DoctorReports {
  let last: Run | null = null;

  function start(): Run {
    const report = make().then((made) => ({ ...made, madeAt: Date.now() }));
    const run: Run = { report, endedAt: null };
    const end = () => {
      run.endedAt = now();
    };
    report.then(end, end);
    return run;
  }

  return {
    read() {
      const isFresh = last !== null && (last.endedAt === null || now() - last.endedAt < MAX_AGE_MS);
      if (last === null || !isFresh) last = start();
      return last.report;
    },
  };
}
