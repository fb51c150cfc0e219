import type { Delivery } from '../../../core/delivery/delivery.ts';
import { decodeRecord } from '../../../core/delivery/delivery-codec.ts';
import { comparePositions, type DeliveryQuery, matchesQuery } from '../../../core/delivery/delivery-query.ts';
import { MINUTE } from '../../../core/time.ts';
import type { Connection } from '../connection/connection.ts';
import { KEYS } from '../keys.ts';
import { encodeRow, searchRows } from './search-rows.ts';
import { FREE_LOST_PLACES, READ_AT_TIMES, READ_ROWS, WRITE_SEARCH_ROW } from './search-scripts.ts';
import { encodeTime, ID_OFFSET } from './timeline-member.ts';

/** Number of times whose deliveries are read in one step, during which Redis does nothing else. */
const STEP_SIZE = 100;
/** Minimum interval between two times that all rows are written, in ms. */
const REWRITE_EVERY_MS = MINUTE;

/** Finds the few deliveries that match a query among many, by their search rows. */
export interface Search {
  /** Returns what `list` does, or null if some rows are missing. Then it writes them. */
  find(query: DeliveryQuery): Promise<readonly Delivery[] | null>;
}

/**
 * Creates the search among the rows that the scripts which change deliveries write.
 *
 * Versions before these rows do not write them. So all rows are written at startup after an upgrade,
 * and again if an instance of such a version has added or settled deliveries.
 */
export function createSearch(connection: Connection): Search {
  const { redis } = connection;
  let writing: Promise<void> | null = null;
  let writtenAt = Number.NEGATIVE_INFINITY;

  async function writeRows() {
    await connection.execute(() => redis.unlink(KEYS.formerSignatures));
    await scan('zscan', KEYS.timeline, (members) =>
      writeRowsOf(members.map((each) => each.slice(ID_OFFSET))),
    );
    await scan('hscan', KEYS.places, async (ids) => {
      await connection.runScript(FREE_LOST_PLACES, KEYS.places, KEYS.freePlaces, KEYS.delivery(''), ...ids);
    });
  }

  async function writeRowsOf(ids: readonly string[]) {
    const reads = ids.reduce(
      (pipeline, id) => pipeline.hmget(KEYS.delivery(id), 'record', 'revision'),
      redis.pipeline(),
    );
    const results = (await connection.execute(() => reads.exec())) ?? [];
    const writes = ids.flatMap((id, i) => {
      const [record, revision] = (results[i]?.[1] ?? []) as (string | null)[];
      if (!record || !revision) return [];
      const keys = [KEYS.delivery(id), KEYS.searchRows, KEYS.places, KEYS.freePlaces, KEYS.usage];
      return [
        connection.runScript(WRITE_SEARCH_ROW, ...keys, id, revision, encodeRow(decodeRecord(record, null))),
      ];
    });
    await Promise.all(writes);
  }

  async function scan(
    command: 'zscan' | 'hscan',
    key: string,
    handle: (names: readonly string[]) => Promise<void>,
  ) {
    let cursor = '0';
    do {
      const [next, found] = await connection.execute(() => redis[command](key, cursor, 'COUNT', STEP_SIZE));
      // Names, each followed by its score or value.
      const names = found.filter((_, i) => i % 2 === 0);
      if (names.length > 0) await handle(names);
      cursor = next;
    } while (cursor !== '0');
  }

  /** Writes all rows, unless that has just been done. */
  function ensureRows() {
    if (writing !== null || performance.now() - writtenAt < REWRITE_EVERY_MS) return;
    writtenAt = performance.now();
    writing = writeRows()
      .catch(() => {})
      .finally(() => {
        writing = null;
      });
  }

  /** Returns the times of possible matches, or null if rows are missing. */
  async function findTimes(query: DeliveryQuery): Promise<readonly number[] | null> {
    const keys = [KEYS.searchRows, KEYS.places, KEYS.timeline, KEYS.unsettled];
    const result = await connection.runScript(READ_ROWS, ...keys);
    const [rows, places, deliveries, unsettled] = result as [Buffer, number, number, number];
    const found = searchRows(rows, query);
    return places === deliveries && found.unsettled === unsettled ? found.times : null;
  }

  connection
    .execute(() => redis.exists(KEYS.formerSignatures))
    .then((exists) => {
      if (exists === 1) ensureRows();
    })
    .catch(() => {});
  return {
    async find(query) {
      const { waitingAt, after, limit } = query;
      const compare = (a: Delivery, b: Delivery | NonNullable<typeof after>) =>
        waitingAt === null ? comparePositions(b, a) : comparePositions(a, b);
      const times = await findTimes(query);
      if (times === null) {
        ensureRows();
        return null;
      }
      const found: Delivery[] = [];
      for (let i = 0; i < times.length && found.length < limit; i += STEP_SIZE) {
        const step = times.slice(i, i + STEP_SIZE).map(encodeTime);
        const records = await connection.runScript(READ_AT_TIMES, KEYS.timeline, KEYS.delivery(''), ...step);
        const matches = (records as readonly string[])
          .map((record) => decodeRecord(record, null))
          .filter((each) => matchesQuery(each, query) && (after === null || compare(each, after) > 0))
          .sort(compare);
        found.push(...matches);
      }
      return found.slice(0, limit);
    },
  };
}
