import { describe, expect, test } from 'vitest';
import { ADMIN_KEY, API_KEY, type ServiceUnderTest } from '../helpers/service.ts';
import { startWithGmail } from '../helpers/smtp/gmail.ts';

const TEST_SECRET = 'test-secret-0123456789-abcdefghi';
const LIMITED_SECRET = 'limited-secret-0123456789-abcdef';
const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };

const as = (secret: string) => ({ headers: { authorization: `Bearer ${secret}` } });

const KEYS = JSON.stringify([
  { name: 'crm', secret: API_KEY },
  { name: 'boss', secret: ADMIN_KEY, scopes: ['admin'] },
  { name: 'ci', secret: TEST_SECRET, test: true },
  {
    name: 'limited',
    secret: LIMITED_SECRET,
    allowed_from: ['@simulator.test'],
    allowed_recipients: ['@example.com', 'boss@acme.com'],
    daily_limit: 2,
  },
]);

describe('a test key', () => {
  test('sends to the built-in simulator and marks the message as a test', async () => {
    await using app = await startWithGmail({ env: { API_KEYS: KEYS } });
    const sent = await app.service.send(HELLO, { wait: 10, ...as(TEST_SECRET) });
    expect([sent.status, sent.body.status, sent.body.test]).toEqual([200, 'sent', true]);
    expect(sent.body.attempts).toMatchObject([{ account: 'test-key@simulator.test', smtp: { code: 250 } }]);
    const refused = await app.service.send(
      { ...HELLO, to: 'no-such-user@simulator.test' },
      { wait: 10, ...as(TEST_SECRET) },
    );
    expect([refused.status, refused.body.code]).toEqual([422, 'recipients_rejected']);
    expect(app.gmail.counters.accepted).toBe(0);
    expect(app.gmail.transactions).toEqual([]);

    const real = await app.service.send(HELLO, { wait: 10 });
    expect([real.body.status, real.body.test]).toEqual(['sent', false]);
    expect(app.gmail.counters.accepted).toBe(1);
  });

  test('adds no suppression, uses no quota and pauses no account', async () => {
    await using app = await startWithGmail({ env: { API_KEYS: KEYS } });
    for (const to of ['no-such-user@simulator.test', 'daily-limit@simulator.test']) {
      await app.service.send({ ...HELLO, to }, { wait: 10, ...as(TEST_SECRET) });
    }
    const { body } = await app.service.request('/suppressions', as(ADMIN_KEY));
    expect(body).toMatchObject({ suppressions: [] });
    const accounts = await app.service.request('/accounts');
    expect(accounts.body).toMatchObject({
      accounts: [{ user: 'bot@simulator.test', status: 'ready', quota: { messages: { used: 0 } } }],
    });
    expect(app.service.logs.filter(({ msg }) => msg === 'account paused')).toEqual([]);
  });

  test('is subject to FROM_POLICY like any other key', async () => {
    await using app = await startWithGmail({ env: { API_KEYS: KEYS } });
    const answer = await app.service.send({ ...HELLO, from: 'ceo@acme.com' }, as(TEST_SECRET));
    expect(answer.body.code).toBe('sender_not_allowed');
  });
});

describe('a key with limits', () => {
  test('sends only from and to allowed addresses, up to its daily limit', async () => {
    await using app = await startWithGmail({ env: { API_KEYS: KEYS } });
    const send = (patch: object) => app.service.send({ ...HELLO, ...patch }, as(LIMITED_SECRET));
    expect((await send({ from: 'ceo@acme.com' })).body).toMatchObject({
      status: 403,
      code: 'sender_not_allowed',
      errors: [{ pointer: '/from' }],
    });
    expect(
      (await send({ to: ['ada@example.com', 'bob@acme.com'], bcc: 'x@mail.example.com' })).body,
    ).toMatchObject({
      status: 403,
      code: 'recipient_not_allowed',
      errors: [{ pointer: '/to/1' }, { pointer: '/bcc/0' }],
    });
    const first = await send({ to: 'Boss@ACME.com' });
    expect(first.status).toBe(202);
    expect((await send({ dry_run: true })).status).toBe(200);
    expect((await send({})).status).toBe(202);
    const third = await send({});
    expect(third.body).toMatchObject({
      status: 429,
      code: 'rate_limited',
      detail: expect.stringContaining('daily_limit'),
    });
    expect(Number(third.headers.get('retry-after'))).toBeGreaterThan(86_000);
    expect((await app.service.send(HELLO)).status).toBe(202);
  });
});

