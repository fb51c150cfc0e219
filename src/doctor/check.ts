import { fixOf, type TroubleshootingId } from './troubleshooting.ts';

/**
 * The result of a check. `code` is an id of TROUBLESHOOTING or a code of ERRORS; `advice` says how
 * to fix it.
 */
export interface CheckResult {
  /** `skip`: not tried, or tried without a certain result. */
  readonly status: 'pass' | 'warn' | 'fail' | 'skip';
  readonly detail: string;
  readonly code: string | null;
  readonly advice: string | null;
}

/** What a check is about. */
export interface CheckSubject {
  /**
   * Stable, such as `tcp_ipv4`. With several servers or accounts, several checks of a report share
   * it.
   */
  readonly id: string;
  readonly name: string;
  /** What was checked: a server, an account, a variable. */
  readonly target: string;
}

/** One line of the report. */
export interface Check extends CheckSubject, CheckResult {
  readonly durationMs: number;
}

export const pass = (detail: string): CheckResult => ({ status: 'pass', detail, code: null, advice: null });
export const skip = (detail: string): CheckResult => ({ status: 'skip', detail, code: null, advice: null });
export const warn = (code: TroubleshootingId, detail: string): CheckResult => ({
  status: 'warn',
  detail,
  code,
  advice: fixOf(code) ?? null,
});
export const fail = (code: TroubleshootingId, detail: string): CheckResult => ({
  status: 'fail',
  detail,
  code,
  advice: fixOf(code) ?? null,
});

/** The result cannot be known, so it is no failure. */
export const unknown = (detail: string): CheckResult => skip(`unknown: ${detail}`);

/** Builds a line of the report. */
export function toCheck(subject: CheckSubject, result: CheckResult, durationMs = 0): Check {
  const { status, detail, code, advice } = result;
  return { ...subject, status, detail, code, advice, durationMs };
}

/** Runs a check and measures its duration. */
export async function runCheck(
  subject: CheckSubject,
  run: () => CheckResult | Promise<CheckResult>,
): Promise<Check> {
  const startedAt = performance.now();
  const result = await run();
  return toCheck(subject, result, performance.now() - startedAt);
}
