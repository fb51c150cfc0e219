import { expect, test } from 'vitest';
import { createMemorySuppressions } from '../../src/adapters/memory/suppressions.ts';
import { aSuppression } from '../helpers/suppression.ts';
import { suppressionContract } from './suppressions.ts';

suppressionContract('memory', async () => createMemorySuppressions());

const MANUAL = { reason: 'manual', accounts: null } as const;

test('what is kept in memory is bounded: the oldest that Gmail refused goes first, and none that was entered by hand', async () => {
  const store = createMemorySuppressions(3);
  await store.put(aSuppression('manual@example.com', MANUAL));
  for (const name of ['old', 'young', 'new']) await store.put(aSuppression(`${name}@example.com`));
  const kept = await store.list({ limit: 10, after: null });
  expect(kept.map(({ email }) => email)).toEqual(['manual@example.com', 'new@example.com', 'young@example.com']);
});

test('a full memory of entries by hand refuses another, and still takes a change of one', async () => {
  const store = createMemorySuppressions(1);
  await store.put(aSuppression('ada@example.com', MANUAL));
  await expect(store.put(aSuppression('bob@example.com', MANUAL))).rejects.toMatchObject({ code: 'queue_full' });
  await store.put(aSuppression('ada@example.com', { ...MANUAL, note: 'still' }));
  expect(await store.list({ limit: 10, after: null })).toMatchObject([{ email: 'ada@example.com', note: 'still' }]);
});
