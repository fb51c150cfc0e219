import { type Caller, isAdmin } from './auth/caller.ts';
import type { DeliveryStats, SettledCount } from './delivery/delivery-stats.ts';
import type { DeliveryStore } from './ports/delivery-store.ts';

/** What an operator wants to know at a glance. */
export interface Overview extends DeliveryStats {
  /** Sum of `byHour`. */
  readonly lastDay: SettledCount;
}

/** Numbers of accepted messages. */
export interface Stats {
  /**
   * Returns the numbers of the caller's own messages, or of all messages for an admin. They include
   * the messages of test keys, as GET /messages does.
   *
   * @throws {AppError} `queue_unavailable`
   */
  read(caller: Caller): Promise<Overview>;
}

export function createStats({ store }: { readonly store: Pick<DeliveryStore, 'stats'> }): Stats {
  return {
    async read(caller) {
      const stats = await store.stats(isAdmin(caller) ? null : caller.name, Date.now());
      return { ...stats, lastDay: sumOf(stats.byHour) };
    },
  };
}

function sumOf(hours: readonly SettledCount[]): SettledCount {
  return {
    sent: hours.reduce((sum, { sent }) => sum + sent, 0),
    failed: hours.reduce((sum, { failed }) => sum + failed, 0),
  };
}
