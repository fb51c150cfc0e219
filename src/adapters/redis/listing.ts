import type { Delivery } from '../../core/delivery.ts';
import type { Store } from '../../core/ports.ts';
import { matches } from '../../core/query.ts';
import { parseRecord } from '../../core/record.ts';
import { KEYS } from './keys.ts';
import type { Link } from './link.ts';
import { rangeOf } from './places.ts';
import { PAGE } from './store-scripts.ts';

/** Read in one step, during which Redis does nothing else. */
const PER_PAGE = 100;

/** Reads many deliveries, page by page, without their content: that may be large. */
export function createListing(link: Link): Pick<Store, 'list' | 'unsettled'> {
  return {
    async list(query) {
      const found: Delivery[] = [];
      let [from, to] = rangeOf(query);
      for (;;) {
        const page = (await link.run(PAGE, KEYS.timeline, KEYS.delivery(''), from, to, PER_PAGE)) as (string | null)[];
        for (let i = 0; i < page.length; i += 2) {
          const record = page[i + 1];
          if (!record) continue;
          const delivery = parseRecord(record, null);
          if (matches(delivery, query)) found.push(delivery);
          if (found.length === query.limit) return found;
        }
        if (page.length < 2 * PER_PAGE) return found;
        from = `(${page.at(-2)}`;
      }
    },
    async *unsettled() {
      let cursor = '0';
      do {
        const [next, ids] = await link.ask((redis) => redis.sscan(KEYS.unsettled, cursor, 'COUNT', PER_PAGE));
        const reading = ids.reduce((all, id) => all.hget(KEYS.delivery(id), 'record'), link.redis.pipeline());
        const records = (await link.ask(() => reading.exec())) ?? [];
        for (const [, record] of records) if (typeof record === 'string') yield parseRecord(record, null);
        cursor = next;
      } while (cursor !== '0');
    },
  };
}
