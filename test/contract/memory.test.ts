import { expect, test } from 'vitest';
import { createMemoryBackend } from '../../src/adapters/memory/index.ts';
import { createMemoryRates } from '../../src/adapters/memory/rates.ts';
import { createRetained } from '../../src/adapters/memory/retained.ts';
import { createMemorySuppressions } from '../../src/adapters/memory/suppressions.ts';
import type { Backend } from '../../src/core/ports.ts';
import { aSuppression, put } from '../helpers/suppression.ts';
import { type BackendLimits, backendContract } from './backend.ts';
import { outboxContract } from './outbox.ts';
import { rateContract } from './rates.ts';
import { suppressionContract } from './suppressions.ts';

const MANUAL = { reason: 'manual', accounts: null } as const;

async function open(limits: BackendLimits): Promise<Backend> {
  return createMemoryBackend({ ...limits, onEarlyDrop() {} });
}

backendContract('memory', open);
outboxContract('memory', (limits) => open({ ...limits, retainMs: 60_000 }));
suppressionContract('memory', async () => (await open({ maxMessages: 10, maxBytes: 1e6, retainMs: 60_000 })).suppressions);
rateContract('memory', async () => createMemoryRates());

test('what is retained is bounded by count and by bytes: the oldest goes first, and that is told', () => {
  let early = 0;
  const kept = createRetained<number>({ forMs: 60_000, maxCount: 3, maxBytes: 100, onEarly: () => early++ });
  for (let n = 0; n < 4; n += 1) kept.set(`k${n}`, n, 10);
  expect([kept.get('k0'), kept.get('k1')]).toEqual([undefined, 1]);
  kept.set('big', 9, 85);
  expect([kept.get('k2'), kept.get('k3'), kept.get('big')]).toEqual([undefined, 3, 9]);
  expect(early).toBe(3);
});

test('what is suppressed is bounded: the oldest that Gmail refused goes first, and none that was entered by hand', async () => {
  const store = createMemorySuppressions(3);
  await put(store, aSuppression('manual@example.com', MANUAL));
  for (const name of ['old', 'young', 'new']) await put(store, aSuppression(`${name}@example.com`));
  const kept = await store.list({ limit: 10, after: null });
  expect(kept.map(({ email }) => email)).toEqual(['manual@example.com', 'new@example.com', 'young@example.com']);
});

test('a full list of entries by hand refuses another, and still takes a change of one', async () => {
  const store = createMemorySuppressions(1);
  await put(store, aSuppression('ada@example.com', MANUAL));
  await expect(put(store, aSuppression('bob@example.com', MANUAL))).rejects.toMatchObject({ code: 'queue_full' });
  await put(store, aSuppression('ada@example.com', { ...MANUAL, note: 'still' }));
  expect(await store.list({ limit: 10, after: null })).toMatchObject([{ email: 'ada@example.com', note: 'still' }]);
});

test('rate counters of addresses are bounded: the oldest goes first, and no key is forgotten', async () => {
  const { keys, addresses } = createMemoryRates();
  const rate = { max: 1, windowMs: 60_000 };
  await keys.spend('crm', 1, rate);
  for (let i = 0; i <= 5000; i += 1) await addresses.spend(`${i}`, 1, rate);
  expect((await addresses.spend('1', 1, rate)).fits).toBe(false);
  expect((await addresses.spend('0', 1, rate)).fits).toBe(true);
  expect((await keys.spend('crm', 1, rate)).fits).toBe(false);
});
