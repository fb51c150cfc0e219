import type { Delivery } from '../../../core/delivery/delivery.ts';
import { decodeRecord } from '../../../core/delivery/delivery-codec.ts';
import { type DeliveryQuery, matchesQuery } from '../../../core/delivery/delivery-query.ts';
import { QUEUE_STATUSES } from '../../../core/delivery/delivery-stats.ts';
import type { DeliveryStore } from '../../../core/ports/delivery-store.ts';
import type { Connection } from '../connection/connection.ts';
import { KEYS } from '../keys.ts';
import { createSearch } from './search.ts';
import { READ_PAGE, READ_WAITING } from './store-scripts.ts';
import { encodeTime, toPosition, toTimelineMember, toTimelineRange } from './timeline-member.ts';

/** Number of deliveries read in one step, during which Redis does nothing else. */
const PAGE_SIZE = 100;
/** A filter that fewer deliveries of a page match is rare: reading pages would take long. */
const RARE = PAGE_SIZE / 10;

/** Timeline member and record alternately. The record is missing if the delivery has expired. */
type Entries = readonly (string | null)[];

/** Reads many deliveries page by page, without their content, which may be large. */
export function createListing(connection: Connection): Pick<DeliveryStore, 'list' | 'unsettled'> {
  const search = createSearch(connection);

  /** Reads a page of all deliveries, newest first. */
  async function readNewest(query: DeliveryQuery): Promise<Entries> {
    const keys = [KEYS.timeline, KEYS.delivery('')];
    const entries = await connection.runScript(READ_PAGE, ...keys, ...toTimelineRange(query), PAGE_SIZE);
    return entries as Entries;
  }

  /** Reads a page of the deliveries that wait, oldest first. */
  async function readWaiting({ owner, after }: DeliveryQuery, now: number): Promise<Entries> {
    const sets = [...QUEUE_STATUSES.map(KEYS.waiting), ...QUEUE_STATUSES.map(KEYS.planned)];
    const position = after === null ? '' : toTimelineMember(after);
    const values = [QUEUE_STATUSES.length, owner ?? '', position, encodeTime(now), PAGE_SIZE];
    const entries = await connection.runScript(READ_WAITING, ...sets, KEYS.delivery(''), ...values);
    return entries as Entries;
  }

  return {
    async list(query) {
      const found: Delivery[] = [];
      let rest = query;
      let isSearchable = true;
      for (;;) {
        const entries = await (query.waitingAt === null
          ? readNewest(rest)
          : readWaiting(rest, query.waitingAt));
        const matches = entries.flatMap((record, i) => {
          const delivery = i % 2 === 1 && record ? decodeRecord(record, null) : null;
          return delivery && matchesQuery(delivery, query) ? [delivery] : [];
        });
        found.push(...matches);
        const last = entries.at(-2);
        if (found.length >= query.limit || !last || entries.length < 2 * PAGE_SIZE)
          return found.slice(0, query.limit);
        rest = { ...query, after: toPosition(last), limit: query.limit - found.length };
        if (!isSearchable || matches.length >= RARE) continue;
        const others = await search.find(rest);
        if (others !== null) return [...found, ...others];
        isSearchable = false;
      }
    },
    async *unsettled() {
      let cursor = '0';
      do {
        const [next, ids] = await connection.execute((redis) =>
          redis.sscan(KEYS.unsettled, cursor, 'COUNT', PAGE_SIZE),
        );
        const reads = ids.reduce(
          (pipeline, id) => pipeline.hget(KEYS.delivery(id), 'record'),
          connection.redis.pipeline(),
        );
        const records = (await connection.execute(() => reads.exec())) ?? [];
        for (const [, record] of records) if (typeof record === 'string') yield decodeRecord(record, null);
        cursor = next;
      } while (cursor !== '0');
    },
  };
}
