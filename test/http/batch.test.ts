import { describe, expect, test } from 'vitest';
import { AppError } from '../../src/core/errors.ts';
import { type AppUnderTest, CRM, MAIL, SHOP, startApp } from '../helpers/app.ts';

function post(app: AppUnderTest, messages: unknown, headers: Record<string, string> = {}) {
  return app.inject({
    method: 'POST',
    url: '/send/batch',
    headers: { ...CRM, ...headers },
    body: { messages } as object,
  });
}

const numbered = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ ...MAIL, subject: `Number ${i}` }));

describe('POST /send/batch', () => {
  test('accepts 100 messages and returns them in order', async () => {
    await using app = await startApp();
    const response = await post(app, numbered(100));
    expect(response.statusCode).toBe(202);
    const { results, ...counts } = response.json();
    expect(counts).toEqual({ accepted: 100, refused: 0 });
    expect(
      results.map(({ status, message }: never) => [status, (message as { subject: string }).subject]),
    ).toEqual(numbered(100).map(({ subject }) => [202, subject]));
    expect(app.accepted.map(({ draft }) => draft.envelope.subject)).toEqual(
      numbered(100).map(({ subject }) => subject),
    );
  });

  test('validates each message on its own: reports the errors of invalid ones and accepts the rest', async () => {
    await using app = await startApp();
    const response = await post(app, [
      MAIL,
      { ...MAIL, to: 'ada' },
      'mail',
      null,
      { ...MAIL, subjct: 'x' },
      MAIL,
    ]);
    expect(response.statusCode).toBe(207);
    expect(response.json()).toMatchObject({
      accepted: 2,
      refused: 4,
      results: [
        { status: 202, message: { status: 'queued' } },
        {
          status: 422,
          error: {
            code: 'validation_failed',
            detail: expect.stringMatching(/^\/messages\/1\/to: /),
            instance: '/send/batch',
            errors: [{ pointer: '/messages/1/to' }],
          },
        },
        { status: 422, error: { errors: [{ pointer: '/messages/2', code: 'invalid_type' }] } },
        { status: 422, error: { errors: [{ pointer: '/messages/3' }] } },
        { status: 422, error: { errors: [{ pointer: '/messages/4/subjct', code: 'unknown_field' }] } },
        { status: 202 },
      ],
    });
    expect(app.accepted).toHaveLength(2);
  });

  test('reports each refusal of the intake with its code and status, and logs internal errors', async () => {
    const refusals = [
      new AppError('queue_full'),
      new AppError('sender_not_allowed'),
      new TypeError('secret-word'),
    ];
    await using app = await startApp({
      intake: {
        accept: () => Promise.reject(refusals.shift()),
        check: () => Promise.reject(),
        preview: () => Promise.reject(),
      },
    });
    const response = await post(app, numbered(3));
    expect(response.statusCode).toBe(207);
    expect(response.json().results).toMatchObject([
      { status: 503, error: { code: 'queue_full', retryable: true } },
      { status: 403, error: { code: 'sender_not_allowed' } },
      { status: 500, error: { code: 'internal_error' } },
    ]);
    expect(response.body).not.toContain('secret-word');
    expect(app.logs).toMatchObject([{ code: 'internal_error', err: { type: 'TypeError' } }]);
  });

  test('runs a dry run for messages with dry_run', async () => {
    await using app = await startApp();
    const response = await post(app, [{ ...MAIL, dry_run: true }, MAIL]);
    expect(response.statusCode).toBe(202);
    expect(response.json()).toMatchObject({
      accepted: 1,
      refused: 0,
      results: [{ status: 200, preview: { dry_run: true } }, { status: 202 }],
    });
    expect(app.accepted).toHaveLength(1);
  });

  test.each([
    ['an empty list', [], '/messages', 'too_short'],
    ['more than 100 messages', numbered(101), '/messages', 'too_many'],
    ['a body without a list', MAIL, '/messages', 'invalid_type'],
  ])('refuses the whole request for %s', async (_, messages, pointer, code) => {
    await using app = await startApp();
    const response = await post(app, messages);
    expect(response.statusCode).toBe(422);
    expect(response.json()).toMatchObject({ code: 'validation_failed', errors: [{ pointer, code }] });
  });

  test('accepts 100 messages with 100 recipients each', async () => {
    await using app = await startApp();
    const to = Array.from({ length: 100 }, (_, i) => ({ email: `user${i}@example.com`, name: `User ${i}` }));
    expect((await post(app, Array(100).fill({ ...MAIL, to }))).statusCode).toBe(202);
  });
});

describe('POST /send/batch with an Idempotency-Key', () => {
  const key = { 'idempotency-key': 'batch-1' };

  test('repeats the response, including refusals, and accepts nothing twice', async () => {
    await using app = await startApp();
    const batch = [MAIL, { ...MAIL, to: 'ada' }];
    const first = await post(app, batch, key);
    const reordered = [
      { text: MAIL.text, subject: MAIL.subject, to: MAIL.to },
      { subject: MAIL.subject, to: 'ada', text: MAIL.text },
    ];
    const again = await post(app, reordered, key);
    expect([again.statusCode, again.body, again.headers['idempotency-replayed']]).toEqual([
      207,
      first.body,
      'true',
    ]);
    expect(app.accepted).toHaveLength(1);
  });

  test('refuses the key for another batch, even if only a refused message differs', async () => {
    await using app = await startApp();
    await post(app, [MAIL, { ...MAIL, to: 'ada' }], key);
    for (const other of [[MAIL], [{ ...MAIL, to: 'ada' }, MAIL], [MAIL, { ...MAIL, to: 'bob' }]]) {
      expect((await post(app, other, key)).json()).toMatchObject({
        status: 422,
        code: 'idempotency_key_reused',
      });
    }
    expect(app.accepted).toHaveLength(1);
  });

  test('releases the key if every message was refused', async () => {
    await using app = await startApp();
    expect((await post(app, [{ ...MAIL, to: 'ada' }], key)).statusCode).toBe(207);
    expect((await post(app, [MAIL], key)).statusCode).toBe(202);
  });

  test('treats the key as separate for another API key and for POST /send', async () => {
    await using app = await startApp();
    await post(app, [MAIL], key);
    expect((await post(app, [MAIL], { ...SHOP, ...key })).headers['idempotency-replayed']).toBeUndefined();
    expect((await app.send(MAIL, key)).statusCode).toBe(202);
    expect(app.accepted).toHaveLength(3);
  });

  test('accepts one of 50 identical concurrent batches', async () => {
    await using app = await startApp();
    const responses = await Promise.all(Array.from({ length: 50 }, () => post(app, [MAIL, MAIL], key)));
    expect(app.accepted).toHaveLength(2);
    for (const { statusCode } of responses) expect(statusCode).toBeOneOf([202, 409]);
  });
});
