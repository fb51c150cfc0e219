import { describe, expect, test } from 'vitest';
import { createMemoryBackend } from '../../src/adapters/memory/index.ts';
import { createDeliveryChanges } from '../../src/core/delivery-changes.ts';
import { createEvents } from '../../src/core/events.ts';
import { createMessages } from '../../src/core/messages.ts';
import { ADMIN, type AppUnderTest, CRM, SHOP, startApp } from '../helpers/app.ts';
import { aDelivery } from '../helpers/delivery.ts';

/** Starts the HTTP layer over stored messages. */
async function startWith(...deliveries: Parameters<typeof aDelivery>[0][]): Promise<AppUnderTest> {
  const { store } = createMemoryBackend({
    maxMessages: 1000,
    maxBytes: 1e9,
    retainMs: 60_000,
    onEarlyDrop: () => {},
  });
  const changes = createDeliveryChanges({ events: createEvents(), noticesOf: () => [] });
  for (const delivery of deliveries) await store.insert(aDelivery(delivery));
  return startApp({
    store,
    messages: createMessages({ store, changes, isDraining: () => false }),
  });
}

async function idsOf(app: AppUnderTest, query: string, headers = CRM): Promise<string[]> {
  const answer = await app.get(`/messages${query}`, headers);
  expect(answer.statusCode).toBe(200);
  return answer.json().messages.map(({ id }: { id: string }) => id);
}

const at = (day: number) => Date.UTC(2027, 0, day);

describe('GET /messages', () => {
  test('lists the messages of the key, newest first, and those of every key for an admin', async () => {
    await using app = await startWith(
      { id: 'msg_1', createdAt: at(1) },
      { id: 'msg_3', createdAt: at(3) },
      { id: 'msg_2', createdAt: at(2), owner: 'shop' },
    );
    expect(await idsOf(app, '')).toEqual(['msg_3', 'msg_1']);
    expect(await idsOf(app, '', SHOP)).toEqual(['msg_2']);
    expect(await idsOf(app, '', ADMIN)).toEqual(['msg_3', 'msg_2', 'msg_1']);
  });

  test('lists what waits, oldest first, and the messages of one key for an admin', async () => {
    await using app = await startWith(
      { id: 'msg_1', createdAt: at(1) },
      { id: 'msg_2', createdAt: at(2), owner: 'shop' },
      { id: 'msg_3', createdAt: at(3) },
      { id: 'msg_4', createdAt: at(4), status: 'scheduled', scheduledAt: at(9000) },
    );
    expect(await idsOf(app, '?order=oldest')).toEqual(['msg_1', 'msg_3']);
    expect(await idsOf(app, '?order=oldest', ADMIN)).toEqual(['msg_1', 'msg_2', 'msg_3']);
    const first = await app.get('/messages?order=oldest&limit=2', ADMIN);
    const { next_cursor } = first.json();
    expect(await idsOf(app, `?order=oldest&cursor=${next_cursor}`, ADMIN)).toEqual(['msg_3']);
    expect(await idsOf(app, '?key=shop', ADMIN)).toEqual(['msg_2']);
    expect(await idsOf(app, '?key=crm')).toEqual(['msg_4', 'msg_3', 'msg_1']);
    const refused = await app.get('/messages?key=shop');
    expect([refused.statusCode, refused.json().code]).toEqual([403, 'insufficient_scope']);
    expect((await app.get('/messages?order=random')).statusCode).toBe(422);
  });

  test('filters by status, tag, recipient and time', async () => {
    await using app = await startWith(
      { id: 'msg_1', createdAt: at(1), status: 'deferred', tags: { flow: 'welcome' } },
      {
        id: 'msg_2',
        createdAt: at(2),
        recipients: [{ email: 'Bob@example.com', status: 'pending', smtp: null }],
      },
      { id: 'msg_3', createdAt: at(3), status: 'sending', tags: { flow: 'invoice' } },
    );
    expect(await idsOf(app, '?status=deferred')).toEqual(['msg_1']);
    expect(await idsOf(app, '?status=sending,deferred')).toEqual(['msg_3', 'msg_1']);
    expect(await idsOf(app, '?tag=flow')).toEqual(['msg_3', 'msg_1']);
    expect(await idsOf(app, '?tag=flow:welcome')).toEqual(['msg_1']);
    expect(await idsOf(app, '?to=bob%40EXAMPLE.com')).toEqual(['msg_2']);
    expect(await idsOf(app, '?created_after=2027-01-02T00:00:00Z')).toEqual(['msg_3', 'msg_2']);
    expect(await idsOf(app, '?created_before=2027-01-02T01:00:00%2B01:00')).toEqual(['msg_1']);
    expect(await idsOf(app, '?status=queued&tag=flow')).toEqual([]);
  });

  test('returns every page up to the last with next_cursor', async () => {
    const all = Array.from({ length: 45 }, (_, i) => ({
      id: `msg_${10 + i}`,
      createdAt: at(1) + Math.floor(i / 4),
    }));
    await using app = await startWith(...all);
    const seen: string[] = [];
    const sizes: number[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: { messages: { id: string }[]; next_cursor: string | null } = (
        await app.get(`/messages?limit=20${cursor && `&cursor=${cursor}`}`)
      ).json();
      seen.push(...page.messages.map(({ id }) => id));
      sizes.push(page.messages.length);
      cursor = page.next_cursor;
    }
    expect(sizes).toEqual([20, 20, 5]);
    expect(seen).toEqual(all.map(({ id }) => id).reverse());
  });

  test('has 20 messages per page by default', async () => {
    await using app = await startWith(...Array.from({ length: 21 }, () => ({})));
    expect(await idsOf(app, '')).toHaveLength(20);
    expect(await idsOf(app, '?limit=21')).toHaveLength(21);
  });

  test.each([
    ['status=gone', 'query:status', 'scheduled, queued'],
    ['status=sent,', 'query:status', 'scheduled, queued'],
    ['tag=', 'query:tag', 'Must not be empty'],
    ['tag=a%00b', 'query:tag', 'NUL'],
    ['to=ada', 'query:to', 'There is no @'],
    ['created_after=yesterday', 'query:created_after', '2027-01-01T09:00:00Z'],
    ['limit=0', 'query:limit', 'from 1 to 100'],
    ['limit=101', 'query:limit', 'from 1 to 100'],
    ['limit=ten', 'query:limit', 'from 1 to 100'],
    ['cursor=msg_1', 'query:cursor', 'next_cursor'],
    ['cursor=WyIxIl0x', 'query:cursor', 'next_cursor'],
    ['tags=x', 'query:tags', 'Did you mean "tag"?'],
  ])('refuses %s and names the parameter', async (query, pointer, detail) => {
    await using app = await startWith();
    const answer = await app.get(`/messages?${query}`);
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({
      code: 'validation_failed',
      errors: [{ pointer, detail: expect.stringContaining(detail) }],
    });
  });
});

