import { parseDictionary, parseList } from 'structured-headers';
import { describe, expect, test } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import { type AppUnderTest, CRM, CRM_SECRET, MAIL, SHOP, SHOP_SECRET, startApp } from '../helpers/app.ts';
import { aKey } from '../helpers/keys.ts';

const WRONG = { authorization: 'Bearer wrong' };

async function repeat(count: number, ask: () => Promise<{ statusCode: number }>): Promise<number[]> {
  const statuses: number[] = [];
  for (let i = 0; i < count; i++) statuses.push((await ask()).statusCode);
  return statuses;
}

function from(app: AppUnderTest, remoteAddress: string, headers: Record<string, string> = WRONG) {
  return () => app.inject({ method: 'GET', url: '/messages/msg_1', remoteAddress, headers });
}

describe('the limit of a key', () => {
  test('is in every response to a valid key, as structured fields', async () => {
    await using app = await startApp({ rateLimit: { max: 600, windowMs: 60_000 } });
    const answers = [
      await app.send(MAIL),
      await app.get('/messages/msg_1'),
      await app.send({}),
      await app.get('/nowhere'),
    ];
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([202, 404, 422, 404]);
    for (const [i, { headers }] of answers.entries()) {
      const [policy] = parseList(String(headers['ratelimit-policy']));
      expect(policy?.[0]).toBe('key');
      expect(Object.fromEntries(policy?.[1] ?? [])).toEqual({ q: 600, w: 60 });
      const [left] = parseList(String(headers.ratelimit));
      expect(left?.[0]).toBe('key');
      expect(left?.[1]?.get('r')).toBe(599 - i);
      expect(left?.[1]?.get('t')).toBeGreaterThan(0);
    }
    expect(parseDictionary('a=1').size).toBe(1);
  });

  test('refuses requests above it with Retry-After', async () => {
    await using app = await startApp({ rateLimit: { max: 2, windowMs: 60_000 } });
    expect(await repeat(2, () => app.send(MAIL))).toEqual([202, 202]);
    const answer = await app.send('not even JSON');
    expect(answer.statusCode).toBe(429);
    expect(answer.json()).toMatchObject({ code: 'rate_limited', retryable: true });
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    expect(Number(answer.headers['retry-after'])).toBeLessThanOrEqual(60);
    expect(answer.headers.ratelimit).toMatch(/^"key";r=0;t=\d+$/);
    expect(app.accepted).toHaveLength(2);
  });

  test('is separate for each key', async () => {
    await using app = await startApp({ rateLimit: { max: 1, windowMs: 60_000 } });
    await app.send(MAIL);
    expect((await app.send(MAIL)).statusCode).toBe(429);
    expect((await app.send(MAIL, SHOP)).statusCode).toBe(202);
  });

  test('can be set in API_KEYS', async () => {
    const crm = aKey(CRM_SECRET, { rateLimit: { max: 1, windowMs: 90_500 } });
    const apiKeys = createApiKeys([crm, aKey(SHOP_SECRET, { name: 'shop' })], createMemorySharedState());
    await using app = await startApp({ apiKeys, rateLimit: { max: 600, windowMs: 60_000 } });
    const taken = await app.get('/accounts');
    expect([taken.statusCode, taken.headers['ratelimit-policy']]).toEqual([200, '"key";q=1;w=91']);
    const refused = await app.get('/accounts');
    expect([refused.statusCode, refused.headers['ratelimit-policy']]).toEqual([429, '"key";q=1;w=91']);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(60);
    expect((await app.get('/accounts', SHOP)).headers['ratelimit-policy']).toBe('"key";q=600;w=60');
  });

  test('changes as soon as the key gets another limit', async () => {
    const apiKeys = createApiKeys(
      [aKey(CRM_SECRET, { rateLimit: { max: 1, windowMs: 60_000 } })],
      createMemorySharedState(),
    );
    await using app = await startApp({ apiKeys, rateLimit: { max: 2, windowMs: 60_000 } });
    expect(await repeat(2, () => app.get('/accounts'))).toEqual([200, 429]);
    apiKeys.replace([aKey(CRM_SECRET, { rateLimit: { max: 5, windowMs: 30_000 } })]);
    const taken = await app.get('/accounts');
    expect(taken.headers).toMatchObject({
      'ratelimit-policy': '"key";q=5;w=30',
      ratelimit: expect.stringMatching(/^"key";r=3;t=(30|29)$/),
    });
    apiKeys.replace([aKey(CRM_SECRET)]);
    const refused = await app.get('/accounts');
    expect([refused.statusCode, refused.headers['ratelimit-policy']]).toEqual([429, '"key";q=2;w=60']);
  });

  test('does not count requests that need no key', async () => {
    await using app = await startApp({ rateLimit: { max: 1, windowMs: 60_000 } });
    expect(await repeat(100, () => app.get('/livez', {}))).toEqual(Array(100).fill(200));
    expect((await app.get('/readyz', CRM)).headers).not.toHaveProperty('ratelimit');
  });
});

