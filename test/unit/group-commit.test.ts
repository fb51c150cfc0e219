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
import type { DeliveryStore } from '../../src/core/ports/delivery-store.ts';
import { aDelivery, aMessage } from '../helpers/delivery.ts';
import { aNotice } from '../helpers/webhook-notice.ts';

const UNAVAILABLE = { code: 'queue_unavailable' };
const LIMITS = { maxMessages: 5, maxBytes: 1e6, retainMs: 60_000 };

/** There is no file that could be moved. */
const IN_PLACE = { check() {}, ensureLog() {}, checkpointLog() {} };
const RECEIPT = { ids: ['msg_1'], refused: [] };

let db: DatabaseSync;
let commits: GroupCommit;
let store: DeliveryStore;
let troubles: (string | null)[];

beforeEach(() => {
  db = new DatabaseSync(':memory:');
  migrate(db, 'test');
  troubles = [];
  commits = createGroupCommit(db, {
    openFile: IN_PLACE,
    now: Date.now,
    onAvailabilityChange: (reason) => troubles.push(reason),
  });
  store = createSqliteStore(db, commits, LIMITS);
});

afterEach(() => {
  vi.useRealTimers();
  commits.close();
  db.close();
});

/** From now on there is no room for another page in the file, and then there is. */
const fillDisk = () => db.exec('PRAGMA max_page_count = 1');
const freeDisk = () => db.exec('PRAGMA max_page_count = 100000');
const big = () => aDelivery({ content: aMessage({ text: 'x'.repeat(100_000) }).content });

test('what is written in one turn of the event loop is one transaction, and nothing of it is acknowledged before that', async () => {
  const acknowledged: string[] = [];
  const order = Promise.all([
    store.insert(aDelivery()).then(() => acknowledged.push('insert')),
    commits.write(() => 1).then(() => acknowledged.push('write')),
  ]);
  await Promise.resolve();
  expect([db.isTransaction, acknowledged]).toEqual([true, []]);
  await nextTurn();
  expect(db.isTransaction).toBe(false);
  await order;
  expect(acknowledged).toEqual(['insert', 'write']);
});

test('what is not synced yet is shown to nobody', async () => {
  const delivery = aDelivery();
  const seen: string[] = [];
  const inserted = store.insert(delivery).then(() => seen.push('kept'));
  const read = store.get(delivery.id).then((found) => seen.push(`read ${found?.id}`));
  await Promise.resolve();
  expect(seen).toEqual([]);
  await Promise.all([inserted, read]);
  expect(seen).toEqual(['kept', `read ${delivery.id}`]);
});

