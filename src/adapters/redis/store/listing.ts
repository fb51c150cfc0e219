import type { Delivery } from '../../../core/delivery/delivery.ts';
import { decodeRecord } from '../../../core/delivery/delivery-codec.ts';
import { matchesQuery } from '../../../core/delivery/delivery-query.ts';
import type { DeliveryStore } from '../../../core/ports/delivery-store.ts';
import type { Connection } from '../connection/connection.ts';
import { KEYS } from '../keys.ts';
import { READ_PAGE } from './store-scripts.ts';
import { toTimelineRange } from './timeline-member.ts';

/** Number of deliveries read in one step, during which Redis does nothing else. */
const PAGE_SIZE = 100;

/** Reads many deliveries page by page, without their content, which may be large. */
export function createListing(connection: Connection): Pick<DeliveryStore, 'list' | 'unsettled'> {
  async function readPage(from: string, to: string): Promise<readonly (string | null)[]> {
    const keys = [KEYS.timeline, KEYS.delivery('')];
    return (await connection.runScript(READ_PAGE, ...keys, from, to, PAGE_SIZE)) as (string | null)[];
  }

  return {
    async list(query) {
      const found: Delivery[] = [];
      let [from, to] = toTimelineRange(query);
      for (;;) {
        const page = await readPage(from, to);
        for (let i = 0; i < page.length; i += 2) {
          const record = page[i + 1];
          if (!record) continue;
          const delivery = decodeRecord(record, null);
          if (matchesQuery(delivery, query)) found.push(delivery);
          if (found.length === query.limit) return found;
        }
        if (page.length < 2 * PAGE_SIZE) return found;
        from = `(${page.at(-2)}`;
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
