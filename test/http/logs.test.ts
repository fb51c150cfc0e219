import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { type AppUnderTest, CRM_SECRET, MAIL, SHOP_SECRET, startApp } from '../helpers/app.ts';
import { aDelivery } from '../helpers/delivery.ts';

const SECRET = 'seeded-secret-word';

async function lines(app: AppUnderTest, count: number) {
  await vi.waitUntil(() => app.logs.length >= count);
  return app.logs;
}

describe('the log', () => {
  test('has one line for each request, with its ids, key, route and status', async () => {
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
        msg_id: answer.json().id,
      },
    ]);
  });

  test('has the code of a refusal, the pattern of the route, and the requested message', async () => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery());
    await app.get(`/messages/${id}?q=${SECRET}`);
    await app.get('/messages/msg_none');
    await app.send({});
    await app.get('/nowhere', {});
    expect(await lines(app, 4)).toMatchObject([
      { route: '/messages/:id', status: 200, msg_id: id },
      { route: '/messages/:id', status: 404, code: 'message_not_found', key: 'crm' },
      { route: '/send', status: 422, code: 'validation_failed' },
      { method: 'GET', status: 404, code: 'not_found' },
    ]);
  });

  test('has the path without the query and the client address of a refused request', async () => {
    await using app = await startApp({ trustProxy: ['127.0.0.1'] });
    await app.get('/messages?limit=x', { 'x-forwarded-for': '203.0.113.7' });
    await app.get(`/${'x'.repeat(300)}?q=${SECRET}`, {});
    await app.send(MAIL, { authorization: 'Bearer wrong' });
    expect(await lines(app, 3)).toMatchObject([
      { status: 401, path: '/messages', client_address: '203.0.113.7' },
      { status: 404, path: `/${'x'.repeat(199)}`, client_address: '127.0.0.1' },
      { status: 401, path: '/send', client_address: '127.0.0.1' },
    ]);
  });

  test('has the same for a request refused by the HTTP parser or the router, in visible ASCII and without a password', async () => {
    await using app = await startApp();
    const { port } = new URL(await app.listen());
    for (const [target, headers] of [
      ['/parser?q=x', 'Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked'],
      ['/large', `Host: x\r\nLarge: ${'x'.repeat(20_000)}`],
      [`http://user:${SECRET}@host/absolute?x`, 'Host: x'],
      ['/\x9b31m\x7f', 'Host: x'],
      ['/%zz', 'Host: x'],
    ]) {
      const socket = connect(Number(port), '127.0.0.1');
      socket.end(Buffer.from(`GET ${target} HTTP/1.1\r\n${headers}\r\nConnection: close\r\n\r\n`, 'latin1'));
      await once(socket.resume(), 'close');
    }
    await lines(app, 5);
    const shown = app.logs
      .filter(({ msg }) => msg === 'request')
      .map(({ status, path, client_address }) => [status, path, client_address]);
    expect(shown).toEqual([
      [400, '/parser', '127.0.0.1'],
      [431, '/large', '127.0.0.1'],
      [404, '/absolute', '127.0.0.1'],
      [400, '/%9B31m%7F', '127.0.0.1'],
      [400, '/%zz', '127.0.0.1'],
    ]);
  });

  test('has the same for a body that times out', async () => {
    await using app = await startApp({ requestTimeoutMs: 300, trustProxy: ['127.0.0.1'] });
    const { port } = new URL(await app.listen());
    const socket = connect(Number(port), '127.0.0.1');
    const headers = {
      host: 'x',
      authorization: `Bearer ${CRM_SECRET}`,
      'content-length': 9,
      'x-forwarded-for': '203.0.113.7',
    };
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`POST /send?x HTTP/1.1\r\ncontent-type: application/json\r\n${head.join('')}\r\n{`);
    await once(socket.resume(), 'close');
    await lines(app, 2);
    const [timeout, request] = app.logs.filter(({ msg }) => msg === 'request');
    expect(timeout).toMatchObject({
      status: 408,
      code: 'request_timeout',
      path: '/send',
      client_address: '203.0.113.7',
    });
    expect(request).toMatchObject({ request_id: timeout?.request_id, aborted: true, path: '/send' });
  });

  test('has successful requests for health and docs at debug level, and their failures at the usual level', async () => {
    let isDraining = false;
    await using app = await startApp({ isDraining: () => isDraining });
    for (const path of ['/livez', '/readyz', '/docs', '/docs/', '/openapi.yaml', '/problems/not_found'])
      await app.get(path, {});
    expect(await lines(app, 6)).toMatchObject(Array.from({ length: 6 }, () => ({ level: 20 })));
    isDraining = true;
    await app.get('/readyz', {});
    await app.get('/problems/none', {});
    expect((await lines(app, 8)).slice(6)).toMatchObject([
      { level: 30, status: 503, code: 'shutting_down', path: '/readyz' },
      { level: 30, status: 404, path: '/problems/none' },
    ]);
  });

  test('has the code of a delivery that failed while the client waited', async () => {
    await using app = await startApp();
    const answer = app.send(MAIL, { prefer: 'wait=10' });
    const id = await vi.waitUntil(() => [...app.waiting][0]);
    app.settle(id, {
      status: 'failed',
      error: { code: 'mailbox_full', detail: 'd', hint: 'h', scope: 'message', smtp: null },
    });
    await answer;
    expect(await lines(app, 1)).toMatchObject([{ level: 30, status: 422, code: 'mailbox_full', msg_id: id }]);
  });

  test('has a bug at error level, with its stack', async () => {
    const get = () => Promise.reject(new TypeError(SECRET));
    await using app = await startApp({
      store: { get, tombstone: async () => null, refusalCode: () => null },
    });
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

  test('contains no secret, header, body or email address', async () => {
    await using app = await startApp();
    const headers = {
      'x-api-key': SECRET,
      cookie: SECRET,
      'user-agent': SECRET,
      'idempotency-key': SECRET,
      'x-request-id': SECRET,
    };
    const url = await app.listen();
    await app.send({ ...MAIL, subject: SECRET, text: SECRET, to: `${SECRET}@example.com` }, headers);
    await app.send({ ...MAIL, [SECRET]: SECRET }, headers);
    await app.send(`{"${SECRET}`, headers);
    await app.send(MAIL, { ...headers, authorization: `Bearer ${SECRET}` });
    await app.send(MAIL, { authorization: `Bearer ${SHOP_SECRET}x` });
    await app.get(`/nowhere?${SECRET}`, headers);
    await app.get(`/problems/none?${SECRET}`, headers);
    await fetch(`${url}/%zz?${SECRET}`);
    await lines(app, 8);
    const text = JSON.stringify(app.logs);
    for (const word of [SECRET, CRM_SECRET, SHOP_SECRET, 'authorization', 'example.com'])
      expect(text).not.toContain(word);
  });

  test('names no suppressed address in the path of a refused request', async () => {
    await using app = await startApp();
    await app.get('/suppressions/ada@example.com', {});
    await app.get('/suppressions/ada%40example.com/more');
    expect((await lines(app, 2)).map(({ path }) => path)).toEqual([
      '/suppressions/[address]',
      '/suppressions/[address]/more',
    ]);
  });

  test('has a unique id for each request, which the client cannot choose', async () => {
    await using app = await startApp();
    const ids = await Promise.all(
      [1, 2, 3].map(
        async () =>
          (await app.send(MAIL, { 'x-request-id': 'mine', 'request-id': 'mine' })).headers['x-request-id'],
      ),
    );
    for (const id of ids) expect(id).toMatch(/^req_[0-9a-f-]{36}$/);
    expect(new Set(ids).size).toBe(3);
  });
});

describe('every response', () => {
  test('forbids caching and sniffing', async () => {
    await using app = await startApp();
    const answers = [
      await app.send(MAIL),
      await app.send({}),
      await app.get('/livez', {}),
      await app.get('/nowhere', {}),
      await app.get('/%zz', {}),
    ];
    for (const { headers } of answers)
      expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  });
});
