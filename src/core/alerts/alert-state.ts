import { HOUR, MINUTE } from '../time.ts';

/** Alerts that the operator has got, shared by all instances: plain JSON. */
export interface AlertState {
  /** Code and time of each reported pause, by account. Times are epoch ms by the shared clock. */
  readonly paused: Record<string, { readonly code: string; readonly at: number }>;
  /** Accounts whose quota was reported as nearly used. */
  readonly nearQuota: Record<string, true>;
  /** Whether it was reported that a message is overdue. */
  isLate: boolean;
}

/**
 * Instances that cannot reach Gmail each pause for themselves. The same pause is reported again
 * only after this time, in ms.
 */
const SAME_PAUSE_MS = HOUR;

/** A message that has been due for this time, in ms, is overdue. */
const LATE_AFTER_MS = 15 * MINUTE;
/** Mail is no longer overdue below this time, so that a queue near the limit is reported once. */
const LATE_ENDS_MS = 10 * MINUTE;

/** Share of a quota from which it is nearly used. By default, GMAIL_RESERVE leaves just this. */
const NEAR_QUOTA = 0.9;
/** A quota below this share can be reported again. */
const NEAR_QUOTA_ENDS = 0.8;

export function newAlertState(): AlertState {
  return { paused: {}, nearQuota: {}, isLate: false };
}

/** Records a pause. Returns whether it is to be reported. */
export function recordPause({ paused }: AlertState, user: string, code: string, now: number): boolean {
  const former = paused[user];
  if (former?.code === code && now - former.at < SAME_PAUSE_MS) return false;
  paused[user] = { code, at: now };
  return true;
}

/** Records that an account sends again. Returns whether its pause had been reported. */
export function recordResume({ paused }: AlertState, user: string): boolean {
  const wasReported = paused[user] !== undefined;
  delete paused[user];
  return wasReported;
}

/**
 * Records how long the oldest message has been due.
 *
 * @param waitedMs 0 if no message waits
 * @returns what is to be reported: that mail has become overdue, or no longer is; null if neither
 */
export function recordWait(state: AlertState, waitedMs: number): 'late' | 'in_time' | null {
  if (!state.isLate && waitedMs <= LATE_AFTER_MS) return null;
  if (state.isLate && waitedMs >= LATE_ENDS_MS) return null;
  state.isLate = !state.isLate;
  return state.isLate ? 'late' : 'in_time';
}

/**
 * Records which share of its quota an account has used. Returns whether it is to be reported.
 *
 * @param share from 0 to 1
 */
export function recordUsage({ nearQuota }: AlertState, user: string, share: number): boolean {
  if (share < NEAR_QUOTA_ENDS) delete nearQuota[user];
  if (share < NEAR_QUOTA || nearQuota[user]) return false;
  nearQuota[user] = true;
  return true;
}
