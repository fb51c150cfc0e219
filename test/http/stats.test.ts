import { expect, test, vi } from 'vitest';
import { advance } from '../../src/core/delivery/delivery.ts';
import { ADMIN, MAIL, SHOP, startApp } from '../helpers/app.ts';

test('GET /stats counts the messages of the key, and all messages for an admin', async () => {
  await using app = await startApp();
  const { id } = (await app.send(MAIL)).json();
  await app.send({ ...MAIL, scheduled_at: new Date(Date.now() + 60_000).toISOString() });
  await app.send(MAIL, SHOP);
  const [delivery] = app.accepted.filter(({ delivery }) => delivery.id === id);
  if (!delivery) throw new Error('not accepted');
  app.settle(id, { ...advance(delivery.delivery, 'expired'), finishedAt: Date.now() });
  await vi.waitFor(async () => expect((await app.get('/stats')).json().last_24h.failed).toBe(1));
  const own = (await app.get('/stats')).json();
  expect(own.queue).toEqual({
    by_status: { scheduled: 1, queued: 0, sending: 0, deferred: 0 },
    oldest_due_at: null,
  });
  expect(own.last_24h).toMatchObject({ sent: 0, failed: 1 });
  expect(own.last_24h.by_hour).toHaveLength(24);
  expect(own.last_24h.by_hour.at(-1)).toEqual({
    hour: expect.stringMatching(/:00:00\.000Z$/),
    sent: 0,
    failed: 1,
  });
  expect(own.accounts).toEqual([]);
  const all = (await app.get('/stats', ADMIN)).json();
  expect(all.queue.by_status).toEqual({ scheduled: 1, queued: 1, sending: 0, deferred: 0 });
  expect(Date.parse(all.queue.oldest_due_at)).toBeLessThanOrEqual(Date.now());
});
