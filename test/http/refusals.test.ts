import { connect } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { AppError, ERROR_CODES, ERRORS } from '../../src/core/errors.ts';
import { CRM, exchange, MAIL, startApp } from '../helpers/app.ts';
import { aDelivery } from '../helpers/delivery.ts';

const BODY = JSON.stringify(MAIL);

function post(headers: string): string {
  const head = `POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: ${CRM.authorization}\r\nContent-Type: application/json\r\n`;
  return `${head}${headers}Content-Length: ${BODY.length}\r\n\r\n${BODY}`;
}

const full = { get: async () => null, tombstone: async () => null, refusalCode: () => 'queue_full' as const };

describe('while the service shuts down', () => {
  test('POST /send is refused with 503 and Connection: close', async () => {
    await using app = await startApp({ isDraining: () => true });
    const answer = await app.send(MAIL);
    expect(answer.statusCode).toBe(503);
    expect(answer.headers).toMatchObject({ 'retry-after': '5', connection: 'close' });
    expect(answer.json()).toMatchObject({ code: 'shutting_down', retryable: true });
    expect(app.accepted).toEqual([]);
  });

  test('messages can still be read', async () => {
    await using app = await startApp({ isDraining: () => true });
    const { id } = app.keep(aDelivery());
    expect((await app.get(`/messages/${id}`)).statusCode).toBe(200);
  });

  test('the service is alive but not ready', async () => {
    await using app = await startApp({ isDraining: () => true });
    const ready = await app.get('/readyz', {});
    expect([ready.statusCode, ready.json().code]).toEqual([503, 'shutting_down']);
    expect((await app.get('/livez', {})).json()).toEqual({ status: 'alive' });
  });

  test('a request over an open connection gets a problem, and the connection closes', async () => {
    let draining = false;
    let asked = 0;
    const isDraining = () => {
      asked++;
      return draining;
    };
    await using app = await startApp({ isDraining });
    const { port } = new URL(await app.listen());
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(post('Prefer: wait=60\r\n'));
    const id = await vi.waitUntil(() => [...app.waiting][0]);
    draining = true;
    const closed = app.app.close();
    socket.write(post(''));
    await vi.waitUntil(() => asked === 2);
    app.letGo(id);
    const chunks: string[] = [];
    for await (const chunk of socket) chunks.push(String(chunk));
    await closed;
    expect(chunks.join('').match(/HTTP\/1\.1 \d+|application\/[\w+]+|connection: close/g)).toEqual([
      'HTTP/1.1 202',
      'application/json',
      'HTTP/1.1 503',
      'connection: close',
      'application/problem+json',
    ]);
  });
});

describe('while the queue is full', () => {
  test('POST /send is refused before its body is read', async () => {
    await using app = await startApp({ store: full });
    const answer = await app.send('{ not JSON');
    expect([answer.statusCode, answer.json().code, answer.headers['retry-after']]).toEqual([
      503,
      'queue_full',
      '5',
    ]);
  });

  test('only valid keys get queue_full', async () => {
    await using app = await startApp({ store: full });
    expect((await app.send(MAIL, { authorization: 'Bearer wrong' })).statusCode).toBe(401);
  });

  test('the connection stays open', async () => {
    await using app = await startApp({ store: full });
    const answers = await exchange(await app.listen(), post('') + post('Connection: close\r\n'));
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 503', 'HTTP/1.1 503']);
  });

  test('the service is alive but not ready', async () => {
    await using app = await startApp({ store: full });
    const ready = await app.get('/readyz', {});
    expect([ready.statusCode, ready.json().code]).toEqual([503, 'queue_full']);
    expect((await app.get('/livez', {})).statusCode).toBe(200);
  });
});

describe('health', () => {
  test('is ready while the queue has capacity and the service is not shutting down', async () => {
    await using app = await startApp();
    expect((await app.get('/livez', {})).json()).toEqual({ status: 'alive' });
    expect((await app.get('/readyz', {})).json()).toEqual({ status: 'ready' });
  });
});

describe('a problem', () => {
  test.each(ERROR_CODES.filter((code) => code !== 'internal_error'))(
    '%s has the title, status and hint of its row in the error table',
    async (code) => {
      const accept = async () =>
        Promise.reject(new AppError(code, { detail: 'What happened.', retryAfter: 7 }));
      await using app = await startApp({ intake: { accept, check: accept, preview: accept } });
      const answer = await app.send(MAIL);
      expect(answer.statusCode).toBe(ERRORS[code].status);
      expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
      expect(answer.headers['retry-after']).toBe('7');
      expect(answer.json()).toEqual({
        type: `/problems/${code}`,
        title: ERRORS[code].title,
        status: ERRORS[code].status,
        detail: 'What happened.',
        instance: '/send',
        code,
        retryable: ERRORS[code].retryable,
        request_id: answer.headers['x-request-id'],
        errors: [],
        hint: ERRORS[code].hint,
      });
    },
  );

  test.each([
    ['an error', new Error('secret-word at /var/lib/outtray')],
    ['an error with a status', Object.assign(new Error('secret-word'), { statusCode: 503 })],
    ['a string', 'secret-word'],
    ['nothing', undefined],
  ])('for a bug (%s) is internal_error without details', async (_, thrown) => {
    await using app = await startApp({
      store: { get: () => Promise.reject(thrown), tombstone: async () => null, refusalCode: () => null },
    });
    const answer = await app.get('/messages/msg_1');
    expect(answer.statusCode).toBe(500);
    expect(answer.json()).toMatchObject({
      code: 'internal_error',
      detail: 'Internal error in Outtray',
      instance: '/messages/msg_1',
    });
    expect(answer.body).not.toContain('secret-word');
    expect(JSON.stringify(app.logs)).not.toContain('secret-word');
  });

  test('for a bug while the response is serialized is internal_error, too', async () => {
    const loop: Record<string, unknown> = {};
    loop.loop = loop;
    await using app = await startApp();
    const { id } = app.keep(aDelivery({ tags: loop as never }));
    const answer = await app.get(`/messages/${id}`);
    expect([answer.statusCode, answer.json().code]).toEqual([500, 'internal_error']);
  });

  test('names the path without the query', async () => {
    await using app = await startApp();
    expect((await app.get('/nowhere?token=secret-word')).json().instance).toBe('/nowhere');
  });
});
