import type { DatabaseSync } from 'node:sqlite';
import { type Delivery, isSettled, STATUSES } from '../../../core/delivery/delivery.ts';
import {
  comparePositions,
  type DeliveryQuery,
  type ListPosition,
  matchesQuery,
} from '../../../core/delivery/delivery-query.ts';
import { signatureOfQuery, toNumber } from '../../../core/delivery/signature.ts';
import { UNSETTLED } from './deliveries.ts';

/** Maximum number of deliveries in a page. */
const PAGE_SIZE = 100;
/**
 * Interval, in places, at which a row ends the search for a page, whether it matches or not. Reading
 * that many index entries takes a millisecond or two.
 */
const SCAN_SIZE = 16_384;

/** A delivery that may match. */
interface Candidate extends ListPosition {
  readonly place: number;
}

/** The first candidates among some rows. `end`: where the search ended; null: no more rows. */
interface Scanned {
  readonly candidates: readonly Candidate[];
  readonly end: ListPosition | null;
}

/** One page of a listing: the matches in it, and where the next one begins; null at the end. */
export interface ListPage {
  readonly found: readonly (readonly [record: string, state: string])[];
  readonly next: ListPosition | null;
}

export interface UnsettledRow {
  readonly place: number;
  readonly created_at: number;
  readonly id: string;
  readonly account: string;
  readonly status: Delivery['status'];
  /** JSON. */
  readonly error: string | null;
  /** JSON. */
  readonly lookup: string | null;
  readonly scheduled_at: number | null;
  readonly expires_at: number | null;
}

/** What the queue needs to know of an unsettled delivery. */
export type QueuedRow = readonly [
  createdAt: number,
  place: number,
  id: string,
  channel: string,
  priority: string,
  dueAt: number | null,
];

type Order = 'newest first' | 'oldest first';
type Parameters = Readonly<Record<string, string | number | null>>;

/**
 * Procedures that read many deliveries, one page each, so that writes can run between the pages.
 *
 * @param untidyPlaces returns the rows that are settled and still in the index of open ones
 * @param now epoch ms by the clock of the file
 */
export function createListing(
  db: DatabaseSync,
  untidyPlaces: () => readonly number[],
  now: () => number,
  scanSize = SCAN_SIZE,
) {
  const open = prepareScan(db, 'leaves_at IS NULL', 'newest first');
  const openOldestFirst = prepareScan(db, 'leaves_at IS NULL', 'oldest first');
  const settled = prepareScan(db, 'status = :status AND leaves_at IS NOT NULL', 'newest first');
  const bounced = prepareScan(db, 'bounced = 1', 'newest first');
  const bouncedOldestFirst = prepareScan(db, 'bounced = 1', 'oldest first');
  const untidy = prepareScan(db, 'place IN (SELECT value FROM json_each(:places))', 'newest first');
  const readRecord = db.prepare(`
    SELECT record, state FROM deliveries JOIN records USING (place)
    WHERE place = ? AND coalesce(leaves_at > ?, 1)
  `);
  readRecord.setReturnArrays(true);
  const unsettledPage = db.prepare(`
    SELECT place, created_at, id, json_extract(latest, '$.account') AS account, status,
      json_extract(latest, '$.error') AS error, json_extract(latest, '$.lookup') AS lookup,
      json_extract(latest, '$.scheduledAt') AS scheduled_at, json_extract(latest, '$.expiresAt') AS expires_at
    FROM (
      SELECT *, CASE WHEN rtrim(state) = '{}'
        THEN (SELECT record FROM records WHERE records.place = deliveries.place)
        ELSE state END AS latest
      FROM deliveries
      WHERE leaves_at IS NULL AND ${UNSETTLED} AND (created_at, place) > (?, ?)
      ORDER BY created_at, place LIMIT ${PAGE_SIZE}
    )
  `);
  const queuedPage = db.prepare(`
    SELECT created_at, place, id, account, priority, due_at FROM deliveries
    WHERE leaves_at IS NULL AND ${UNSETTLED} AND (created_at, place) > (?, ?)
    ORDER BY created_at, place LIMIT ${PAGE_SIZE}
  `);
  queuedPage.setReturnArrays(true);

  function toParameters(query: DeliveryQuery, { createdAt, id }: ListPosition): Parameters {
    const { owner, statuses, bounced: isBounced, waitingAt, createdAfter, createdBefore } = query;
    const wanted = signatureOfQuery(query);
    return {
      createdAt,
      id,
      owner,
      statuses: JSON.stringify(statuses ?? STATUSES),
      bounced: isBounced === null ? null : Number(isBounced),
      dueBy: Math.ceil(waitingAt ?? Number.MAX_SAFE_INTEGER),
      bound: waitingAt === null ? (createdAfter ?? 0) : (createdBefore ?? Number.MAX_SAFE_INTEGER),
      wanted: wanted ? toNumber(wanted) : 0,
      scanSize,
    };
  }

  /** Searches all rows that may match, those of each index separately. */
  function scanAll({ statuses, waitingAt, ...query }: DeliveryQuery, parameters: Parameters): Scanned[] {
    if (query.bounced) return [(waitingAt === null ? bounced : bouncedOldestFirst)(parameters)];
    if (waitingAt !== null) return [openOldestFirst(parameters)];
    const wanted = statuses ?? STATUSES;
    return [
      wanted.every(isSettled)
        ? untidy({ ...parameters, places: JSON.stringify(untidyPlaces()) })
        : open(parameters),
      ...wanted.filter(isSettled).map((status) => settled({ ...parameters, status })),
    ];
  }

  return {
    reads: {
      listPage(query: DeliveryQuery, position: ListPosition): ListPage {
        const scanned = scanAll(query, toParameters(query, position));
        const { candidates, end } = merge(
          scanned,
          query.waitingAt === null ? 'newest first' : 'oldest first',
        );
        const found = candidates.flatMap(({ place }) => {
          const row = readRecord.get(place, now()) as unknown as ListPage['found'][number] | undefined;
          if (!row) return [];
          const [record, state] = row;
          return matchesQuery({ ...JSON.parse(record), ...JSON.parse(state) }, query) ? [row] : [];
        });
        return { found, next: end };
      },
      unsettledPage: (createdAt: number, place: number): readonly UnsettledRow[] =>
        unsettledPage.all(createdAt, place).map((row) => ({ ...row }) as unknown as UnsettledRow),
      /** Reads no records. */
      queuedPage: (createdAt: number, place: number): readonly QueuedRow[] =>
        queuedPage.all(createdAt, place) as unknown as QueuedRow[],
    },
  };
}

