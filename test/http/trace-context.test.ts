import { describe, expect, test, vi } from 'vitest';
import { type AppUnderTest, CRM, exchange, MAIL, startApp } from '../helpers/app.ts';

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const OTHER_ID = '0af7651916cd43dd8448eb211c80319c';
const TRACEPARENT = `00-${TRACE_ID}-00f067aa0ba902b7-01`;
const OTHER = `00-${OTHER_ID}-b7ad6b7169203331-00`;
const TRACED = { traceparent: TRACEPARENT, tracestate: 'rojo=1, congo=2' };
const KEPT = { traceparent: TRACEPARENT, tracestate: 'rojo=1,congo=2', startedAt: expect.any(Number) };

const post = (app: AppUnderTest, url: string, payload: object, headers: object) =>
  app.inject({ method: 'POST', url, payload, headers: { ...CRM, ...headers } });

async function lines(app: AppUnderTest, count: number) {
  await vi.waitUntil(() => app.logs.length >= count);
  return app.logs;
}

describe('the trace of a request', () => {
  test.each([
    ['/send', MAIL, 202, 1],
    ['/send/batch', { messages: [MAIL, MAIL] }, 202, 2],
    ['/emails', { ...MAIL, from: 'bot@acme.com' }, 200, 1],
    ['/emails/batch', [MAIL, MAIL], 200, 2],
  ])('is kept with each message of POST %s and is in its log line', async (url, body, status, messages) => {
    await using app = await startApp();
    expect((await post(app, url, body, TRACED)).statusCode).toBe(status);
    expect(app.accepted.map(({ delivery }) => delivery.trace)).toEqual(Array(messages).fill(KEPT));
    expect(await lines(app, 1)).toMatchObject([{ route: url, trace_id: TRACE_ID }]);
  });

  test('is ignored if it is invalid', async () => {
    await using app = await startApp();
    const headers = { ...TRACED, traceparent: TRACEPARENT.toUpperCase() };
    expect((await app.send(MAIL, headers)).statusCode).toBe(202);
    expect((await app.send(MAIL)).statusCode).toBe(202);
    expect(app.accepted.map(({ delivery }) => delivery.trace)).toEqual([null, null]);
    for (const line of await lines(app, 2)) expect(line).not.toHaveProperty('trace_id');
  });

  test('is in the log line of a refused request', async () => {
    await using app = await startApp();
    await app.send({}, TRACED);
    await app.send(MAIL, { ...TRACED, authorization: 'Bearer wrong' });
    const url = await app.listen();
    const head = `Host: x\r\ntraceparent: ${TRACEPARENT}\r\nConnection: close\r\n`;
    await exchange(url, `GET /%zz HTTP/1.1\r\n${head}\r\n`);
    await exchange(url, `POST /send HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\nnot hex\r\n`);
    const requests = () => app.logs.filter(({ msg }) => msg === 'request');
    await vi.waitUntil(() => requests().length >= 4);
    for (const line of requests()) expect(line).toMatchObject({ trace_id: TRACE_ID });
  });

  test('is ignored if its header is repeated, and its tracestate can have several headers', async () => {
    await using app = await startApp();
    const body = JSON.stringify(MAIL);
    const request = (headers: readonly string[]) =>
      [
        'POST /send HTTP/1.1',
        'Host: x',
        `Authorization: ${CRM.authorization}`,
        'Content-Type: application/json',
        'Connection: close',
        `Content-Length: ${body.length}`,
        ...headers,
        '',
        body,
      ].join('\r\n');
    const url = await app.listen();
    await exchange(url, request([`traceparent: ${TRACEPARENT}`, `traceparent: ${TRACEPARENT}`]));
    await exchange(
      url,
      request([`TraceParent: ${TRACEPARENT}`, 'tracestate: rojo=1', 'Tracestate: congo=2']),
    );
    expect(app.accepted.map(({ delivery }) => delivery.trace)).toEqual([null, KEPT]);
  });

  test('stays that of the first request if one with an Idempotency-Key is repeated in another trace', async () => {
    await using app = await startApp();
    const key = { 'idempotency-key': 'k' };
    const first = await app.send(MAIL, { ...TRACED, ...key });
    const second = await app.send(MAIL, { traceparent: OTHER, ...key });
    expect([second.statusCode, second.json().id]).toEqual([202, first.json().id]);
    expect(app.accepted.map(({ delivery }) => delivery.trace)).toEqual([KEPT]);
    expect(await lines(app, 2)).toMatchObject([{ trace_id: TRACE_ID }, { trace_id: OTHER_ID }]);
  });
});
