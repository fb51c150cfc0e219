import { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createGroupCommit, type GroupCommit } from '../../src/adapters/sqlite/group-commit.ts';
import { createSqliteIdempotency } from '../../src/adapters/sqlite/idempotency.ts';
import { createSqliteOutbox } from '../../src/adapters/sqlite/outbox.ts';
import { startRetention } from '../../src/adapters/sqlite/retention.ts';
import { migrate } from '../../src/adapters/sqlite/schema.ts';
import { createSqliteSharedState } from '../../src/adapters/sqlite/shared-state.ts';
import { createSqliteStore } from '../../src/adapters/sqlite/store.ts';
import { advance } from '../../src/core/delivery/delivery.ts';
import type { RecordStore } from '../../src/core/store-then-queue.ts';
import { aDelivery, aMessage } from '../helpers/delivery.ts';
import { aNotice } from '../helpers/webhook-notice.ts';

const UNAVAILABLE = { code: 'queue_unavailable' };
const LIMITS = { maxMessages: 5, maxBytes: 1e6, retainMs: 60_000 };

/** The database is in memory, so no file can be moved. */
const IN_PLACE = { check() {}, ensureLog() {}, checkpointLog() {} };
const RECEIPT = { ids: ['msg_1'], refused: [] };

let db: DatabaseSync;
let groupCommit: GroupCommit;
let store: RecordStore;
let reports: (string | null)[];

beforeEach(() => {
  db = new DatabaseSync(':memory:');
  migrate(db, 'test');
  reports = [];
  groupCommit = createGroupCommit(db, {
    openFile: IN_PLACE,
    now: Date.now,
    onAvailabilityChange: (reason) => reports.push(reason),
  });
  store = createSqliteStore(db, groupCommit, LIMITS);
});

afterEach(() => {
  vi.useRealTimers();
  groupCommit.close();
  db.close();
});

// The file cannot grow by another page from now on; then it can again.
const fillDisk = () => db.exec('PRAGMA max_page_count = 1');
const freeDisk = () => db.exec('PRAGMA max_page_count = 100000');
const big = () => aDelivery({ content: aMessage({ text: 'x'.repeat(100_000) }).content });

test('groupCommit all writes of one turn of the event loop in one transaction before acknowledging any', async () => {
  const acknowledged: string[] = [];
  const order = Promise.all([
    store.insert(aDelivery()).then(() => acknowledged.push('insert')),
    groupCommit.write(() => 1).then(() => acknowledged.push('write')),
  ]);
  await Promise.resolve();
  expect([db.isTransaction, acknowledged]).toEqual([true, []]);
  await nextTurn();
  expect(db.isTransaction).toBe(false);
  await order;
  expect(acknowledged).toEqual(['insert', 'write']);
});

test('a read does not resolve before the writes it has seen are synced', async () => {
  const delivery = aDelivery();
  const seen: string[] = [];
  const inserted = store.insert(delivery).then(() => seen.push('stored'));
  const read = store.get(delivery.id).then((found) => seen.push(`read ${found?.id}`));
  await Promise.resolve();
  expect(seen).toEqual([]);
  await Promise.all([inserted, read]);
  expect(seen).toEqual(['stored', `read ${delivery.id}`]);
});

test('a refused write does not affect the other writes of its turn', async () => {
  const deliveries = Array.from({ length: 7 }, () => aDelivery());
  const results = await Promise.allSettled(deliveries.map((delivery) => store.insert(delivery)));
  expect(results.map(({ status }) => status)).toEqual([
    ...Array(5).fill('fulfilled'),
    'rejected',
    'rejected',
  ]);
  expect(results.at(-1)).toMatchObject({ reason: { code: 'queue_full' } });
  expect(await store.get(deliveries[4]?.id ?? '')).not.toBeNull();
});

test('on a full disk all writes of the turn are rejected, and none is stored or counted', async () => {
  const [stored, early, read] = [aDelivery(), aDelivery(), aDelivery()];
  await store.insert(stored);
  fillDisk();
  const [first, seen, second] = await Promise.allSettled([
    store.insert(early),
    store.get(early.id),
    store.insert(big()),
  ]);
  for (const result of [first, second])
    expect(result).toMatchObject({ status: 'rejected', reason: UNAVAILABLE });
  // The read is repeated without the rolled-back write.
  expect(seen).toEqual({ status: 'fulfilled', value: null });
  expect(store.refusalCode()).toBe('queue_unavailable');
  expect(await store.get(early.id)).toBeNull();
  freeDisk();
  for (const delivery of [read, early, aDelivery(), aDelivery()]) await store.insert(delivery);
  expect(store.refusalCode()).toBe('queue_full');
  expect(await store.get(stored.id)).toEqual(stored);
});

