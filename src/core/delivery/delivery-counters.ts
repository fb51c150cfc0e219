import { HOUR } from '../time.ts';
import type { Status } from './delivery.ts';
import {
  COUNTED_HOURS,
  countedHours,
  type DeliveryStats,
  isInQueue,
  QUEUE_STATUSES,
  type QueueStatus,
  type SettledCount,
  type Settlement,
} from './delivery-stats.ts';
import { createNumberHeap, type NumberHeap } from './number-heap.ts';

/** What the counters need to know of a delivery. */
export interface Counted {
  readonly owner: string;
  readonly status: Status;
  /** Its `firstDueAt`, in epoch ms. */
  readonly dueAt: number;
}

/** Counts deliveries in memory, by owner. Each call takes the same time however many there are. */
export interface DeliveryCounters {
  /**
   * Counts a change of a delivery that is in the queue before or after it. Called with both
   * swapped, it reverts the change.
   *
   * @param from null for a new delivery
   * @param to null if the delivery is gone
   */
  change(from: Counted | null, to: Counted | null): void;
  /**
   * Adds to the counts of an hour.
   *
   * @param count negative to subtract
   */
  settle(settlement: Settlement, count?: number): void;
  /**
   * @param owner null: all owners
   * @param now epoch ms
   */
  read(owner: string | null, now: number): DeliveryStats;
}

interface OwnerCounts {
  readonly byStatus: Record<QueueStatus, number>;
  readonly dueAt: NumberHeap;
  readonly hours: Map<number, { sent: number; failed: number }>;
}

export function createDeliveryCounters(): DeliveryCounters {
  const owners = new Map<string, OwnerCounts>();

  function countsOf(owner: string): OwnerCounts {
    let counts = owners.get(owner);
    if (counts === undefined) {
      counts = { byStatus: noStatuses(), dueAt: createNumberHeap(), hours: new Map() };
      owners.set(owner, counts);
    }
    return counts;
  }

  function hourCountsOf({ owner, hour }: Settlement): { sent: number; failed: number } {
    const { hours } = countsOf(owner);
    let counts = hours.get(hour);
    if (counts === undefined) {
      for (const other of hours.keys()) if (other <= hour - COUNTED_HOURS * HOUR) hours.delete(other);
      counts = { sent: 0, failed: 0 };
      hours.set(hour, counts);
    }
    return counts;
  }

  return {
    change(from, to) {
      const before = from !== null && isInQueue(from.status) ? from : null;
      const after = to !== null && isInQueue(to.status) ? to : null;
      if (before) countsOf(before.owner).byStatus[before.status as QueueStatus] -= 1;
      if (after) countsOf(after.owner).byStatus[after.status as QueueStatus] += 1;
      if (before && after && before.dueAt === after.dueAt) return;
      if (before) countsOf(before.owner).dueAt.remove(before.dueAt);
      if (after) countsOf(after.owner).dueAt.add(after.dueAt);
    },
    settle(settlement, count = 1) {
      hourCountsOf(settlement)[settlement.result] += count;
    },
    read(owner, now) {
      const read = owner === null ? [...owners.values()] : [owners.get(owner) ?? []].flat();
      const dueAt = Math.min(...read.map((counts) => counts.dueAt.min() ?? Number.POSITIVE_INFINITY));
      return {
        byStatus: sumOf(read.map(({ byStatus }) => byStatus)),
        oldestDueAt: dueAt <= now ? dueAt : null,
        byHour: countedHours(now).map((hour) => ({
          hour,
          ...sumOfHours(read.flatMap(({ hours }) => hours.get(hour) ?? [])),
        })),
      };
    },
  };
}

function noStatuses(): Record<QueueStatus, number> {
  return { scheduled: 0, queued: 0, sending: 0, deferred: 0 };
}

function sumOf(counts: readonly Readonly<Record<QueueStatus, number>>[]): Record<QueueStatus, number> {
  const total = noStatuses();
  for (const each of counts) for (const status of QUEUE_STATUSES) total[status] += each[status];
  return total;
}

function sumOfHours(counts: readonly SettledCount[]): SettledCount {
  return {
    sent: counts.reduce((sum, { sent }) => sum + sent, 0),
    failed: counts.reduce((sum, { failed }) => sum + failed, 0),
  };
}