describe('a batch', () => {
  const MAX = 20;
  const start = () => startApp({ rateLimit: { max: MAX, windowMs: 60_000 } });
  const batch = (app: AppUnderTest, messages: readonly unknown[], headers: Record<string, string> = {}) =>
    app.inject({ method: 'POST', url: '/send/batch', headers: { ...CRM, ...headers }, body: { messages } });
  const emails = (app: AppUnderTest, list: readonly unknown[]) =>
    app.inject({ method: 'POST', url: '/emails/batch', headers: CRM, body: list as object });
  const EMAIL = { ...MAIL, from: 'no-reply@acme.com' };
  const DRY = { ...MAIL, dry_run: true };

  function leftIn(answer: { headers: Record<string, unknown> }): unknown {
    const [policy] = parseList(String(answer.headers['ratelimit-policy']));
    expect([policy?.[0], Object.fromEntries(policy?.[1] ?? [])]).toEqual(['key', { q: MAX, w: 60 }]);
    const [left] = parseList(String(answer.headers.ratelimit));
    expect(left?.[1]?.get('t')).toBeGreaterThan(0);
    return left?.[1]?.get('r');
  }

  test('costs one request per message, including dry runs and refused messages', async () => {
    await using app = await start();
    expect(leftIn(await batch(app, [MAIL, DRY, DRY, { ...MAIL, to: 'ada' }]))).toBe(MAX - 4);
    expect(leftIn(await batch(app, [MAIL]))).toBe(MAX - 5);
    expect(leftIn(await emails(app, [EMAIL, EMAIL, EMAIL]))).toBe(MAX - 8);
    expect(leftIn(await app.send(MAIL))).toBe(MAX - 9);
  });

  test.each(['/send/batch', '/emails/batch'])(
    'to %s that exceeds the rest of the window gets 429, accepts nothing and costs one request',
    async (url) => {
      await using app = await start();
      const send = (count: number) =>
        url === '/send/batch' ? batch(app, Array(count).fill(MAIL)) : emails(app, Array(count).fill(EMAIL));
      expect((await send(12)).statusCode).toBeLessThan(300);
      const refused = await send(9);
      expect([refused.statusCode, refused.json().code, refused.json().retryable]).toEqual([
        429,
        'rate_limited',
        true,
      ]);
      expect(refused.body).toContain(
        'The batch counts as 9 messages, more than remain in this window. Nothing was accepted.',
      );
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
      expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(60);
      expect(leftIn(refused)).toBe(7);
      expect(app.accepted).toHaveLength(12);
      expect(leftIn(await send(7))).toBe(0);
      expect(app.accepted).toHaveLength(19);
    },
  );

  test('above the limit of a whole window gets 422 with the number of messages and the limit', async () => {
    await using app = await start();
    const refused = await batch(app, Array(MAX + 1).fill(DRY));
    expect(refused.statusCode).toBe(422);
    expect(refused.json()).toMatchObject({
      code: 'validation_failed',
      errors: [
        {
          pointer: '/messages',
          code: 'too_many',
          detail: expect.stringContaining(`at most ${MAX} in one batch`),
        },
      ],
    });
    expect(leftIn(refused)).toBe(MAX - 1);
    const email = await emails(app, Array(MAX + 1).fill(EMAIL));
    expect([email.statusCode, email.json().errors]).toMatchObject([422, [{ pointer: '', code: 'too_many' }]]);
    expect(app.accepted).toEqual([]);
  });

  test('equal to the limit passes in a new window', async () => {
    await using app = await start();
    expect((await batch(app, Array(MAX).fill(MAIL))).statusCode).toBe(202);
    expect((await app.send(MAIL)).statusCode).toBe(429);
  });

  test('is subject to the limit of its key in API_KEYS', async () => {
    const crm = aKey(CRM_SECRET, { rateLimit: { max: 3, windowMs: 1000 } });
    const apiKeys = createApiKeys([crm, aKey(SHOP_SECRET, { name: 'shop' })], createMemorySharedState());
    await using app = await startApp({ apiKeys, rateLimit: { max: 600, windowMs: 60_000 } });
    const four = Array(4).fill(MAIL);
    expect([(await batch(app, four)).statusCode, (await batch(app, four, SHOP)).statusCode]).toEqual([
      422, 202,
    ]);
  });

  test('that is refused as a whole, or repeated with its Idempotency-Key, costs one request only', async () => {
    await using app = await start();
    const key = { 'idempotency-key': 'k' };
    const other = [EMAIL, { ...EMAIL, to: 'ada' }, EMAIL];
    expect(leftIn(await batch(app, []))).toBe(MAX - 1);
    expect(leftIn(await emails(app, other))).toBe(MAX - 2);
    expect(leftIn(await batch(app, Array(5).fill(MAIL), key))).toBe(MAX - 7);
    const replayed = await batch(app, Array(5).fill(MAIL), key);
    expect([replayed.headers['idempotency-replayed'], leftIn(replayed)]).toEqual(['true', MAX - 8]);
  });

  test('refused by the limit releases its Idempotency-Key', async () => {
    const apiKeys = createApiKeys(
      [aKey(CRM_SECRET, { rateLimit: { max: 5, windowMs: 60_000 } })],
      createMemorySharedState(),
    );
    await using app = await startApp({ apiKeys });
    const key = { 'idempotency-key': 'k' };
    await app.send(MAIL);
    expect((await batch(app, Array(5).fill(MAIL), key)).statusCode).toBe(429);
    apiKeys.replace([aKey(CRM_SECRET, { rateLimit: { max: 50, windowMs: 60_000 } })]);
    expect((await batch(app, Array(5).fill(MAIL), key)).statusCode).toBe(202);
  });

  test('and concurrent ones pass until the limit', async () => {
    await using app = await start();
    const answers = await Promise.all(Array.from({ length: 5 }, () => batch(app, Array(6).fill(MAIL))));
    expect(answers.map(({ statusCode }) => statusCode).toSorted()).toEqual([202, 202, 202, 429, 429]);
    expect(app.accepted).toHaveLength(18);
  });
});

