import { once } from 'node:events';
import { connect } from 'node:net';
import { type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { describe, expect, test, vi } from 'vitest';
import type { Delivery } from '../../src/core/delivery/delivery.ts';
import { parseWait } from '../../src/http/request/prefer.ts';
import { toSignal } from '../../src/http/request/request-context.ts';
import { type AppUnderTest, CRM, CRM_SECRET, MAIL, SHOP, startApp } from '../helpers/app.ts';
import { aDelivery } from '../helpers/delivery.ts';

const REPLY = { code: 250, enhanced: '2.0.0', response: 'OK  1722933305 a1b2 - gsmtp' };

/** Sends with Prefer: wait, then settles the message with this patch. */
async function sendAndSettle(
  app: AppUnderTest,
  outcome: Partial<Delivery>,
  headers: Record<string, string> = {},
) {
  const response = app.send(MAIL, { prefer: 'wait=10', ...headers });
  const id = await vi.waitUntil(() => [...app.waiting][0]);
  app.settle(id, outcome);
  return { id, response: await response };
}

describe('Prefer: wait', () => {
  test('responds 200 with the message once it is sent', async () => {
    await using app = await startApp();
    const recipients = [{ email: 'ada@example.com', status: 'accepted', smtp: REPLY } as const];
    const { id, response } = await sendAndSettle(app, { status: 'sent', recipients });
    expect(response.statusCode).toBe(200);
    expect(response.headers).toMatchObject({ 'preference-applied': 'wait=10', location: `/messages/${id}` });
    expect(response.json()).toMatchObject({ id, status: 'sent', recipients });
  });

  test('responds 200 with the error if the message was sent to some recipients only', async () => {
    await using app = await startApp();
    const error = {
      code: 'recipients_rejected',
      detail: 'd',
      hint: 'h',
      scope: 'message',
      smtp: null,
    } as const;
    const { response } = await sendAndSettle(app, { status: 'partially_sent', error });
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({
      status: 'partially_sent',
      error: { code: 'recipients_rejected' },
    });
  });

  test.each([
    ['failed', 'recipients_rejected', 422],
    ['failed', 'message_too_large', 413],
    ['failed', 'retries_exhausted', 502],
    ['uncertain', 'delivery_uncertain', 502],
    ['expired', 'expired', 504],
  ] as const)(
    'responds with the problem of a message that is %s with %s',
    async (status, code, httpStatus) => {
      await using app = await startApp();
      const smtp = { code: 550, enhanced: '5.1.1', response: 'No such user' };
      const error = {
        code,
        detail: 'What Gmail said.',
        hint: 'What to do now.',
        scope: 'message',
        smtp,
      } as const;
      const { id, response } = await sendAndSettle(app, { status, error });
      expect(response.statusCode).toBe(httpStatus);
      expect(response.headers['content-type']).toMatch(/^application\/problem\+json/);
      expect(response.headers['preference-applied']).toBe('wait=10');
      expect(response.json()).toMatchObject({
        type: `/problems/${code}`,
        status: httpStatus,
        code,
        detail: 'What Gmail said.',
        hint: 'What to do now.',
        instance: '/send',
        request_id: response.headers['x-request-id'],
        smtp,
        message: { id, status, error: { code, scope: 'message', smtp } },
      });
    },
  );

  test('omits smtp if there was no reply', async () => {
    await using app = await startApp();
    const { response } = await sendAndSettle(app, {
      status: 'expired',
      error: { code: 'expired', detail: 'd', hint: 'h', scope: 'message', smtp: null },
    });
    expect(response.json()).not.toHaveProperty('smtp');
  });

  test('responds 202 with the current state if the wait ends early', async () => {
    await using app = await startApp();
    const pending = app.send(MAIL, { prefer: 'wait=10' });
    const id = await vi.waitUntil(() => [...app.waiting][0]);
    const { delivery } = app.accepted[0] ?? {};
    if (delivery) app.keep({ ...delivery, status: 'deferred', nextAttemptAt: 1_800_000_000_000 });
    app.letGo(id);
    const response = await pending;
    expect(response.statusCode).toBe(202);
    expect(response.headers['preference-applied']).toBe('wait=10');
    expect(response.json()).toMatchObject({
      id,
      status: 'deferred',
      next_attempt_at: '2027-01-15T08:00:00.000Z',
    });
  });

  test('responds 202 even if the current state cannot be read', async () => {
    const get = async () => Promise.reject(new Error('the store is gone'));
    await using app = await startApp({
      waiters: { wait: async () => null },
      store: { get, tombstone: async () => null, refusalCode: () => null },
    });
    const response = await app.send(MAIL, { prefer: 'wait=10' });
    expect(response.statusCode).toBe(202);
    expect(response.json()).toMatchObject({ status: 'queued' });
  });

  test('waits for the requested time', async () => {
    const waits: number[] = [];
    const wait = async (_id: string, ms: number) => {
      waits.push(ms);
      return null;
    };
    await using app = await startApp({ waiters: { wait } });
    await app.send(MAIL, { prefer: 'wait=60' });
    await app.send(MAIL, { prefer: 'respond-async, wait=1' });
    expect(waits).toEqual([60_000, 1000]);
  });

  test('does not wait for a scheduled message', async () => {
    await using app = await startApp();
    const response = await app.send(
      { ...MAIL, scheduled_at: new Date(Date.now() + 3_600_000).toISOString() },
      { prefer: 'wait=10' },
    );
    expect(response.statusCode).toBe(202);
    expect(response.headers).not.toHaveProperty('preference-applied');
  });

  test('stops waiting when the client disconnects', async () => {
    await using app = await startApp();
    const { port } = new URL(await app.listen());
    const socket = connect(Number(port), '127.0.0.1');
    const body = JSON.stringify(MAIL);
    socket.write(
      `POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${CRM_SECRET}\r\nPrefer: wait=60\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await vi.waitUntil(() => app.waiting.size === 1);
    socket.destroy();
    await once(socket, 'close');
    await vi.waitUntil(() => app.waiting.size === 0);
    const line = await vi.waitUntil(() => app.logs.find(({ route }) => route === '/send'));
    expect(line).toMatchObject({ aborted: true, msg_id: app.accepted[0]?.delivery.id });
  });

  test.each([
    ['wait=10', 10],
    ['WAIT = 5', 5],
    ['wait="7"', 7],
    ['respond-async, wait=20; foo="a, b"', 20],
    ['handling=lenient; x="wait=3", wait=9', 9],
    ['wait=1, wait=2', 1],
    ['x="a, wait=5"', null],
    ['wait=0', null],
    ['wait=61', 60],
    ['wait=99999999999999999999999', 60],
    ['return=minimal, wait="120"', 60],
    ['wait=-1', null],
    ['wait=1.5', null],
    ['wait=ten', null],
    ['wait', null],
    ['return=minimal', null],
    ['', null],
    [`${'x, '.repeat(500)}wait=5`, null],
  ])('parses %j as %s', (header, seconds) => {
    expect(parseWait(header)).toBe(seconds);
  });

  test('waits at most 60 seconds, and reports the applied time', async () => {
    await using app = await startApp();
    const { response } = await sendAndSettle(app, { status: 'sent' }, { prefer: 'wait=3600' });
    expect([response.statusCode, response.headers['preference-applied']]).toEqual([200, 'wait=60']);
  });

  test('ignores an invalid preference, and reports none as applied', async () => {
    await using app = await startApp();
    const response = await app.send(MAIL, { prefer: 'wait=0' });
    expect(response.statusCode).toBe(202);
    expect(response.headers).not.toHaveProperty('preference-applied');
  });
});

describe('GET /messages/{id} with Prefer: wait', () => {
  test('responds once the message is settled', async () => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery({ status: 'sending' }));
    const pending = app.get(`/messages/${id}`, { ...CRM, prefer: 'wait=120' });
    await vi.waitUntil(() => app.waiting.has(id));
    app.settle(id, { status: 'failed' });
    const response = await pending;
    expect([response.statusCode, response.headers['preference-applied'], response.json().status]).toEqual([
      200,
      'wait=60',
      'failed',
    ]);
  });

  test('responds with the current state if the wait ends early', async () => {
    await using app = await startApp();
    const delivery = app.keep(aDelivery({ status: 'queued' }));
    const pending = app.get(`/messages/${delivery.id}`, { ...CRM, prefer: 'wait=5' });
    await vi.waitUntil(() => app.waiting.has(delivery.id));
    app.keep({ ...delivery, status: 'deferred' });
    app.letGo(delivery.id);
    expect((await pending).json().status).toBe('deferred');
  });

  test('continues to wait while the account is paused', async () => {
    const asked: unknown[] = [];
    const wait = async (...given: unknown[]) => {
      asked.push(given[1], given[3]);
      return null;
    };
    await using app = await startApp({ waiters: { wait } });
    const { id } = app.keep(aDelivery({ status: 'deferred' }));
    await app.get(`/messages/${id}`, { ...CRM, prefer: 'wait=5' });
    expect(asked).toEqual([5000, { throughPauses: true }]);
  });

  test('does not wait without the header, or for a message of another key', async () => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery({ status: 'queued' }));
    const response = await app.get(`/messages/${id}`);
    expect([response.json().status, response.headers['preference-applied']]).toEqual(['queued', undefined]);
    expect((await app.get(`/messages/${id}`, { ...SHOP, prefer: 'wait=5' })).statusCode).toBe(404);
    expect(app.waiting.size).toBe(0);
  });

  test('stops waiting when the client disconnects', async () => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery({ status: 'queued' }));
    const { port } = new URL(await app.listen());
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      `GET /messages/${id} HTTP/1.1\r\nHost: x\r\nAuthorization: ${CRM.authorization}\r\nPrefer: wait=60\r\n\r\n`,
    );
    await vi.waitUntil(() => app.waiting.has(id));
    socket.destroy();
    await vi.waitUntil(() => app.waiting.size === 0);
  });
});

describe('signal of a request', () => {
  async function signalAfter(respond: (reply: FastifyReply, request: FastifyRequest) => void) {
    await using app = fastify();
    const { promise, resolve } = Promise.withResolvers<AbortSignal>();
    app.get('/', (request, reply) => {
      const signal = toSignal(reply);
      reply.raw.once('close', () => resolve(signal));
      respond(reply, request);
    });
    const response = fetch(await app.listen({ host: '127.0.0.1', port: 0 })).catch(() => null);
    const signal = await promise;
    await response;
    return signal;
  }

  test('is aborted when the client disconnects before the response', async () => {
    expect((await signalAfter((_, request) => request.raw.socket.destroy())).aborted).toBe(true);
  });

  test('is not aborted by a response that was sent', async () => {
    expect((await signalAfter((reply) => reply.send('ok'))).aborted).toBe(false);
  });
});
