import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { decodeDelivery, toInsert } from '../../src/adapters/sqlite/delivery-rows.ts';
import { createDeliveries } from '../../src/adapters/sqlite/worker/deliveries.ts';
import { createListing } from '../../src/adapters/sqlite/worker/listing.ts';
import { migrate } from '../../src/adapters/sqlite/worker/schema.ts';
import type { ListPosition } from '../../src/core/delivery/delivery-query.ts';
import { ALL_MESSAGES } from '../../src/core/messages.ts';
import { aDelivery } from '../helpers/delivery.ts';

const LIMITS = { maxMessages: 1000, maxBytes: 1e9, retainMs: 60_000 };
/** Number of rows that one call searches. */
const SCAN_SIZE = 7;

test.each([
  { order: 'newest first', waitingAt: null, start: { createdAt: 9e9, id: '' } },
  { order: 'oldest first', waitingAt: 9e9, start: { createdAt: 0, id: '' } },
])('a search $order goes on where the one before has ended, so that writes run between', (order) => {
  const db = new DatabaseSync(':memory:');
  migrate(db, 'test');
  const { writes } = createDeliveries(db, LIMITS, Date.now);
  const { reads } = createListing(db, () => [], Date.now, SCAN_SIZE);
  const deliveries = Array.from({ length: 300 }, (_, i) =>
    aDelivery({ createdAt: 1000 + Math.floor(i / 4), tags: i % 40 === 0 ? { flow: 'rare' } : {} }),
  );
  for (const delivery of deliveries) writes.insertDelivery(() => {}, ...toInsert(delivery, Date.now()));
  const { waitingAt } = order;
  const query = { ...ALL_MESSAGES, owner: null, waitingAt, tag: 'flow:rare', limit: 100, after: null };
  const found: string[] = [];
  let calls = 0;
  for (let next: ListPosition | null = order.start; next; calls += 1) {
    const page = reads.listPage(query, next);
    found.push(...page.found.map(([record, state]) => decodeDelivery([record, state, null]).id));
    next = page.next;
  }
  const expected = deliveries.filter((_, i) => i % 40 === 0).map(({ id }) => id);
  expect(found).toEqual(waitingAt === null ? expected.toReversed() : expected);
  expect(calls).toBeGreaterThan(300 / SCAN_SIZE - 1);
  db.close();
});
