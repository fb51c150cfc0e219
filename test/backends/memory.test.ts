import { expect, test } from 'vitest';
import { createMemoryBackend } from '../../src/adapters/memory/index.ts';
import { createMemoryRateCounter } from '../../src/adapters/memory/rate-counter.ts';
import { createRetained } from '../../src/adapters/memory/retained.ts';
import { createMemorySuppressions } from '../../src/adapters/memory/suppressions.ts';
import { advance } from '../../src/core/delivery/delivery.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aSuppression, put } from '../helpers/suppression.ts';
import { type BackendLimits, backendContract } from './backend-contract.ts';
import { outboxContract } from './outbox-contract.ts';
import { rateContract } from './rate-counter-contract.ts';
import { suppressionContract } from './suppression-contract.ts';

const MANUAL = { reason: 'manual', accounts: null } as const;

async function open(limits: BackendLimits): Promise<Backend> {
  return createMemoryBackend({ ...limits, onEarlyDrop() {} });
}

backendContract('memory', open);
outboxContract('memory', (limits) => open({ ...limits, retainMs: 60_000 }));
suppressionContract(
  'memory',
  async () => (await open({ maxMessages: 10, maxBytes: 1e6, retainMs: 60_000 })).suppressions,
);
rateContract('memory', async () => createMemoryRateCounter());

const owned = (owner: string, bytes: number) => ({ owner, bytes });

test('what is retained is bounded by count and by bytes: the oldest goes first, and that is told', () => {
  const early: number[] = [];
  const kept = createRetained<number>({
    forMs: 60_000,
    maxCount: 3,
    maxBytes: 100,
    onEarlyDrop: (value) => early.push(value),
  });
  for (let n = 0; n < 4; n += 1) kept.set(`k${n}`, n, owned('crm', 10));
  expect([kept.get('k0'), kept.get('k1')]).toEqual([undefined, 1]);
  kept.set('big', 9, owned('crm', 85));
  expect([kept.get('k2'), kept.get('k3'), kept.get('big')]).toEqual([undefined, 3, 9]);
  expect(early).toEqual([0, 1, 2]);
});

test('what one owner retains never costs another its values, as long as that one holds no more than an equal share', () => {
  const kept = createRetained<number>({ forMs: 60_000, maxCount: 10, maxBytes: 1000, onEarlyDrop() {} });
  for (let n = 0; n < 5; n += 1) kept.set(`small${n}`, n, owned('shop', 10));
  for (let n = 0; n < 1000; n += 1) kept.set(`flood${n}`, n, owned('crm', n === 999 ? 900 : 1));
  expect([0, 1, 2, 3, 4].map((n) => kept.get(`small${n}`))).toEqual([0, 1, 2, 3, 4]);
  expect([kept.get('flood995'), kept.get('flood999')]).toEqual([995, 999]);
  expect(kept.get('flood994')).toBeUndefined();
});

test('a key that is set again is counted once, under its new owner', () => {
  const kept = createRetained<number>({ forMs: 60_000, maxCount: 2, maxBytes: 100, onEarlyDrop() {} });
  for (let n = 0; n < 5; n += 1) kept.set('same', n, owned('crm', 60));
  kept.set('other', 1, owned('shop', 30));
  expect([kept.get('same'), kept.get('other')]).toEqual([4, 1]);
});

test('10,000 messages of one key leave the idempotency keys and the finished messages of another', async () => {
  const { store, idempotency } = await open({ maxMessages: 10_000, maxBytes: 256e6, retainMs: 60_000 });
  const finish = async (owner: string, n: number) => {
    const delivery = aDelivery({ owner });
    const receipt = { ids: [delivery.id], refused: [] };
    await idempotency.claim(`${owner} ${n}`, 'f', owner);
    await store.insert(delivery);
    await idempotency.accept(`${owner} ${n}`, receipt, { status: 202, headers: {}, body: 'x'.repeat(1000) });
    await store.update(delivery, advance(delivery, 'canceled', { finishedAt: n }));
    return delivery.id;
  };
  const quiet = await finish('shop', 0);
  const oldest = await finish('crm', 0);
  for (let n = 1; n <= 10_000; n += 1) await finish('crm', n);

  expect(await idempotency.claim('shop 0', 'f', 'shop')).toMatchObject({
    kind: 'accepted',
    answer: { status: 202 },
  });
  expect(await store.get(quiet)).toMatchObject({ status: 'canceled' });
  expect(await store.tombstone(quiet)).toBeNull();
  // The flood costs its own key the oldest record and answer, and never what a repeated request needs to send nothing.
  expect(await idempotency.claim('crm 0', 'f', 'crm')).toEqual({
    kind: 'accepted',
    receipt: { ids: [oldest], refused: [] },
    answer: null,
  });
  expect(await store.get(oldest)).toBeNull();
  expect(await store.tombstone(oldest)).toEqual({ id: oldest, status: 'canceled', finishedAt: 0 });
});

test('what is suppressed is bounded: the oldest that Gmail refused goes first, and none that was entered by hand', async () => {
  const store = createMemorySuppressions(3);
  await put(store, aSuppression('manual@example.com', MANUAL));
  for (const name of ['old', 'young', 'new']) await put(store, aSuppression(`${name}@example.com`));
  const kept = await store.list({ limit: 10, after: null });
  expect(kept.map(({ email }) => email)).toEqual([
    'manual@example.com',
    'new@example.com',
    'young@example.com',
  ]);
});

test('a full list of entries by hand refuses another, and still takes a change of one', async () => {
  const store = createMemorySuppressions(1);
  await put(store, aSuppression('ada@example.com', MANUAL));
  await expect(put(store, aSuppression('bob@example.com', MANUAL))).rejects.toMatchObject({
    code: 'queue_full',
  });
  await put(store, aSuppression('ada@example.com', { ...MANUAL, note: 'still' }));
  expect(await store.list({ limit: 10, after: null })).toMatchObject([
    { email: 'ada@example.com', note: 'still' },
  ]);
});

test('rate counters of addresses are bounded: the oldest goes first, and no key is forgotten', async () => {
  const { keys, addresses } = createMemoryRateCounter();
  const rate = { max: 1, windowMs: 60_000 };
  await keys.spend('crm', 1, rate);
  for (let i = 0; i <= 5000; i += 1) await addresses.spend(`${i}`, 1, rate);
  expect((await addresses.spend('1', 1, rate)).fits).toBe(false);
  expect((await addresses.spend('0', 1, rate)).fits).toBe(true);
  expect((await keys.spend('crm', 1, rate)).fits).toBe(false);
});
