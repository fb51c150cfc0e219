import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { startEndpoint } from '../helpers/endpoint.ts';
import { hasRedis, type RedisServer, startRedis } from '../helpers/redis.ts';
import { APP_PASSWORD, type ServiceUnderTest, startService } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };
const SLOW = { ...HELLO, to: 'slow+500ms@simulator.test' };
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 'key').toString('base64')}`;

interface Setup {
  readonly env?: Record<string, string>;
  readonly password?: string;
  readonly count?: number;
}

/** Starts two or more instances that share one Redis and one Gmail. */
async function start({ env = {}, password = APP_PASSWORD, count = 2 }: Setup = {}) {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis(['appendonly yes', 'appendfsync always']));
  const gmail = stack.use(await startSimulator({ password: APP_PASSWORD }));
  const options = {
    smtp: gmail.url,
    ca: gmail.ca,
    env: { GMAIL_USER: gmail.user, GMAIL_APP_PASSWORD: password, QUEUE_URL: redis.url(), ...env },
  };
  const services: ServiceUnderTest[] = [];
  for (let i = 0; i < count; i++) services.push(stack.use(await startService(options)));
  const owned = stack.move();
  onTestFinished(() => owned.disposeAsync());
  const [one, other] = services as [ServiceUnderTest, ServiceUnderTest];
  return { redis, gmail, services, one, other };
}

async function accounts(service: ServiceUnderTest) {
  const { body } = await service.request('/accounts');
  return (
    body as unknown as {
      accounts: [{ status: string; code: string | null; quota: { messages: { used: number } } }];
    }
  ).accounts;
}

/** Kills Redis, runs `check`, restarts Redis, and waits until all instances are ready. */
async function without(
  redis: RedisServer,
  services: readonly ServiceUnderTest[],
  check: () => Promise<void>,
): Promise<void> {
  await redis.kill();
  await check();
  await redis.restart();
  for (const service of services) {
    await expect.poll(async () => (await service.request('/readyz')).status, { timeout: 10_000 }).toBe(200);
  }
}

describe.skipIf(!hasRedis)('instances that share a queue (with redis-server)', () => {
  test('return, list and cancel messages that another accepted, with durability redis', async () => {
    const { one, other } = await start();
    const later = { ...HELLO, scheduled_at: new Date(Date.now() + 3_600_000).toISOString() };
    const { body } = await one.send(later);
    expect(await other.get(body.id)).toMatchObject({ id: body.id, status: 'scheduled', durability: 'redis' });
    const list = (await other.request('/messages')).body as unknown as { messages: { id: string }[] };
    expect(list.messages.map(({ id }) => id)).toEqual([body.id]);
    const canceled = await other.request(`/messages/${body.id}/cancel`, { method: 'POST' });
    expect([canceled.status, (await one.get(body.id)).status]).toEqual([200, 'canceled']);
  });

  test('let a request wait at one instance for a message that another sends', async () => {
    // The first instance has the only connection, so it sends all messages.
    const { one, other, gmail } = await start({ env: { SMTP_CONNECTIONS: '1' } });
    const [here, there] = await Promise.all([one.send(SLOW, { wait: 20 }), other.send(SLOW, { wait: 20 })]);
    expect([here.status, here.body.status, there.status, there.body.status]).toEqual([
      200,
      'sent',
      200,
      'sent',
    ]);
    expect(gmail.counters).toMatchObject({ connections: 1, logins: 1 });
  });

  test('create one message when both get a request with the same Idempotency-Key', async () => {
    const { one, other, gmail } = await start();
    const headers = { 'idempotency-key': 'k' };
    const first = await one.send(HELLO, { headers });
    const again = await other.send(HELLO, { headers });
    expect([again.status, again.body.id, again.headers.get('idempotency-replayed')]).toEqual([
      202,
      first.body.id,
      'true',
    ]);
    await other.settled(first.body.id);
    expect(gmail.messages).toHaveLength(1);
  });

  test('let a repeated request wait for a message that another accepted, even if the first client left', async () => {
    const { one, other, gmail } = await start();
    const headers = { 'idempotency-key': 'k' };
    const impatient = new AbortController();
    const first = one.send(SLOW, { wait: 30, headers, signal: impatient.signal });
    await gmail.waitFor(({ transactions }) => transactions.length > 0);
    const meanwhile = other.send(SLOW, { wait: 20, headers });
    impatient.abort();
    await expect(first).rejects.toThrow();
    const again = await meanwhile;
    expect([again.status, again.body.status, again.headers.get('idempotency-replayed')]).toEqual([
      200,
      'sent',
      'true',
    ]);
    expect((await one.send(SLOW, { headers })).body).toEqual(again.body);
    expect(gmail.messages).toHaveLength(1);
  });

  test('let a GET wait at one instance for a message that another sends', async () => {
    const { one, other } = await start();
    const { body } = await one.send(SLOW);
    const responses = await Promise.all(
      [one, other].map((each) => each.request(`/messages/${body.id}`, { headers: { prefer: 'wait=20' } })),
    );
    expect(responses.map(({ body: message }) => message.status)).toEqual(['sent', 'sent']);
  });

  test('count the requests and the daily messages of a key together', async () => {
    const keys = JSON.stringify([
      { name: 'crm', secret: 'crm-secret-0123456789-abcdefghij', scopes: ['send', 'read'], daily_limit: 3 },
    ]);
    const { one, other } = await start({ env: { RATE_LIMIT: '5/1m', API_KEYS: keys } });
    const responses = [
      await one.send(HELLO),
      await other.send(HELLO),
      await one.send(HELLO),
      await other.send(HELLO),
    ];
    expect(responses.map(({ status }) => status)).toEqual([202, 202, 202, 429]);
    expect(responses[3]?.body.detail).toContain('daily_limit');
    expect((await one.send(HELLO)).headers.get('ratelimit')).toMatch(/"key";r=0/);
    const sixth = await other.request('/accounts');
    expect([sixth.status, sixth.body.code]).toEqual([429, 'rate_limited']);
  });

  test('count the messages of batches together, each batch in one step', async () => {
    const { one, other } = await start({ env: { RATE_LIMIT: '20/1m' } });
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ messages: Array(6).fill({ ...HELLO, dry_run: true }) });
    const responses = await Promise.all(
      Array.from({ length: 5 }, (_, i) =>
        (i % 2 ? one : other).request('/send/batch', { method: 'POST', headers, body }),
      ),
    );
    expect(responses.map(({ status }) => status).toSorted()).toEqual([202, 202, 202, 429, 429]);
    expect((await one.request('/accounts')).headers.get('ratelimit')).toMatch(/^"key";r=0/);
    expect((await other.request('/accounts')).status).toBe(429);
  });

  test('try a wrong password once, and both pause', async () => {
    const { one, other, gmail } = await start({ password: 'wrongwrongwrongw' });
    const [here, there] = await Promise.all([one.send(HELLO, { wait: 20 }), other.send(HELLO, { wait: 20 })]);
    expect([here.status, here.body.status, there.status, there.body.status]).toEqual([
      202,
      'deferred',
      202,
      'deferred',
    ]);
    for (const service of [one, other])
      expect(await accounts(service)).toMatchObject([{ status: 'paused', code: 'bad_credentials' }]);
    expect(gmail.counters.failedLogins).toBeLessThanOrEqual(2);
  });

  test('send no more together than the daily quota of the account', async () => {
    const { one, other, gmail } = await start({ env: { GMAIL_DAILY_MESSAGES: '5', GMAIL_RESERVE: '0%' } });
    const sent = await Promise.all(Array.from({ length: 12 }, (_, i) => (i % 2 ? one : other).send(HELLO)));
    const ids = sent.map(({ body }) => body.id);
    await expect.poll(async () => (await one.tally(ids)).sent, { timeout: 20_000 }).toBe(5);
    await expect
      .poll(
        async () =>
          (await Promise.all(ids.map((id) => other.get(id)))).filter(({ status }) => status === 'deferred')
            .length,
      )
      .toBe(7);
    expect(gmail.messages).toHaveLength(5);
    expect((await accounts(other))[0].quota.messages.used).toBe(5);
  });

  test('deliver each event to an endpoint once', async () => {
    await using endpoint = await startEndpoint();
    const url = `http://127.0.0.1:${endpoint.port}/hooks`;
    const { one, other } = await start({
      env: { WEBHOOK_URL: url, WEBHOOK_SECRET, WEBHOOK_ALLOWED_HOSTS: '127.0.0.1' },
    });
    const sent = await Promise.all(Array.from({ length: 10 }, (_, i) => (i % 2 ? one : other).send(HELLO)));
    await expect.poll(() => endpoint.heard.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(10);
    await Promise.all([one.close(), other.close()]);
    const events = endpoint.heard.map(
      ({ body }) => JSON.parse(body) as { type: string; data: { id: string } },
    );
    expect(events.map(({ data }) => data.id).toSorted()).toEqual(sent.map(({ body }) => body.id).toSorted());
    expect(new Set(events.map(({ type }) => type))).toEqual(new Set(['message.sent']));
  });

  test('report that the account resumed after the instance that reached no server has stopped', async () => {
    await using endpoint = await startEndpoint();
    await using redis = await startRedis();
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    const url = `http://127.0.0.1:${endpoint.port}`;
    const env = {
      GMAIL_USER: gmail.user,
      QUEUE_URL: redis.url(),
      WEBHOOK_URL: `${url}/hooks`,
      WEBHOOK_SECRET,
      WEBHOOK_ALLOWED_HOSTS: '127.0.0.1',
      ALERT_WEBHOOK_URL: `${url}/alerts`,
    };
    await using cutOff = await startService({ smtp: 'smtp://127.0.0.1:1', ca: gmail.ca, env });
    const { body } = await cutOff.send(HELLO);
    const heard = (path: string, text: string) =>
      vi.waitFor(
        () =>
          expect(
            endpoint.heard.filter((call) => call.path === path && call.body.includes(text)),
          ).toHaveLength(1),
        { timeout: 20_000 },
      );
    await heard('/hooks', '"account.paused"');
    await heard('/alerts', 'is paused');
    await using other = await startService({ smtp: gmail.url, ca: gmail.ca, env });
    await cutOff.close();
    expect(await other.settled(body.id)).toMatchObject({ status: 'sent' });
    await heard('/hooks', '"account.resumed"');
    await heard('/alerts', 'sends again');
  });

  test('send the remaining messages of an instance that stops', async () => {
    const { services, one, other, gmail } = await start({ count: 3, env: { SMTP_CONNECTIONS: '3' } });
    const third = services[2] as ServiceUnderTest;
    const sent = await Promise.all(
      Array.from({ length: 9 }, () => third.send({ ...HELLO, to: 'slow+200ms@simulator.test' })),
    );
    await third.close();
    for (const [i, { body }] of sent.entries()) {
      expect(await (i % 2 ? one : other).settled(body.id)).toMatchObject({
        status: 'sent',
        possible_duplicate: false,
      });
    }
    expect(gmail.messages).toHaveLength(9);
  });

  test('refuse requests at once while Redis is away, and recover when it is back', async () => {
    const { redis, one, other, gmail } = await start();
    const before = await one.send({ ...HELLO, scheduled_at: new Date(Date.now() + 1500).toISOString() });
    await without(redis, [one, other], async () => {
      for (const service of [one, other]) {
        const startedAt = performance.now();
        const { status, body, headers } = await service.send(HELLO);
        expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'queue_unavailable', '5']);
        expect(performance.now() - startedAt).toBeLessThan(3000);
        expect((await service.request('/readyz')).body).toMatchObject({ code: 'queue_unavailable' });
        expect((await service.request('/livez')).status).toBe(200);
      }
    });
    const after = await other.send(HELLO, { wait: 20 });
    expect([after.status, after.body.status]).toEqual([200, 'sent']);
    expect(await one.settled(before.body.id)).toMatchObject({ status: 'sent' });
    expect(gmail.messages).toHaveLength(2);
  });

  test('record the outcome of an attempt that ended while Redis was away, and do not send it again', async () => {
    const { redis, one, other, gmail } = await start();
    const { body } = await one.send({ ...HELLO, to: 'slow+800ms@simulator.test' });
    await expect.poll(async () => (await other.get(body.id)).status).toBe('sending');
    await without(redis, [one, other], async () => {
      await gmail.waitFor(({ messages }) => messages.length === 1);
    });
    expect(await other.settled(body.id)).toMatchObject({
      status: 'sent',
      possible_duplicate: false,
      attempts: [{ number: 1 }],
    });
    expect(gmail.messages).toHaveLength(1);
  });
});

test.skipIf(!hasRedis)(
  'a Redis that may lose data causes warnings at startup (with redis-server)',

  async () => {
    await using redis = await startRedis(['appendonly no', 'maxmemory-policy allkeys-lru']);
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    await using service = await startService({
      smtp: gmail.url,
      ca: gmail.ca,
      env: { GMAIL_USER: gmail.user, QUEUE_URL: redis.url() },
    });
    const warnings = service.logs
      .filter(({ level }) => level === 'warn' || level === 40)
      .map(({ msg }) => msg);
    expect(warnings).toEqual([
      expect.stringContaining('appendonly'),
      expect.stringContaining('maxmemory-policy'),
    ]);
  },
);
