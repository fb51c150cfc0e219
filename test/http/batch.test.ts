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
  test('accepts a hundred messages and returns them in order', async () => {
    await using app = await startApp();
    const answer = await post(app, numbered(100));
    expect(answer.statusCode).toBe(202);
    const { results, ...counts } = answer.json();
    expect(counts).toEqual({ accepted: 100, refused: 0 });
    expect(
      results.map(({ status, message }: never) => [status, (message as { subject: string }).subject]),
    ).toEqual(numbered(100).map(({ subject }) => [202, subject]));
    expect(app.accepted.map(({ draft }) => draft.envelope.subject)).toEqual(
      numbered(100).map(({ subject }) => subject),
    );
  });

  test('reports the errors of an invalid message in its place and accepts the rest', async () => {
    await using app = await startApp();
    const answer = await post(app, [
      MAIL,
      { ...MAIL, to: 'ada' },
      'mail',
      null,
      { ...MAIL, subjct: 'x' },
      MAIL,
    ]);
    expect(answer.statusCode).toBe(207);
    expect(answer.json()).toMatchObject({
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

  test('returns a code and status for each message that intake refuses, and logs a bug', async () => {
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
    const answer = await post(app, numbered(3));
    expect(answer.statusCode).toBe(207);
    expect(answer.json().results).toMatchObject([
      { status: 503, error: { code: 'queue_full', retryable: true } },
      { status: 403, error: { code: 'sender_not_allowed' } },
      { status: 500, error: { code: 'internal_error' } },
    ]);
    expect(answer.body).not.toContain('secret-word');
    expect(app.logs).toMatchObject([{ code: 'internal_error', err: { type: 'TypeError' } }]);
  });

  test('makes a dry run of each message with dry_run', async () => {
    await using app = await startApp();
    const answer = await post(app, [{ ...MAIL, dry_run: true }, MAIL]);
    expect(answer.statusCode).toBe(202);
    expect(answer.json()).toMatchObject({
      accepted: 1,
      refused: 0,
      results: [{ status: 200, preview: { dry_run: true } }, { status: 202 }],
    });
    expect(app.accepted).toHaveLength(1);
  });

  test.each([
    ['none', [], '/messages', 'too_short'],
    ['more than a hundred', numbered(101), '/messages', 'too_many'],
    ['a message in place of a batch', MAIL, '/messages', 'invalid_type'],
  ])('refuses %s as a whole', async (_, messages, pointer, code) => {
    await using app = await startApp();
    const answer = await post(app, messages);
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({ code: 'validation_failed', errors: [{ pointer, code }] });
  });

  test('accepts the number of JSON values that a hundred messages to many recipients have', async () => {
    await using app = await startApp();
    const to = Array.from({ length: 100 }, (_, i) => ({ email: `user${i}@example.com`, name: `User ${i}` }));
    expect((await post(app, Array(100).fill({ ...MAIL, to }))).statusCode).toBe(202);
  });
});

describe('an Idempotency-Key of a batch', () => {
  const key = { 'idempotency-key': 'batch-1' };

  test('returns the same results again, including refusals, and accepts nothing twice', async () => {
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

  test('is refused with another batch, even if only a refused message differs', async () => {
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

  test('is released if every message was refused', async () => {
    await using app = await startApp();
    expect((await post(app, [{ ...MAIL, to: 'ada' }], key)).statusCode).toBe(207);
    expect((await post(app, [MAIL], key)).statusCode).toBe(202);
  });

  test('is separate for each API key and from POST /send', async () => {
    await using app = await startApp();
    await post(app, [MAIL], key);
    expect((await post(app, [MAIL], { ...SHOP, ...key })).headers['idempotency-replayed']).toBeUndefined();
    expect((await app.send(MAIL, key)).statusCode).toBe(202);
    expect(app.accepted).toHaveLength(3);
  });

  test('accepts one of fifty concurrent equal batches', async () => {
    await using app = await startApp();
    const answers = await Promise.all(Array.from({ length: 50 }, () => post(app, [MAIL, MAIL], key)));
    expect(app.accepted).toHaveLength(2);
    for (const { statusCode } of answers) expect(statusCode).toBeOneOf([202, 409]);
  });
});
