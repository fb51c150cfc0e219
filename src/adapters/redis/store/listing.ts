import type { Delivery } from '../../../core/delivery/delivery.ts';
import { decodeRecord } from '../../../core/delivery/delivery-codec.ts';
import { type DeliveryQuery, matchesQuery } from '../../../core/delivery/delivery-query.ts';
import { QUEUE_STATUSES } from '../../../core/delivery/delivery-stats.ts';
import { signatureOfQuery } from '../../../core/delivery/signature.ts';
import type { DeliveryStore } from '../../../core/ports/delivery-store.ts';
import type { Connection } from '../connection/connection.ts';
import { KEYS } from '../keys.ts';
import { READ_PAGE, READ_WAITING, SEARCH_PAGE } from './store-scripts.ts';
import { encodeTime, toTimelineMember, toTimelineRange } from './timeline-member.ts';

/** Number of deliveries read in one step, during which Redis does nothing else. */
const PAGE_SIZE = 100;
/** Number of signatures compared in one step. */
const SCAN_SIZE = 2000;

/** Timeline member and record alternately. The record is missing if the delivery has expired. */
type Entries = readonly (string | null)[];

/** `next`: the timeline member after which the next page begins; null at the end. */
interface Page {
  readonly entries: Entries;
  readonly next: string | null;
}

/** Reads many deliveries page by page, without their content, which may be large. */
export function createListing(connection: Connection): Pick<DeliveryStore, 'list' | 'unsettled'> {
  /** Reads a page of all deliveries that may match, newest first. */
  async function readNewest(query: DeliveryQuery, after: string | null): Promise<Page> {
    const [from, to] = toTimelineRange(query);
    const range = [after === null ? from : `(${after}`, to];
    const wanted = signatureOfQuery(query);
    if (wanted === null) {
      const keys = [KEYS.timeline, KEYS.delivery('')];
      return toPage(await connection.runScript(READ_PAGE, ...keys, ...range, PAGE_SIZE));
    }
    const keys = [KEYS.timeline, KEYS.signatures, KEYS.delivery('')];
    const values = [...range, SCAN_SIZE, wanted.high, wanted.low, PAGE_SIZE];
    const entries = (await connection.runScript(SEARCH_PAGE, ...keys, ...values)) as Entries;
    const next = entries.length % 2 === 1 ? (entries.at(-1) ?? null) : null;
    return { entries: next === null ? entries : entries.slice(0, -1), next };
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
    const entries = await connection.runScript(READ_WAITING, ...sets, KEYS.delivery(''), ...values);
    return toPage(entries);
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
        for (let i = 0; i < page.entries.length; i += 2) {
          const record = page.entries[i + 1];
          if (!record) continue;
          const delivery = decodeRecord(record, null);
          if (matchesQuery(delivery, query)) found.push(delivery);
          if (found.length === query.limit) return found;
        }
        if (page.next === null) return found;
        after = page.next;
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

/** @param result of a script that reads a page; one with fewer entries is the last one */
function toPage(result: unknown): Page {
  const entries = result as Entries;
  return { entries, next: entries.length < 2 * PAGE_SIZE ? null : (entries.at(-2) ?? null) };
}