/**
 * Prepares the search among some rows of an index. It reads only the index until a signature passes.
 *
 * @param where SQL: selects the rows
 */
function prepareScan(db: DatabaseSync, where: string, order: Order): (parameters: Parameters) => Scanned {
  const [direction, isAfter, isInBound] = order === 'newest first' ? ['DESC', '<', '>='] : ['ASC', '>', '<'];
  const find = db.prepare(`
    SELECT place, created_at AS createdAt, id, place % :scanSize = 0 AS isEnd FROM deliveries AS scanned
    WHERE ${where} AND (created_at, id) ${isAfter} (:createdAt, :id) AND created_at ${isInBound} :bound
      AND (place % :scanSize = 0 OR coalesce(signature & :wanted = :wanted, 1) AND EXISTS (
        SELECT 1 FROM deliveries WHERE deliveries.place = scanned.place
          AND coalesce(owner = :owner, 1)
          AND status IN (SELECT value FROM json_each(:statuses))
          AND coalesce(coalesce(bounced, 0) = :bounced, 1)
          AND (status <> 'scheduled' OR coalesce(due_at <= :dueBy, 1))
      ))
    ORDER BY created_at ${direction}, id ${direction} LIMIT ${PAGE_SIZE}
  `);
  find.setAllowUnknownNamedParameters(true);
  return (parameters) => {
    const candidates: Candidate[] = [];
    for (const row of find.iterate(parameters)) {
      const candidate = row as unknown as Candidate & { readonly isEnd: 0 | 1 };
      candidates.push(candidate);
      if (candidate.isEnd) return { candidates, end: candidate };
    }
    return { candidates, end: candidates.length < PAGE_SIZE ? null : (candidates.at(-1) ?? null) };
  };
}

/** Returns the first candidates of all, as far as every search has come. */
function merge(scanned: readonly Scanned[], order: Order): Scanned {
  const sign = order === 'newest first' ? -1 : 1;
  const compare = (a: ListPosition, b: ListPosition) => sign * comparePositions(a, b);
  const [first = null] = scanned.flatMap(({ end }) => end ?? []).sort(compare);
  const all = scanned.flatMap(({ candidates }) => candidates).sort(compare);
  const reached = first === null ? all : all.filter((candidate) => compare(candidate, first) <= 0);
  const candidates = reached.slice(0, PAGE_SIZE);
  return { candidates, end: candidates.length < reached.length ? (candidates.at(-1) ?? null) : first };
}
