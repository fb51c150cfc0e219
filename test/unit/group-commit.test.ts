import { DatabaseSync } from 'node:sqlite';
import { MessageChannel } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createMemoryQueue } from '../../src/adapters/memory/queue.ts';
import type { Database } from '../../src/adapters/sqlite/database.ts';
import { createSqliteIdempotency } from '../../src/adapters/sqlite/idempotency.ts';
import { createSqliteOutbox } from '../../src/adapters/sqlite/outbox.ts';
import type { Batch, Reply } from '../../src/adapters/sqlite/protocol.ts';
import { startRetention } from '../../src/adapters/sqlite/retention.ts';
import { createSqliteSharedState } from '../../src/adapters/sqlite/shared-state.ts';
import { createSqliteStore } from '../../src/adapters/sqlite/store.ts';
import { migrate } from '../../src/adapters/sqlite/worker/schema.ts';
import { serveDatabase } from '../../src/adapters/sqlite/worker/serve-database.ts';
import { advance } from '../../src/core/delivery/delivery.ts';
import { ANY_DELIVERY } from '../../src/core/delivery/delivery-query.ts';
import type { RecordStore } from '../../src/core/store-then-queue.ts';
import { channelOf, putThenQueue } from '../../src/core/webhooks/notice-queue.ts';
import { aDelivery, aMessage } from '../helpers/delivery.ts';
import { type LocalDatabase, serveLocally } from '../helpers/sqlite.ts';
import { aNotice } from '../helpers/webhook-notice.ts';

const UNAVAILABLE = { code: 'queue_unavailable' };
const LIMITS = { maxMessages: 5, maxBytes: 1e6, retainMs: 60_000 };

/** The database is in memory, so no file can be moved. */
const IN_PLACE = { check() {}, ensureLog() {}, checkpointLog() {} };
/** No change of these values has notices. */
const NO_NOTICES = { add: async () => {} };
const RECEIPT = { ids: ['msg_1'], refused: [] };

let db: DatabaseSync;
let database: Database;
let store: RecordStore;
let reports: (string | null)[];
/** Sizes of the transactions so far. */
let transactions: number[];

function serve(limits = LIMITS): LocalDatabase {
  const served = serveLocally(db, IN_PLACE, limits, (reason) => reports.push(reason));
  served.replies.on('message', ({ writes }: Reply) => {
    if (writes.length > 0) transactions.push(writes.length);
  });
  return served;
}

beforeEach(() => {
  db = new DatabaseSync(':memory:');
  migrate(db, 'test');
  reports = [];
  transactions = [];
  ({ database } = serve());
  store = createSqliteStore(database, LIMITS);
});

afterEach(async () => {
  vi.useRealTimers();
  await database.close();
});

// The file cannot grow by another page from now on; then it can again.
const fillDisk = () => db.exec('PRAGMA max_page_count = 1');
const freeDisk = () => db.exec('PRAGMA max_page_count = 100000');
const big = () => aDelivery({ content: aMessage({ text: 'x'.repeat(100_000) }).content });

test('writes everything of one turn of the event loop in one transaction before acknowledging any', async () => {
  const acknowledged: number[] = [];
  const first = database.write(null, 'writeProbe', 1).then(() => acknowledged.push(transactions.length));
  await Promise.all([first, store.insert(aDelivery()).then(() => acknowledged.push(transactions.length))]);
  expect([transactions, acknowledged]).toEqual([[2], [1, 1]]);
});

test('writes all batches that have arrived in one transaction, and runs their reads before', async () => {
  const { port1, port2 } = new MessageChannel();
  serveDatabase(db, IN_PLACE, LIMITS, Date.now(), port2);
  const replies: Reply[] = [];
  port1.on('message', (reply: Reply) => replies.push(reply));
  const find: Batch['reads'][number] = ['findDelivery', ['msg_1']];
  const probe: Batch['writes'][number] = ['writeProbe', [1]];
  for (const reads of [[], [find]]) port1.postMessage({ kind: 'batch', now: 1, reads, writes: [probe] });
  await vi.waitFor(() => expect(replies).toHaveLength(2));
  expect(replies.map(({ reads, writes }) => [reads, writes])).toEqual([
    [[{ value: null }], []],
    [[], [{ value: undefined }, { value: undefined }]],
  ]);
  port1.close();
});

test('rejects all calls when the thread ends, and reports it', async () => {
  const { database: lost, end } = serve();
  const insert = createSqliteStore(lost, LIMITS).insert(aDelivery());
  setImmediate(end);
  await expect(insert).rejects.toMatchObject(UNAVAILABLE);
  await expect(lost.read('msg_1', 'findDelivery', 'msg_1')).rejects.toMatchObject(UNAVAILABLE);
  expect(createSqliteStore(lost, LIMITS).refusalCode()).toBe('queue_unavailable');
  expect(reports).toEqual(['the database thread has ended', 'lost']);
});

