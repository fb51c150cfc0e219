import { expect, test } from 'vitest';
import { createMemoryBackend } from '../../src/adapters/memory/index.ts';
import { createMemoryRateCounter } from '../../src/adapters/memory/rate-counter.ts';
import { createRetained } from '../../src/adapters/memory/retained.ts';
import { createMemorySuppressions } from '../../src/adapters/memory/suppressions.ts';
import { advance } from '../../src/core/delivery/delivery.ts';
import { applyInbound, MAX_FOLLOW_UPS } from '../../src/core/inbound/apply.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aReply } from '../helpers/inbound.ts';
import { aSuppression, put } from '../helpers/suppression.ts';
import { type BackendLimits, backendContract } from './backend-contract.ts';
import { followUpContract } from './follow-up-contract.ts';
import { gmailVolumeContract } from './gmail-volume-contract.ts';
import { listContract } from './list-contract.ts';
import { outboxContract } from './outbox-contract.ts';
import { rateCounterContract } from './rate-counter-contract.ts';
import { statsContract } from './stats-contract.ts';
import { suppressionContract } from './suppression-contract.ts';
import { usageContract } from './usage-contract.ts';

const MANUAL = { reason: 'manual', accounts: null } as const;

async function open(limits: BackendLimits): Promise<Backend> {
  return createMemoryBackend({ ...limits, onEarlyDrop() {} });
}

backendContract('memory', open);
followUpContract('memory', open);
listContract('memory', open);
statsContract('memory', open);
outboxContract('memory', (limits) => open(limits));
suppressionContract(
  'memory',
  async () => (await open({ maxMessages: 10, maxBytes: 1e6, retainMs: 60_000 })).suppressions,
);
rateCounterContract('memory', async () => createMemoryRateCounter());
usageContract('memory', () => open({ maxMessages: 10, maxBytes: 1e6, retainMs: 60_000 }));

gmailVolumeContract(
  'memory',
  async () => {
    const backend = await open({ maxMessages: 10, maxBytes: 1e6, retainMs: 60_000 });
    return async () => backend;
  },
  true,
);

const owned = (owner: string, bytes: number) => ({ owner, bytes });

test('retained values are bounded by count and by bytes: the oldest is dropped first and reported', () => {
  const dropped: number[] = [];
  const values = createRetained<number>({
    forMs: 60_000,
    maxCount: 3,
    maxBytes: 100,
    onEarlyDrop: (value) => dropped.push(value),
  });
  for (let n = 0; n < 4; n += 1) values.set(`k${n}`, n, owned('crm', 10));
  expect([values.get('k0'), values.get('k1')]).toEqual([undefined, 1]);
  values.set('big', 9, owned('crm', 85));
  expect([values.get('k2'), values.get('k3'), values.get('big')]).toEqual([undefined, 3, 9]);
  expect(dropped).toEqual([0, 1, 2]);
});

test('an owner within its equal share loses no retained value because of another owner', () => {
  const values = createRetained<number>({ forMs: 60_000, maxCount: 10, maxBytes: 1000, onEarlyDrop() {} });
  for (let n = 0; n < 5; n += 1) values.set(`small${n}`, n, owned('shop', 10));
  for (let n = 0; n < 1000; n += 1) values.set(`flood${n}`, n, owned('crm', n === 999 ? 900 : 1));
  expect([0, 1, 2, 3, 4].map((n) => values.get(`small${n}`))).toEqual([0, 1, 2, 3, 4]);
  expect([values.get('flood995'), values.get('flood999')]).toEqual([995, 999]);
  expect(values.get('flood994')).toBeUndefined();
});

test('a retained key that is set again counts once, for its new owner', () => {
  const values = createRetained<number>({ forMs: 60_000, maxCount: 2, maxBytes: 100, onEarlyDrop() {} });
  for (let n = 0; n < 5; n += 1) values.set('same', n, owned('crm', 60));
  values.set('other', 1, owned('shop', 30));
  expect([values.get('same'), values.get('other')]).toEqual([4, 1]);
});

test('a retained value that is replaced counts with its new weight, and leaves as early as before', () => {
  const values = createRetained<number>({ forMs: 60_000, maxCount: 9, maxBytes: 100, onEarlyDrop() {} });
  for (const n of [1, 2, 3]) values.set(`k${n}`, n, owned('crm', 20));
  values.replace('k3', 4, 70);
  values.replace('k9', 9, 1000);
  expect([1, 2, 3].map((n) => values.get(`k${n}`))).toEqual([undefined, 2, 4]);
  values.replace('k2', 5, 10);
  values.set('k4', 6, owned('crm', 20));
  expect([2, 3, 4].map((n) => values.get(`k${n}`))).toEqual([5, 4, 6]);
  values.set('k5', 7, owned('crm', 1));
  expect(values.get('k2')).toBeUndefined();
});

test('the mail that follows settled messages counts towards the limit of their memory', async () => {
  const { store } = await open({ maxMessages: 10, maxBytes: 100_000, retainMs: 60_000 });
  const ids: string[] = [];
  for (let n = 0; n < 10; n += 1) {
    const queued = aDelivery();
    let delivery = advance(queued, 'expired', { finishedAt: n });
    await store.insert(queued);
    await store.update(queued, delivery);
    for (let i = 0; i < MAX_FOLLOW_UPS; i += 1) {
      const followed = applyInbound(delivery, aReply({ from: `${'x'.repeat(1000)}@example.com` }));
      if (followed) await store.update(delivery, followed.delivery);
      delivery = followed?.delivery ?? delivery;
    }
    ids.push(queued.id);
  }
  const found = await Promise.all(ids.map((id) => store.get(id)));
  expect(found.lastIndexOf(null)).toBe(5);
});

test('10,000 messages of one key drop no idempotency keys and settled messages of another', async () => {
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
    response: { status: 202 },
  });
  expect(await store.get(quiet)).toMatchObject({ status: 'canceled' });
  expect(await store.tombstone(quiet)).toBeNull();
  // The flooding key loses its oldest record and response. It keeps the claim, so a repeated
  // request sends nothing.
  expect(await idempotency.claim('crm 0', 'f', 'crm')).toEqual({
    kind: 'accepted',
    receipt: { ids: [oldest], refused: [] },
    response: null,
  });
  expect(await store.get(oldest)).toBeNull();
  expect(await store.tombstone(oldest)).toEqual({ id: oldest, status: 'canceled', finishedAt: 0 });
});

test('suppressions are bounded: the oldest refused one is dropped first, and no manual one', async () => {
  const store = createMemorySuppressions(3);
  await put(store, aSuppression('manual@example.com', MANUAL));
  for (const name of ['old', 'young', 'new']) await put(store, aSuppression(`${name}@example.com`));
  const listed = await store.list({ limit: 10, after: null });
  expect(listed.map(({ email }) => email)).toEqual([
    'manual@example.com',
    'new@example.com',
    'young@example.com',
  ]);
});

test('a suppression list full of manual entries refuses another, and still accepts a change of one', async () => {
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

test('rate counters of addresses are bounded: the oldest is dropped first, and no counter of a key', async () => {
  const { keys, addresses } = createMemoryRateCounter();
  const rate = { max: 1, windowMs: 60_000 };
  await keys.spend('crm', 1, rate);
  for (let i = 0; i <= 5000; i += 1) await addresses.spend(`${i}`, 1, rate);
  expect((await addresses.spend('1', 1, rate)).fits).toBe(false);
  expect((await addresses.spend('0', 1, rate)).fits).toBe(true);
  expect((await keys.spend('crm', 1, rate)).fits).toBe(false);
});
