import {
  countedHours,
  type DeliveryStats,
  QUEUE_STATUSES,
  type SettledCount,
} from '../../../core/delivery/delivery-stats.ts';
import type { DeliveryStore } from '../../../core/ports/delivery-store.ts';
import { DAY, MINUTE } from '../../../core/time.ts';
import type { Connection } from '../connection/connection.ts';
import { KEYS } from '../keys.ts';
import { COUNT_STORED, READ_STATS, REMOVE_MISPLACED } from './stats-scripts.ts';
import { ID_OFFSET } from './timeline-member.ts';
import { WAITING_SETS } from './waiting-set.ts';

/** Number of deliveries that are counted in one step, during which Redis does nothing else. */
const PAGE_SIZE = 100;
/** Minimum interval between two recounts of everything, in ms. */
const RECOUNT_EVERY_MS = MINUTE;

/** What {@link READ_STATS} returns. */
type Numbers = readonly [
  counts: readonly number[],
  times: readonly string[],
  hours: readonly (readonly string[])[],
  areComplete: 0 | 1,
];

/**
 * Reads the numbers of deliveries, which the scripts that change deliveries count.
 *
 * Versions before these numbers do not count. So all deliveries are counted once after an upgrade,
 * and again if an instance of such a version has changed some.
 */
export function createStats(connection: Connection): Pick<DeliveryStore, 'stats'> {
  let counting: Promise<void> | null = null;
  let recountedAt = Number.NEGATIVE_INFINITY;

  async function countAll() {
    if ((await connection.execute((redis) => redis.exists(KEYS.areCounted))) === 1) return;
    await recount();
    await connection.execute((redis) => redis.set(KEYS.areCounted, '1'));
  }

  async function recount() {
    const prefixes = [KEYS.delivery(''), KEYS.waiting('' as never), KEYS.planned('' as never)];
    const count = async (ids: readonly string[]) => {
      const args = [...prefixes, KEYS.settledHour(''), Date.now() - DAY, ...ids];
      if (ids.length > 0) await connection.runScript(COUNT_STORED, ...args);
    };
    for (const set of WAITING_SETS) {
      await scan('zscan', set, async (found) => {
        const members = found.filter((_, i) => i % 2 === 0);
        if (members.length > 0) await connection.runScript(REMOVE_MISPLACED, set, ...prefixes, ...members);
      });
    }
    await scan('sscan', KEYS.unsettled, count);
    await scan('zscan', KEYS.expiring, (found) =>
      count(found.filter((_, i) => i % 2 === 0).map((member) => member.slice(ID_OFFSET))),
    );
  }

  async function scan(
    command: 'sscan' | 'zscan',
    key: string,
    handle: (found: readonly string[]) => Promise<void>,
  ) {
    let cursor = '0';
    do {
      const [next, found] = await connection.execute((redis) =>
        redis[command](key, cursor, 'COUNT', PAGE_SIZE),
      );
      // A small set is returned whole.
      for (let i = 0; i < found.length; i += 2 * PAGE_SIZE) await handle(found.slice(i, i + 2 * PAGE_SIZE));
      cursor = next;
    } while (cursor !== '0');
  }

  function ensureCounted(): Promise<void> {
    counting ??= countAll();
    counting.catch(() => {
      counting = null;
    });
    return counting;
  }

  async function read(owner: string | null, now: number): Promise<Numbers> {
    const keys = [...WAITING_SETS, KEYS.unsettled, ...countedHours(now).map(KEYS.settledHour)];
    return (await connection.runScript(READ_STATS, ...keys, WAITING_SETS.length, owner ?? '')) as Numbers;
  }

  ensureCounted().catch(() => {});
  return {
    async stats(owner, now) {
      await ensureCounted();
      const numbers = await read(owner, now);
      const [, , , areComplete] = numbers;
      if (areComplete === 1 || performance.now() - recountedAt < RECOUNT_EVERY_MS)
        return toStats(numbers, now);
      recountedAt = performance.now();
      await recount();
      return toStats(await read(owner, now), now);
    },
  };
}

function toStats([counts, times, hours]: Numbers, now: number): DeliveryStats {
  const countOf = (key: string) => counts[WAITING_SETS.indexOf(key)] ?? 0;
  const dueAt = Math.min(...times.filter((time) => time !== '').map(Number));
  return {
    byStatus: Object.fromEntries(
      QUEUE_STATUSES.map((status) => [status, countOf(KEYS.waiting(status)) + countOf(KEYS.planned(status))]),
    ) as DeliveryStats['byStatus'],
    oldestDueAt: dueAt <= now ? dueAt : null,
    byHour: countedHours(now).map((hour, i) => ({ hour, ...sumOf(hours[i] ?? []) })),
  };
}

/** Sums up the fields of an hour: name and count alternately. */
function sumOf(fields: readonly string[]): SettledCount {
  const total = { sent: 0, failed: 0 };
  for (let i = 0; i < fields.length; i += 2) {
    const result = fields[i]?.startsWith('sent:') ? 'sent' : 'failed';
    total[result] += Number(fields[i + 1]);
  }
  return total;
}
