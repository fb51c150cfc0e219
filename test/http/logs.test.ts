import { describe, expect, test, vi } from 'vitest';
import { type AppUnderTest, CRM_SECRET, MAIL, SHOP_SECRET, startApp } from '../helpers/app.ts';
import { aDelivery } from '../helpers/delivery.ts';

const SECRET = 'seeded-secret-word';

async function lines(app: AppUnderTest, count: number) {
  await vi.waitUntil(() => app.logs.length >= count);
  return app.logs;
}

describe('the log', () => {
  test('has one line for each request, with all that finds it again', async () => {
    await using app = await startApp();
    const answer = await app.send(MAIL);
    expect(await lines(app, 1)).toEqual([
      {
        level: 30,
        time: expect.any(Number),
        msg: 'request',
        request_id: answer.headers['x-request-id'],
        method: 'POST',
        route: '/send',
        status: 202,
        duration_ms: expect.any(Number),
        key: 'crm',
        message_id: answer.json().id,
      },
    ]);
  });

  test('names the code of a refusal, the pattern of the route, and the message that was looked up', async () => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery());
    await app.get(`/messages/${id}?q=${SECRET}`);
    await app.get('/messages/msg_none');
    await app.send({});
    await app.get('/nowhere', {});
    expect(await lines(app, 4)).toMatchObject([
      { route: '/messages/:id', status: 200, message_id: id },
      { route: '/messages/:id', status: 404, code: 'message_not_found', key: 'crm' },
      { route: '/send', status: 422, code: 'validation_failed' },
      { method: 'GET', status: 404, code: 'not_found' },
    ]);
  });

  test('names the code of a delivery that failed while the caller waited', async () => {
    await using app = await startApp();
    const answer = app.send(MAIL, { prefer: 'wait=10' });
    const id = await vi.waitUntil(() => [...app.waiting][0]);
    app.settle(id, { status: 'failed', error: { code: 'mailbox_full', detail: 'd', hint: 'h', scope: 'message', smtp: null } });
    await answer;
    expect(await lines(app, 1)).toMatchObject([{ level: 30, status: 422, code: 'mailbox_full', message_id: id }]);
  });

  test('tells of a bug at error level, and where it is', async () => {
    const get = () => Promise.reject(new TypeError(SECRET));
    await using app = await startApp({ store: { get, tombstone: async () => null, refusal: () => null } });
    await app.get('/messages/msg_1');
    expect(await lines(app, 1)).toMatchObject([
      {
        level: 50,
        status: 500,
        code: 'internal_error',
        err: { type: 'TypeError', stack: expect.stringMatching(/^ {4}at .*logs\.test\.ts/) },
      },
    ]);
  });

  test('never has a secret, a header, a body or an address in it', async () => {
    await using app = await startApp();
    const headers = { 'x-api-key': SECRET, cookie: SECRET, 'user-agent': SECRET, 'idempotency-key': SECRET, 'x-request-id': SECRET };
    const url = await app.listen();
    await app.send({ ...MAIL, subject: SECRET, text: SECRET, to: `${SECRET}@example.com` }, headers);
    await app.send({ ...MAIL, [SECRET]: SECRET }, headers);
    await app.send(`{"${SECRET}`, headers);
    await app.send(MAIL, { ...headers, authorization: `Bearer ${SECRET}` });
    await app.send(MAIL, { authorization: `Bearer ${SHOP_SECRET}x` });
    await app.get(`/${SECRET}?${SECRET}`, headers);
    await app.get(`/problems/${SECRET}`, headers);
    await fetch(`${url}/%zz${SECRET}`);
    await lines(app, 9);
    const text = JSON.stringify(app.logs);
    for (const word of [SECRET, CRM_SECRET, SHOP_SECRET, 'authorization', 'example.com']) expect(text).not.toContain(word);
  });

  test('gives each request an id of its own, which the caller cannot choose', async () => {
    await using app = await startApp();
    const ids = await Promise.all(
      [1, 2, 3].map(async () => (await app.send(MAIL, { 'x-request-id': 'mine', 'request-id': 'mine' })).headers['x-request-id']),
    );
    for (const id of ids) expect(id).toMatch(/^req_[0-9a-f-]{36}$/);
    expect(new Set(ids).size).toBe(3);
  });
});

describe('every answer', () => {
  test('forbids caching and sniffing', async () => {
    await using app = await startApp();
    const answers = [
      await app.send(MAIL),
      await app.send({}),
      await app.get('/livez', {}),
      await app.get('/nowhere', {}),
      await app.get('/%zz', {}),
    ];
    for (const { headers } of answers) expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  });
});