test('a write that is refused spoils no other of its turn', async () => {
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

test('on a full disk all writes of the turn are refused, and nothing of them is kept or counted', async () => {
  const [kept, early, read] = [aDelivery(), aDelivery(), aDelivery()];
  await store.insert(kept);
  fillDisk();
  const [first, seen, second] = await Promise.allSettled([
    store.insert(early),
    store.get(early.id),
    store.insert(big()),
  ]);
  for (const result of [first, second])
    expect(result).toMatchObject({ status: 'rejected', reason: UNAVAILABLE });
  // Who read meanwhile is shown what there is without it.
  expect(seen).toEqual({ status: 'fulfilled', value: null });
  expect(store.refusalCode()).toBe('queue_unavailable');
  expect(await store.get(early.id)).toBeNull();
  freeDisk();
  for (const delivery of [read, early, aDelivery(), aDelivery()]) await store.insert(delivery);
  expect(store.refusalCode()).toBe('queue_full');
  expect(await store.get(kept.id)).toEqual(kept);
});

test('a commit that fails takes back what its turn had counted: messages, claims, and the room of endpoints; a book stands', async () => {
  const idempotency = createSqliteIdempotency(db, commits, LIMITS.retainMs);
  const outbox = createSqliteOutbox(db, commits, { notices: 4, bytes: 1e6 });
  const book = await createSqliteSharedState(db, commits).open('quota', () => ({ count: 0 }));
  const kept = aDelivery();
  const replaced = aNotice();
  const suspended = await idempotency.claim('suspended', 'f', 'crm');
  await idempotency.markUnknown('suspended');
  await Promise.all([store.insert(kept), idempotency.claim('held', 'f', 'crm'), outbox.put(replaced)]);
  let failures = 1;
  commits.beforeCommit(() => {
    if (failures-- > 0) db.exec('INSERT INTO contents VALUES (999, 1)');
  });
  await book.change((value) => ++value.count);
  const turn = [
    store.update(kept, advance(kept, 'canceled')),
    idempotency.claim('new', 'f', 'crm'),
    idempotency.claim('suspended', 'f', 'crm'),
    idempotency.accept('held', RECEIPT, { status: 202, headers: {}, body: '' }),
    outbox.put(aNotice()),
    outbox.put({ ...replaced, failures: 1 }),
    outbox.remove(replaced.id),
  ];
  for (const result of await Promise.allSettled(turn))
    expect(result).toMatchObject({ status: 'rejected', reason: UNAVAILABLE });
  expect(await store.get(kept.id)).toEqual(kept);
  await idempotency.claim('other', 'f', 'crm');
  expect(db.prepare('SELECT value FROM books').get()).toEqual({ value: '{"count":1}' });
  expect((await idempotency.claim('new', 'f', 'crm')).kind).toBe('new');
  expect(await idempotency.claim('suspended', 'f', 'crm')).toEqual(suspended);
  expect((await idempotency.claim('held', 'f', 'crm')).kind).toBe('in_progress');
  expect(await outbox.get(replaced.id)).toEqual(replaced);
  expect([await outbox.put(aNotice()), await outbox.put(aNotice())]).toEqual([true, false]);
  for (let i = 0; i < 4; i++) await store.insert(aDelivery());
  expect(store.refusalCode()).toBe('queue_full');
});

test('after a failure it tries again by itself, is ready once that works, and tells of both once', async () => {
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
  expect(troubles).toEqual(['database or disk is full', null]);
});

test('a book is written once for all its changes of a turn, with what is written then or alone, and again after a failure', async () => {
  const sharedState = createSqliteSharedState(db, commits);
  const book = await sharedState.open('quota', () => ({ count: 0 }));
  const kept = () => db.prepare('SELECT value FROM books').get()?.value;
  for (let i = 0; i < 3; i++) await book.change((value) => ++value.count);
  expect(kept()).toBeUndefined();
  await store.insert(aDelivery());
  expect(kept()).toBe('{"count":3}');
  await book.change((value) => ++value.count);
  await nextTurn();
  expect(kept()).toBe('{"count":4}');
  fillDisk();
  const failed = store.insert(big());
  await book.change((value) => ++value.count);
  await expect(failed).rejects.toMatchObject(UNAVAILABLE);
  freeDisk();
  await store.insert(aDelivery());
  expect([kept(), book.value]).toEqual(['{"count":5}', { count: 5 }]);
});

test('after it was closed it is unavailable', async () => {
  commits.close();
  db.close();
  await expect(store.get('msg_1')).rejects.toMatchObject(UNAVAILABLE);
  await expect(store.insert(aDelivery())).rejects.toMatchObject(UNAVAILABLE);
  db = new DatabaseSync(':memory:');
});

test('what has been kept for RETAIN is removed from the file, with its content, and nothing else', async () => {
  const retention = startRetention(db, commits);
  const brief = createSqliteStore(db, commits, { ...LIMITS, maxMessages: 1000, retainMs: 0 });
  const answers = createSqliteIdempotency(db, commits, 0);
  const lasting = createSqliteStore(db, commits, { ...LIMITS, maxMessages: 1000 });
  const left = Array.from({ length: 250 }, () => aDelivery());
  const [stays, waits] = [aDelivery(), aDelivery()];
  await Promise.all([...left, stays, waits].map((delivery) => brief.insert(delivery)));
  await Promise.all(left.map((delivery) => brief.update(delivery, advance(delivery, 'expired'))));
  await lasting.update(stays, advance(stays, 'expired'));
  await answers.claim('gone', 'f', 'crm');
  await answers.accept('gone', RECEIPT, { status: 202, headers: {}, body: '' });
  await answers.claim('suspended', 'f', 'crm');
  await answers.markUnknown('suspended');
  await answers.claim('open', 'f', 'crm');
  await retention.prune();
  retention.stop();
  const remaining = (table: string) => db.prepare(`SELECT count(*) AS rows FROM ${table}`).get()?.rows;
  expect([remaining('deliveries'), remaining('contents'), remaining('idempotency')]).toEqual([2, 2, 1]);
});

test('a list reaches past pages of what is not asked for, and lets the event loop turn meanwhile', async () => {
  const roomy = createSqliteStore(db, commits, { ...LIMITS, maxMessages: 2000, maxBytes: 1e9 });
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