test('a failed commit reverts the counts of its turn: messages, claims and outbox usage; shared values keep their change', async () => {
  const idempotency = createSqliteIdempotency(db, groupCommit, LIMITS.retainMs);
  const outbox = createSqliteOutbox(db, groupCommit, { notices: 4, bytes: 1e6 });
  const shared = await createSqliteSharedState(db, groupCommit).open('quota', () => ({ count: 0 }));
  const stored = aDelivery();
  const replaced = aNotice();
  const unknown = await idempotency.claim('unknown', 'f', 'crm');
  await idempotency.markUnknown('unknown');
  await Promise.all([store.insert(stored), idempotency.claim('held', 'f', 'crm'), outbox.put(replaced)]);
  let failures = 1;
  groupCommit.beforeCommit(() => {
    if (failures-- > 0) db.exec('INSERT INTO contents VALUES (999, 1)');
  });
  await shared.change((value) => ++value.count);
  const turn = [
    store.update(stored, advance(stored, 'canceled')),
    idempotency.claim('new', 'f', 'crm'),
    idempotency.claim('unknown', 'f', 'crm'),
    idempotency.accept('held', RECEIPT, { status: 202, headers: {}, body: '' }),
    outbox.put(aNotice()),
    outbox.put({ ...replaced, failures: 1 }),
    outbox.remove(replaced.id),
  ];
  for (const result of await Promise.allSettled(turn))
    expect(result).toMatchObject({ status: 'rejected', reason: UNAVAILABLE });
  expect(await store.get(stored.id)).toEqual(stored);
  await idempotency.claim('other', 'f', 'crm');
  expect(db.prepare('SELECT value FROM books').get()).toEqual({ value: '{"count":1}' });
  expect((await idempotency.claim('new', 'f', 'crm')).kind).toBe('new');
  expect(await idempotency.claim('unknown', 'f', 'crm')).toEqual(unknown);
  expect((await idempotency.claim('held', 'f', 'crm')).kind).toBe('in_progress');
  expect(await outbox.get(replaced.id)).toEqual(replaced);
  expect([await outbox.put(aNotice()), await outbox.put(aNotice())]).toEqual([true, false]);
  for (let i = 0; i < 4; i++) await store.insert(aDelivery());
  expect(store.refusalCode()).toBe('queue_full');
});

test('tries a write every second after a failure, and reports failure and recovery once', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  fillDisk();
  await expect(store.insert(big())).rejects.toMatchObject(UNAVAILABLE);
  db.exec('PRAGMA query_only = ON');
  await vi.advanceTimersByTimeAsync(1000);
  await nextTurn();
  expect(store.refusalCode()).toBe('queue_unavailable');
  db.exec('PRAGMA query_only = OFF');
  freeDisk();
  await vi.advanceTimersByTimeAsync(1000);
  await nextTurn();
  expect(store.refusalCode()).toBeNull();
  expect(reports).toEqual(['database or disk is full', null]);
});

test('writes a shared value once for all its changes of a turn, and again after a failure', async () => {
  const sharedState = createSqliteSharedState(db, groupCommit);
  const shared = await sharedState.open('quota', () => ({ count: 0 }));
  const stored = () => db.prepare('SELECT value FROM books').get()?.value;
  for (let i = 0; i < 3; i++) await shared.change((value) => ++value.count);
  expect(stored()).toBeUndefined();
  await store.insert(aDelivery());
  expect(stored()).toBe('{"count":3}');
  await shared.change((value) => ++value.count);
  await nextTurn();
  expect(stored()).toBe('{"count":4}');
  fillDisk();
  const failed = store.insert(big());
  await shared.change((value) => ++value.count);
  await expect(failed).rejects.toMatchObject(UNAVAILABLE);
  freeDisk();
  await store.insert(aDelivery());
  expect([stored(), shared.value]).toEqual(['{"count":5}', { count: 5 }]);
});

test('rejects reads and writes with queue_unavailable after it was closed', async () => {
  groupCommit.close();
  db.close();
  await expect(store.get('msg_1')).rejects.toMatchObject(UNAVAILABLE);
  await expect(store.insert(aDelivery())).rejects.toMatchObject(UNAVAILABLE);
  db = new DatabaseSync(':memory:');
});

test('removes from the file what has been stored for RETAIN, with its content, and nothing else', async () => {
  const retention = startRetention(db, groupCommit);
  const brief = createSqliteStore(db, groupCommit, { ...LIMITS, maxMessages: 1000, retainMs: 0 });
  const idempotency = createSqliteIdempotency(db, groupCommit, 0);
  const lasting = createSqliteStore(db, groupCommit, { ...LIMITS, maxMessages: 1000 });
  const expired = Array.from({ length: 250 }, () => aDelivery());
  const [stays, waits] = [aDelivery(), aDelivery()];
  await Promise.all([...expired, stays, waits].map((delivery) => brief.insert(delivery)));
  await Promise.all(expired.map((delivery) => brief.update(delivery, advance(delivery, 'expired'))));
  await lasting.update(stays, advance(stays, 'expired'));
  await idempotency.claim('accepted', 'f', 'crm');
  await idempotency.accept('accepted', RECEIPT, { status: 202, headers: {}, body: '' });
  await idempotency.claim('unknown', 'f', 'crm');
  await idempotency.markUnknown('unknown');
  await idempotency.claim('open', 'f', 'crm');
  await retention.prune();
  retention.stop();
  const remaining = (table: string) => db.prepare(`SELECT count(*) AS rows FROM ${table}`).get()?.rows;
  expect([remaining('deliveries'), remaining('contents'), remaining('idempotency')]).toEqual([2, 2, 1]);
});

test('lists matches behind many pages without any, and yields to the event loop between pages', async () => {
  const roomy = createSqliteStore(db, groupCommit, { ...LIMITS, maxMessages: 2000, maxBytes: 1e9 });
  const old = aDelivery({ owner: 'shop', createdAt: 1 });
  const others = Array.from({ length: 1000 }, (_, i) => aDelivery({ createdAt: 1000 + Math.floor(i / 10) }));
  await Promise.all([old, ...others].map((delivery) => roomy.insert(delivery)));
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const query = {
    statuses: null,
    tag: null,
    recipient: null,
    createdAfter: null,
    createdBefore: null,
    limit: 10,
    after: null,
  };
  expect(await roomy.list({ ...query, owner: 'shop' })).toEqual([{ ...old, content: null }]);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(0);
  const ids: string[] = [];
  for await (const { id } of roomy.unsettled()) ids.push(id);
  expect(new Set(ids).size).toBe(1001);
});