test('while deliveries change, the inserts of a flood are spread over several transactions', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const limits = { ...LIMITS, maxMessages: 30 };
  const roomy = createSqliteStore(serve(limits).database, limits);
  const delivery = await roomy.insert(aDelivery());
  const flood = () => Array.from({ length: 12 }, () => roomy.insert(aDelivery()));

  transactions = [];
  await Promise.all([roomy.update(delivery, advance(delivery, 'sending')), ...flood()]);
  expect(transactions).toEqual([6, 5, 2]);

  transactions = [];
  vi.advanceTimersByTime(1000);
  await Promise.all(flood());
  expect(transactions).toEqual([12]);
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
  const idempotency = createSqliteIdempotency(database);
  const outbox = createSqliteOutbox(database);
  const shared = await createSqliteSharedState(database, NO_NOTICES).open('quota', () => ({ count: 0 }));
  const stored = aDelivery();
  const replaced = aNotice();
  const unknown = await idempotency.claim('unknown', 'f', 'crm');
  await idempotency.markUnknown('unknown');
  await Promise.all([store.insert(stored), idempotency.claim('held', 'f', 'crm'), outbox.put(replaced)]);
  // The capacity is 20 notices, of which one endpoint may hold half.
  for (let i = 0; i < 8; i++) await outbox.put(aNotice());
  await shared.change((value) => ++value.count);
  const turn = [
    store.update(stored, advance(stored, 'canceled')),
    idempotency.claim('new', 'f', 'crm'),
    idempotency.claim('unknown', 'f', 'crm'),
    idempotency.accept('held', RECEIPT, { status: 202, headers: {}, body: '' }),
    outbox.put(aNotice()),
    outbox.put({ ...replaced, failures: 1 }),
    outbox.remove(replaced.id),
    // Refused by the table, after all others.
    database.write(null, 'writeProbe', 'never' as never),
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

test('a failed commit reverts the numbers of its turn', async () => {
  const [first, second, third] = [aDelivery(), aDelivery(), aDelivery()];
  for (const delivery of [first, second, third]) await store.insert(delivery);
  const finishedAt = Date.now();
  const expired = advance(second, 'expired', { finishedAt });
  await store.update(second, expired);
  const before = await store.stats(null, finishedAt);
  const turn = [
    store.insert(aDelivery({ createdAt: 1 })),
    store.update(first, advance(first, 'expired', { finishedAt })),
    store.update(expired, advance(expired, 'queued')),
    store.update(third, advance(third, 'sending')),
    database.write(null, 'writeProbe', 'never' as never),
  ];
  for (const { status } of await Promise.allSettled(turn)) expect(status).toBe('rejected');
  expect(await store.stats(null, finishedAt)).toEqual(before);
  await store.update(first, advance(first, 'expired', { finishedAt }));
  await database.write(null, 'tidySettled');
  await database.write(null, 'tidySettled');
  expect(db.prepare('SELECT sent, failed FROM settled_hours').all()).toEqual([{ sent: 0, failed: 2 }]);
});

test('tries a write every second after a failure, and reports failure and recovery once', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  fillDisk();
  await expect(store.insert(big())).rejects.toMatchObject(UNAVAILABLE);
  db.exec('PRAGMA query_only = ON');
  await vi.advanceTimersByTimeAsync(1000);
  await vi.waitFor(() => expect(transactions).toEqual([1, 1]));
  expect(store.refusalCode()).toBe('queue_unavailable');
  db.exec('PRAGMA query_only = OFF');
  freeDisk();
  await vi.advanceTimersByTimeAsync(1000);
  await vi.waitFor(() => expect(store.refusalCode()).toBeNull());
  expect(reports).toEqual(['database or disk is full', null]);
});

test('tries a write a second after a failure although reads go on', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  fillDisk();
  await expect(store.insert(big())).rejects.toMatchObject(UNAVAILABLE);
  for (let i = 0; i < 3; i++) {
    await vi.advanceTimersByTimeAsync(400);
    await store.get('msg_1');
  }
  expect(transactions).toEqual([1, 1]);
});

test('rejects calls that are made while it closes', async () => {
  const closing = database.close();
  await Promise.all([expect(store.insert(aDelivery())).rejects.toMatchObject(UNAVAILABLE), closing]);
});

