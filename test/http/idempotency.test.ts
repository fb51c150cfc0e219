import { describe, expect, test, vi } from 'vitest';
import { AppError } from '../../src/core/errors.ts';
import { createLedger, MAIL, SHOP, startApp } from '../helpers/app.ts';

const KEY = { 'idempotency-key': '6f1c9e0a-7d3b-4c51-9f57-0c2a8b1f4e11' };
const later = (ms: number) => new Date(Date.now() + ms).toISOString();

describe('Idempotency-Key', () => {
  test('the same request again gets the same answer, word for word, and sends nothing', async () => {
    await using app = await startApp();
    const first = await app.send(MAIL, KEY);
    const second = await app.send(MAIL, KEY);
    expect(first.headers).not.toHaveProperty('idempotency-replayed');
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect([second.statusCode, second.body, second.headers.location, second.headers['content-type']]).toEqual([
      first.statusCode,
      first.body,
      first.headers.location,
      first.headers['content-type'],
    ]);
    expect(second.headers['x-request-id']).not.toBe(first.headers['x-request-id']);
    expect(app.accepted).toHaveLength(1);
  });

  test('another order of the keys, and another way to write the same, is the same request', async () => {
    await using app = await startApp();
    await app.send({ ...MAIL, tags: { a: '1', b: '2' } }, KEY);
    const { to, subject, text } = MAIL;
    const answer = await app.send({ tags: { b: '2', a: '1' }, text, subject, to: [{ email: to }], cc: [] }, KEY);
    expect(answer.headers['idempotency-replayed']).toBe('true');
  });

  test.each([
    ['subject', { subject: 'Another' }],
    ['recipient', { to: 'bob@example.com' }],
    ['attachment', { attachments: [{ filename: 'a.txt', content: 'YQ==' }] }],
    ['tag', { tags: { a: '1' } }],
  ])('another %s under the same key is refused', async (_, change) => {
    await using app = await startApp();
    await app.send(MAIL, KEY);
    const answer = await app.send({ ...MAIL, ...change }, KEY);
    expect([answer.statusCode, answer.json().code]).toEqual([422, 'idempotency_key_reused']);
    expect(app.accepted).toHaveLength(1);
  });

  test('the bytes of an attachment count', async () => {
    await using app = await startApp();
    const withFile = (content: string) => ({ ...MAIL, attachments: [{ filename: 'a.txt', content }] });
    await app.send(withFile('YQ=='), KEY);
    expect((await app.send(withFile('YQ=='), KEY)).headers['idempotency-replayed']).toBe('true');
    expect((await app.send(withFile('Yg=='), KEY)).json().code).toBe('idempotency_key_reused');
  });

  test('while the first request is still being answered a second is told so', async () => {
    await using app = await startApp();
    const first = app.send(MAIL, { ...KEY, prefer: 'wait=10' });
    const id = await vi.waitUntil(() => [...app.waiting][0]);
    const second = await app.send(MAIL, KEY);
    expect([second.statusCode, second.json().code, second.headers['retry-after']]).toEqual([409, 'idempotency_in_progress', '1']);
    app.settle(id, { status: 'sent' });
    expect((await first).statusCode).toBe(200);
    const third = await app.send(MAIL, KEY);
    expect([third.statusCode, third.body]).toEqual([200, (await first).body]);
    expect(third.headers['preference-applied']).toBe('wait=10');
  });

  test('a delivery that failed while the caller waited is an answer, and is given again', async () => {
    await using app = await startApp();
    const first = app.send(MAIL, { ...KEY, prefer: 'wait=10' });
    const id = await vi.waitUntil(() => [...app.waiting][0]);
    app.settle(id, { status: 'failed', error: { code: 'recipients_rejected', detail: 'd', hint: 'h', scope: 'message', smtp: null } });
    const second = await app.send(MAIL, KEY);
    expect([second.statusCode, second.body]).toEqual([422, (await first).body]);
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect(app.accepted).toHaveLength(1);
  });

  test('refusals are not remembered', async () => {
    let full = true;
    const taken: unknown[] = [];
    const fake = await startApp();
    await using app = await startApp({
      intake: {
        async check() {},
        async accept(message, caller) {
          if (full) throw new AppError('queue_full', { retryAfter: 5 });
          taken.push(message);
          await fake.send(MAIL);
          const delivery = fake.accepted[0]?.delivery;
          if (!delivery) throw new Error('nothing was accepted');
          return { ...delivery, owner: caller.name };
        },
        preview: () => Promise.reject(new Error('not used')),
      },
    });
    expect((await app.send(MAIL, KEY)).statusCode).toBe(503);
    expect((await app.send({}, KEY)).statusCode).toBe(422);
    full = false;
    const answer = await app.send({ ...MAIL, subject: 'Another' }, KEY);
    expect(answer.statusCode).toBe(202);
    expect(answer.headers).not.toHaveProperty('idempotency-replayed');
    expect(taken).toHaveLength(1);
    await fake[Symbol.asyncDispose]();
  });

  test('a repeated request gets its answer even when its times have passed since', async () => {
    await using app = await startApp();
    const body = { ...MAIL, expires_at: later(60_000) };
    await app.send(body, KEY);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 120_000 });
    try {
      expect((await app.send(body, KEY)).headers['idempotency-replayed']).toBe('true');
      expect((await app.send(body)).statusCode).toBe(422);
    } finally {
      vi.useRealTimers();
    }
  });

  test('a request refused by the clock is not remembered', async () => {
    await using app = await startApp();
    expect((await app.send({ ...MAIL, expires_at: '2020-01-01T00:00:00Z' }, KEY)).statusCode).toBe(422);
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
  });

  test('if the answer cannot be kept it is given all the same, and nothing is sent twice', async () => {
    const ledger = createLedger();
    await using app = await startApp({ idempotency: { ...ledger, answer: () => Promise.reject(new Error('the ledger is gone')) } });
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
    expect((await app.send(MAIL, KEY)).json().code).toBe('idempotency_in_progress');
    expect(app.accepted).toHaveLength(1);
    expect(app.logs).toContainEqual(
      expect.objectContaining({ msg: 'the answer could not be kept', message_id: app.accepted[0]?.delivery.id }),
    );
  });

  test('if the wait breaks down after the message was accepted, the claim stands', async () => {
    await using app = await startApp({ waiters: { wait: () => Promise.reject(new Error('a bug')) } });
    expect((await app.send(MAIL, { ...KEY, prefer: 'wait=10' })).statusCode).toBe(500);
    expect((await app.send(MAIL, KEY)).json().code).toBe('idempotency_in_progress');
    expect(app.accepted).toHaveLength(1);
  });

  test('two keys of the API do not share it', async () => {
    await using app = await startApp();
    await app.send(MAIL, KEY);
    expect((await app.send(MAIL, { ...KEY, ...SHOP })).headers).not.toHaveProperty('idempotency-replayed');
    expect(app.accepted).toHaveLength(2);
  });

  test('a dry run neither uses it nor uses it up', async () => {
    await using app = await startApp();
    await app.send({ ...MAIL, dry_run: true }, KEY);
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
    expect((await app.send({ ...MAIL, dry_run: true }, KEY)).json()).toMatchObject({ dry_run: true });
  });

  test('in quotes it is the same key', async () => {
    await using app = await startApp();
    await app.send(MAIL, { 'idempotency-key': 'a"b\\c' });
    expect((await app.send(MAIL, { 'idempotency-key': '"a\\"b\\\\c"' })).headers['idempotency-replayed']).toBe('true');
  });

  test.each(['', 'a b', 'ä', 'x'.repeat(257), '"', '"a', '"a"b"', '""', '"a b"'])('%j is no key', async (key) => {
    await using app = await startApp();
    const answer = await app.send(MAIL, { 'idempotency-key': key });
    expect(answer.statusCode).toBe(422);
    expect(answer.json().errors).toEqual([{ pointer: 'header:Idempotency-Key', code: 'invalid_format', detail: expect.any(String) }]);
    expect(app.accepted).toEqual([]);
  });

  test('it may have 256 characters', async () => {
    await using app = await startApp();
    expect((await app.send(MAIL, { 'idempotency-key': '~'.repeat(256) })).statusCode).toBe(202);
  });
});