describe('a message', () => {
  const change = (app: AppUnderTest, method: 'POST' | 'PATCH', path: string, body?: object) =>
    app.inject({ method, url: path, headers: CRM, ...(body && { body }) });

  test('that waits can be canceled once', async () => {
    await using app = await startWith({ id: 'msg_1', status: 'deferred' });
    const canceled = await change(app, 'POST', '/messages/msg_1/cancel');
    expect([canceled.statusCode, canceled.json().status, canceled.json().finished_at]).toEqual([
      200,
      'canceled',
      expect.any(String),
    ]);
    const again = await change(app, 'POST', '/messages/msg_1/cancel');
    expect(again.json()).toMatchObject({
      status: 409,
      code: 'not_cancelable',
      detail: 'The message is canceled.',
    });
  });

  test('that failed can be retried', async () => {
    await using app = await startWith({ id: 'msg_1', status: 'failed' }, { id: 'msg_2', status: 'sent' });
    const retried = await change(app, 'POST', '/messages/msg_1/retry');
    expect([retried.statusCode, retried.json().status, retried.headers.location]).toEqual([
      202,
      'queued',
      '/messages/msg_1',
    ]);
    expect((await change(app, 'POST', '/messages/msg_2/retry')).json()).toMatchObject({
      status: 409,
      code: 'not_retryable',
    });
  });

  test('that is scheduled can be rescheduled, up to a year ahead', async () => {
    await using app = await startWith(
      { id: 'msg_1', status: 'scheduled', scheduledAt: at(1) },
      { id: 'msg_2' },
    );
    const scheduled_at = new Date(Date.now() + 3_600_000).toISOString();
    const changed = await change(app, 'PATCH', '/messages/msg_1', { scheduled_at });
    expect([changed.statusCode, changed.json().scheduled_at]).toEqual([200, scheduled_at]);
    const refused = await change(app, 'PATCH', '/messages/msg_2', { scheduled_at });
    expect(refused.json()).toMatchObject({
      status: 409,
      code: 'not_reschedulable',
      detail: 'The message is queued.',
    });
    for (const [body, pointer] of [
      [{ scheduled_at: '2999-01-01T00:00:00Z' }, '/scheduled_at'],
      [{ scheduled_at: 'tomorrow' }, '/scheduled_at'],
      [{ scheduled_for: scheduled_at }, '/scheduled_for'],
      [{}, '/scheduled_at'],
    ] as const) {
      const answer = await change(app, 'PATCH', '/messages/msg_1', body);
      expect(answer.json()).toMatchObject({
        status: 422,
        code: 'validation_failed',
        errors: expect.arrayContaining([expect.objectContaining({ pointer })]),
      });
    }
  });

  test('of another key returns the same 404 as an unknown one', async () => {
    await using app = await startWith({ id: 'msg_1', owner: 'shop' });
    const answers = [
      await change(app, 'POST', '/messages/msg_1/cancel'),
      await change(app, 'POST', '/messages/msg_1/retry'),
      await change(app, 'PATCH', '/messages/msg_1', { scheduled_at: new Date().toISOString() }),
    ];
    for (const answer of answers)
      expect(answer.json()).toMatchObject({ status: 404, code: 'message_not_found' });
  });
});