test('writes a shared value once for all its changes of a turn, and again after a failure', async () => {
  const sharedState = createSqliteSharedState(database, NO_NOTICES);
  const shared = await sharedState.open('quota', () => ({ count: 0 }));
  const stored = () => db.prepare('SELECT value FROM books').get()?.value;
  for (let i = 0; i < 3; i++) await shared.change((value) => ++value.count);
  expect(stored()).toBeUndefined();
  await store.insert(aDelivery());
  expect(stored()).toBe('{"count":3}');
  await shared.change((value) => ++value.count);
  await vi.waitFor(() => expect(stored()).toBe('{"count":4}'));
  fillDisk();
  const failed = store.insert(big());
  await shared.change((value) => ++value.count);
  await expect(failed).rejects.toMatchObject(UNAVAILABLE);
  freeDisk();
  await store.insert(aDelivery());
  expect([stored(), shared.value]).toEqual(['{"count":5}', { count: 5 }]);
});

test('writes the notices of a shared value with it, in one transaction, and again after a failure', async () => {
  const queue = createMemoryQueue();
  const outbox = putThenQueue(createSqliteOutbox(database), queue, Date.now);
  const shared = await createSqliteSharedState(database, outbox).open('account', () => ({ count: 0 }));
  const notices = [aNotice(), aNotice()];
  const stored = () => db.prepare('SELECT id, value FROM notices, books ORDER BY notices.rowid').all();
  fillDisk();
  const failed = store.insert(big());
  for (const notice of notices)
    await shared.change((value, _usage, added) => {
      value.count += 1;
      added.push(notice);
    });
  await expect(failed).rejects.toMatchObject(UNAVAILABLE);
  expect(stored()).toEqual([]);
  freeDisk();
  transactions = [];
  await store.insert(aDelivery());
  expect(transactions).toEqual([4]);
  expect(stored()).toEqual(notices.map(({ id }) => ({ id, value: '{"count":2}' })));
  expect(await queue.take(channelOf(notices[0]?.url ?? ''), AbortSignal.timeout(5000))).toBe(notices[0]?.id);
  queue.close();
});

test('rejects reads and writes with queue_unavailable after it was closed', async () => {
  await database.close();
  await expect(store.get('msg_1')).rejects.toMatchObject(UNAVAILABLE);
  await expect(store.insert(aDelivery())).rejects.toMatchObject(UNAVAILABLE);
});

test('removes from the file what has expired, with its content, and nothing else', async () => {
  const limits = { ...LIMITS, maxMessages: 1000, retainMs: 0 };
  const { database: roomy } = serve(limits);
  const retention = startRetention(roomy);
  const brief = createSqliteStore(roomy, limits);
  const idempotency = createSqliteIdempotency(roomy);
  const expired = Array.from({ length: 250 }, () => aDelivery());
  const [stays, waits] = [aDelivery(), aDelivery()];
  await Promise.all([...expired, stays, waits].map((delivery) => brief.insert(delivery)));
  await Promise.all(expired.map((delivery) => brief.update(delivery, advance(delivery, 'expired'))));
  await store.update(stays, advance(stays, 'expired'));
  await idempotency.claim('accepted', 'f', 'crm');
  await idempotency.accept('accepted', RECEIPT, { status: 202, headers: {}, body: '' });
  await idempotency.claim('unknown', 'f', 'crm');
  await idempotency.markUnknown('unknown');
  await idempotency.claim('open', 'f', 'crm');
  const mail = { owner: 'crm', account: 'bot@acme.com', recipients: ['ada@example.com'] };
  await roomy.write(null, 'addSent', [
    { ...mail, id: 'msg_old' },
    { ...mail, id: 'msg_new' },
  ]);
  db.prepare("UPDATE sent_index SET leaves_at = 1 WHERE id = 'msg_old'").run();
  await Promise.all([roomy, database].map((each) => each.write(null, 'tidySettled')));
  await retention.prune();
  retention.stop();
  const remaining = (table: string) => db.prepare(`SELECT count(*) AS rows FROM ${table}`).get()?.rows;
  const tables = ['deliveries', 'records', 'contents', 'idempotency', 'sent_index'];
  expect(tables.map(remaining)).toEqual([2, 2, 2, 1, 1]);
});

test('lists matches behind many pages without any, and yields to the event loop between pages', async () => {
  const limits = { ...LIMITS, maxMessages: 2000, maxBytes: 1e9 };
  const roomy = createSqliteStore(serve(limits).database, limits);
  const old = aDelivery({ status: 'scheduled', createdAt: 1 });
  const others = Array.from({ length: 1000 }, (_, i) => aDelivery({ createdAt: 1000 + Math.floor(i / 10) }));
  await Promise.all([old, ...others].map((delivery) => roomy.insert(delivery)));
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const query = { ...ANY_DELIVERY, statuses: ['scheduled'] as const, limit: 10, after: null };
  expect(await roomy.list(query)).toEqual([{ ...old, content: null }]);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(0);
  const ids: string[] = [];
  for await (const { id } of roomy.unsettled()) ids.push(id);
  expect(new Set(ids).size).toBe(1001);
});