describe('the limit of an address', () => {
  test('stops a flood of invalid keys', async () => {
    await using app = await startApp();
    expect(await repeat(61, () => app.get('/messages/msg_1', WRONG))).toEqual([...Array(60).fill(401), 429]);
    const answer = await app.get('/messages/msg_1', WRONG);
    expect(answer.json().code).toBe('rate_limited');
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    expect(answer.headers).not.toHaveProperty('ratelimit');
  });

  test.each([
    ['requests without a key', () => ({ method: 'POST', url: '/send' }) as const, 401],
    ['unknown routes', () => ({ method: 'GET', url: `/${Math.random()}` }) as const, 404],
    ['methods that are not allowed', () => ({ method: 'DELETE', url: '/livez' }) as const, 405],
    ['unknown problems', () => ({ method: 'GET', url: '/problems/none' }) as const, 404],
  ])('stops a flood of %s', async (_, request, status) => {
    await using app = await startApp();
    expect(await repeat(61, () => app.inject(request()))).toEqual([...Array(60).fill(status), 429]);
  });

  test('does not apply to a valid key', async () => {
    await using app = await startApp();
    await repeat(61, () => app.get('/messages/msg_1', WRONG));
    expect((await app.send(MAIL)).statusCode).toBe(202);
    expect(await repeat(70, () => app.get('/nowhere'))).toEqual(Array(70).fill(404));
  });

  test('is shared by an IPv6 /64 and separate for the next one', async () => {
    await using app = await startApp();
    await repeat(30, from(app, '2001:db8::1'));
    await repeat(30, from(app, '2001:db8::ffff:2'));
    expect((await from(app, '2001:db8::3')()).statusCode).toBe(429);
    expect((await from(app, '2001:db8:0:1::1')()).statusCode).toBe(401);
  });

  test('is shared by an IPv4 address and its IPv4-mapped IPv6 address', async () => {
    await using app = await startApp();
    await repeat(60, from(app, '192.0.2.1'));
    expect((await from(app, '::ffff:192.0.2.1')()).statusCode).toBe(429);
    expect((await from(app, '::ffff:192.0.2.2')()).statusCode).toBe(401);
  });

  test('cannot be avoided with X-Forwarded-For', async () => {
    await using app = await startApp();
    const statuses = await repeat(61, () =>
      from(app, '192.0.2.1', { ...WRONG, 'x-forwarded-for': `198.51.100.${Math.random()}` })(),
    );
    expect(statuses.at(-1)).toBe(429);
  });

  test('applies to the client behind a trusted proxy', async () => {
    await using app = await startApp({ trustProxy: ['192.0.2.0/24', '::1'] });
    const behind = (client: string, proxy = '192.0.2.1') =>
      from(app, proxy, { ...WRONG, 'x-forwarded-for': client });
    await repeat(60, behind('203.0.113.1'));
    expect((await behind('203.0.113.1', '::1')()).statusCode).toBe(429);
    expect((await behind('203.0.113.2')()).statusCode).toBe(401);
    // The client controls everything before the address that the proxy appended.
    expect((await behind('203.0.113.9, 203.0.113.1')()).statusCode).toBe(429);
    await repeat(60, behind('203.0.113.3', '198.51.100.1'));
    expect((await behind('203.0.113.4', '198.51.100.1')()).statusCode).toBe(429);
  });
});
