import type { CheckResult } from '../../check.ts';

/** What is known about one record of a domain. */
export interface Finding {
  readonly result: CheckResult;
  /** Whether the mechanism passes for mail that Google sends. Null: unknown, as the result is. */
  readonly passes: boolean | null;
}