describe('a staging system', () => {
  test('with ALLOWED_RECIPIENTS refuses mail to any other recipient', async () => {
    await using app = await startWithGmail({ env: { ALLOWED_RECIPIENTS: '@acme.com, ada@example.com' } });
    expect((await app.service.send({ ...HELLO, cc: 'Team@acme.com' }, { wait: 10 })).body.status).toBe(
      'sent',
    );
    const refused = await app.service.send({ ...HELLO, to: 'customer@example.com' });
    expect(refused.body).toMatchObject({
      status: 403,
      code: 'recipient_not_allowed',
      errors: [{ pointer: '/to/0' }],
    });
  });

  test('with REDIRECT_ALL_TO sends only to that address, on the wire and in the headers', async () => {
    await using app = await startWithGmail({
      env: { REDIRECT_ALL_TO: 'tester@acme.com', ALLOWED_RECIPIENTS: '@acme.com' },
    });
    const mail = {
      ...HELLO,
      to: ['Ada <ada@example.com>'],
      cc: ['bob@example.com'],
      bcc: ['carol@example.com'],
    };
    const { body } = await app.service.send(mail, { wait: 10 });
    expect(body).toMatchObject({
      status: 'sent',
      to: [{ email: 'tester@acme.com' }],
      cc: [],
      bcc: [],
      recipients: [{ email: 'tester@acme.com' }],
      warnings: [
        {
          code: 'recipients_redirected',
          detail:
            'REDIRECT_ALL_TO is set: the message goes to tester@acme.com instead of ada@example.com, bob@example.com, carol@example.com.',
        },
      ],
    });
    expect(app.gmail.messages.map(({ recipients }) => recipients)).toEqual([['tester@acme.com']]);
    const raw = String(app.gmail.messages[0]?.raw);
    expect(raw).toMatch(/^To: tester@acme\.com\r$/m);
    expect(raw).toMatch(/^X-Original-To: ada@example\.com, bob@example\.com, carol@example\.com\r$/m);
    expect(raw).not.toMatch(/^Cc:/m);
  });
});

test('an unsubscribe field becomes the pair of headers of RFC 8058', async () => {
  await using app = await startWithGmail();
  const unsubscribe = { url: 'https://acme.com/u/42?t=a%2Bb', email: 'leave@acme.com', one_click: true };
  await app.service.send({ ...HELLO, unsubscribe }, { wait: 10 });
  const [head = ''] = String(app.gmail.messages[0]?.raw).split('\r\n\r\n');
  const unfolded = head.replace(/\r\n[ \t]+/g, ' ');
  expect(unfolded).toMatch(
    /^List-Unsubscribe: <https:\/\/acme\.com\/u\/42\?t=a%2Bb>, <mailto:leave@acme\.com>\r?$/m,
  );
  expect(unfolded).toMatch(/^List-Unsubscribe-Post: List-Unsubscribe=One-Click\r?$/m);
});

test('a hundred concurrent equal requests with one Idempotency-Key send one message', async () => {
  await using app = await startWithGmail();
  const headers = { 'idempotency-key': 'invoice-42' };
  const responses = await Promise.all(
    Array.from({ length: 100 }, () => app.service.send(HELLO, { headers })),
  );
  const accepted = responses.filter(({ status }) => status === 202);
  expect(new Set(accepted.map(({ body }) => body.id)).size).toBe(1);
  for (const { status, body } of responses) expect([202, body.code && 409]).toContain(status);
  await app.service.settled(accepted[0]?.body.id ?? '');
  expect(app.gmail.counters.accepted).toBe(1);
});

describe('a batch', () => {
  const file = { filename: 'report.pdf', content: Buffer.alloc(200_000, 'pdf').toString('base64') };
  const hundred = Array.from({ length: 100 }, (_, i) => ({
    ...HELLO,
    subject: `Report ${i}`,
    attachments: [file],
  }));
  const post = (service: ServiceUnderTest, messages: readonly object[]) =>
    service.request('/send/batch', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages }),
    });

  test('of a hundred messages with attachments sends each once and complete', async () => {
    await using app = await startWithGmail();
    const { status, body } = await post(app.service, hundred);
    expect([status, body]).toMatchObject([202, { accepted: 100, refused: 0 }]);
    await app.gmail.waitFor(({ counters }) => counters.accepted === 100);
    expect(new Set(app.gmail.messages.map(({ raw }) => /^Subject: (.*)\r$/m.exec(raw)?.[1])).size).toBe(100);
    for (const { bytes } of app.gmail.messages) expect(bytes).toBeGreaterThan(200_000 * (78 / 57));
  });

  test('fills the queue up to QUEUE_MAX_BYTES and refuses each of the remaining messages', async () => {
    await using app = await startWithGmail({ env: { QUEUE_MAX_BYTES: '5mb' } });
    await app.gmail.blockPort('starttls', 'refused');
    await app.gmail.blockPort('tls', 'refused');
    const { status, body } = await post(app.service, hundred);
    expect(status).toBe(207);
    const { accepted, results } = body as unknown as {
      accepted: number;
      results: { status: number; error?: { code: string } }[];
    };
    expect(accepted).toBe(Math.floor((5 * 1024 * 1024) / 201_500));
    expect(results.map(({ error }) => error?.code ?? 'accepted')).toEqual([
      ...Array(accepted).fill('accepted'),
      ...Array(100 - accepted).fill('queue_full'),
    ]);
  });

  test('larger than MAX_MESSAGE_BYTES is refused as a whole', async () => {
    await using app = await startWithGmail({ env: { MAX_MESSAGE_BYTES: '2mb' } });
    const { status, body } = await post(app.service, hundred.slice(0, 15));
    expect([status, body.code]).toEqual([413, 'message_too_large']);
  });
});
