import type { Delivery } from '../../../core/delivery/delivery.ts';
import { decodeRecord } from '../../../core/delivery/delivery-codec.ts';
import { type DeliveryQuery, matchesQuery } from '../../../core/delivery/delivery-query.ts';
import { QUEUE_STATUSES } from '../../../core/delivery/delivery-stats.ts';
import type { DeliveryStore } from '../../../core/ports/delivery-store.ts';
import type { Connection } from '../connection/connection.ts';
import { KEYS } from '../keys.ts';
import { READ_PAGE, READ_WAITING } from './store-scripts.ts';
import { encodeTime, toTimelineMember, toTimelineRange } from './timeline-member.ts';

/** Number of deliveries read in one step, during which Redis does nothing else. */
const PAGE_SIZE = 100;

/** Timeline member and record alternately. The record is missing if the delivery has expired. */
type Page = readonly (string | null)[];

/** Reads many deliveries page by page, without their content, which may be large. */
export function createListing(connection: Connection): Pick<DeliveryStore, 'list' | 'unsettled'> {
  /** Reads a page of all deliveries, newest first. */
  async function readNewest(query: DeliveryQuery, after: string | null): Promise<Page> {
    const [from, to] = toTimelineRange(query);
    const keys = [KEYS.timeline, KEYS.delivery('')];
    const range = [after === null ? from : `(${after}`, to];
    return (await connection.runScript(READ_PAGE, ...keys, ...range, PAGE_SIZE)) as Page;
  }

  /** Reads a page of the deliveries that wait, oldest first. */
  async function readWaiting(
    { owner, after: start }: DeliveryQuery,
    now: number,
    after: string | null,
  ): Promise<Page> {
    const sets = [...QUEUE_STATUSES.map(KEYS.waiting), ...QUEUE_STATUSES.map(KEYS.planned)];
    const position = after ?? (start === null ? '' : toTimelineMember(start));
    const values = [QUEUE_STATUSES.length, owner ?? '', position, encodeTime(now), PAGE_SIZE];
    return (await connection.runScript(READ_WAITING, ...sets, KEYS.delivery(''), ...values)) as Page;
  }

  return {
    async list(query) {
      const found: Delivery[] = [];
      let after: string | null = null;
      for (;;) {
        const page: Page =
          query.waitingAt === null
            ? await readNewest(query, after)
            : await readWaiting(query, query.waitingAt, after);
        for (let i = 0; i < page.length; i += 2) {
          const record = page[i + 1];
          if (!record) continue;
          const delivery = decodeRecord(record, null);
          if (matchesQuery(delivery, query)) found.push(delivery);
          if (found.length === query.limit) return found;
        }
        if (page.length < 2 * PAGE_SIZE) return found;
        after = page.at(-2) ?? null;
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
