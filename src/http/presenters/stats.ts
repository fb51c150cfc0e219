import type { AccountStatus } from '../../core/accounts/account-status.ts';
import type { Overview } from '../../core/stats.ts';
import { toIso, toIsoOrNull } from '../../core/time.ts';
import type { StatsResource } from '../schemas/stats.ts';
import { toAccountResource } from './account.ts';

/** The numbers of the messages that a caller can read, and the sending accounts. */
export function toStatsResource(
  { byStatus, oldestDueAt, byHour, lastDay }: Overview,
  accounts: readonly AccountStatus[],
): StatsResource {
  return {
    queue: { by_status: byStatus, oldest_due_at: toIsoOrNull(oldestDueAt) },
    last_24h: {
      ...lastDay,
      by_hour: byHour.map(({ hour, ...counts }) => ({ hour: toIso(hour), ...counts })),
    },
    accounts: accounts.map(toAccountResource),
  };
}
