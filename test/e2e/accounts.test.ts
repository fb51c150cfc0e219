import { describe, expect, test } from 'vitest';
import type { AccountResource } from '../../src/http/schemas/account.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import type { ServiceUnderTest } from '../helpers/service.ts';
import { accountsOf, sendMany, startWithGmail } from '../helpers/smtp/gmail.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };

async function verify(service: ServiceUnderTest, user: string) {
  const answer = await service.request(`/accounts/${user}/verify`, { method: 'POST' });
  return { ...answer, body: answer.body as unknown as AccountResource & { detail: string } };
}

/** Resolves with the only account once it is paused. */
async function paused(service: ServiceUnderTest): Promise<AccountResource> {
  for (;;) {
    const [account] = await accountsOf(service);
    if (account?.status === 'paused') return account;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function copiesOf(gmail: Simulator): string[] {
  return gmail.messages.map(({ raw }) => /^message-id: <(msg_\w+)@/im.exec(raw)?.[1] ?? '').toSorted();
}

describe('an account whose login is refused', { timeout: 60_000 }, () => {
  test('with 1,000 messages waiting logs in once, then only probes, and sends each message once after the login works', async () => {
    // Probes follow after 0.6 s, 1.2 s, 2.4 s, …
    await using app = await startWithGmail({
      retain: 5000,
      backoffScale: 0.01,
      env: { SMTP_CONNECTIONS: '5' },
    });
    app.gmail.setLoginFault('bad-credentials');
    const ids = await sendMany(app.service, 1000, HELLO);
    await expect.poll(() => app.service.tally(ids), { timeout: 20_000 }).toEqual({ waiting: 1000 });
    const account = await paused(app.service);
    expect(account).toMatchObject({
      code: 'bad_credentials',
      smtp: { code: 535 },
      hint: expect.stringContaining('app password'),
    });
    expect(Date.parse(account.until ?? '')).toBeGreaterThan(Date.parse(account.since ?? ''));

    await app.gmail.waitFor(({ counters }) => counters.failedLogins >= 3);
    app.gmail.setLoginFault(null);
    await app.gmail.waitFor(({ counters }) => counters.accepted >= 1000);
    for (const id of ids) expect((await app.service.settled(id)).status).toBe('sent');
    expect(copiesOf(app.gmail)).toEqual(ids.toSorted());
    const pauses = app.service.logs.filter(({ msg }) => msg === 'account paused').length;
    expect(app.gmail.counters.failedLogins).toBe(pauses);
    expect(pauses).toBeLessThanOrEqual(5);
    expect(await accountsOf(app.service)).toMatchObject([
      { status: 'ready', code: null, since: null, quota: { messages: { used: 1000 } } },
    ]);
  });

  test('is shown with code, since, until and hint, and a waiting caller gets its 202 at once', async () => {
    await using app = await startWithGmail({ backoffScale: 1 });
    app.gmail.setLoginFault('app-password-required');
    await sendMany(app.service, 1, HELLO);
    expect(await paused(app.service)).toMatchObject({
      user: 'bot@simulator.test',
      status: 'paused',
      code: 'app_password_required',
      hint: expect.stringContaining('https://myaccount.google.com/apppasswords'),
      since: expect.stringMatching(/^\d{4}-.*Z$/),
      until: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    const startedAt = performance.now();
    const { status, body } = await app.service.send(HELLO, { wait: 20 });
    expect(status).toBe(202);
    expect(body).toMatchObject({
      status: 'deferred',
      error: { code: 'app_password_required', scope: 'account' },
      attempts: [],
    });
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });

  test('resumes through POST /accounts/{user}/verify, which sends waiting messages ahead of their next attempt', async () => {
    await using app = await startWithGmail({ backoffScale: 1 });
    app.gmail.setLoginFault('bad-credentials');
    const ids = await sendMany(app.service, 20, HELLO);
    await paused(app.service);
    app.gmail.setLoginFault(null);
    const { status, body } = await verify(app.service, 'bot@simulator.test');
    expect(status).toBe(200);
    expect(body).toMatchObject({ user: 'bot@simulator.test', status: 'ready', code: null });
    for (const id of ids) expect((await app.service.settled(id)).status).toBe('sent');
    expect(app.gmail.counters.failedLogins).toBe(1);
    expect(app.service.logs.filter(({ msg }) => msg === 'account resumed')).toHaveLength(1);
  });

  test('is probed once for a hundred concurrent verify requests', async () => {
    await using app = await startWithGmail({ backoffScale: 1 });
    app.gmail.setLoginFault('bad-credentials');
    const responses = await Promise.all(
      Array.from({ length: 100 }, () => verify(app.service, 'bot@simulator.test')),
    );
    expect(responses.filter(({ status }) => status === 200)).toMatchObject([
      { body: { status: 'paused', code: 'bad_credentials' } },
    ]);
    const refusals = responses.filter(({ status }) => status === 429);
    expect(refusals).toHaveLength(99);
    expect(refusals[0]?.headers.get('retry-after')).toMatch(/^[1-6]\d?$/);
    expect(app.gmail.counters.failedLogins).toBe(1);
  });

  test('returns 404 for an unknown account and 401 without a valid key', async () => {
    await using app = await startWithGmail();
    expect(await verify(app.service, 'nobody@simulator.test')).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    });
    expect(
      (await app.service.request('/accounts', { headers: { authorization: 'Bearer wrong' } })).status,
    ).toBe(401);
  });
});

describe('the budget of an account', { timeout: 60_000 }, () => {
  const budgetOf = (headers: Headers) =>
    /"account";r=(\d+);t=(\d+)/
      .exec(headers.get('ratelimit') ?? '')
      ?.slice(1)
      .map(Number);

  test('is reported with each message and counts what Gmail accepted', async () => {
    await using app = await startWithGmail({
      env: { GMAIL_DAILY_MESSAGES: '20', GMAIL_DAILY_RECIPIENTS: '50', GMAIL_RESERVE: '10%' },
    });
    const first = await app.service.send(
      { ...HELLO, to: ['ada@example.com', 'no-such-user@simulator.test'] },
      { wait: 10 },
    );
    expect(first.headers.get('ratelimit-policy')).toBe('"key";q=100000;w=60, "account";q=20;w=86400');
    // The message may or may not be in an attempt already when the response is sent.
    expect(budgetOf(first.headers)).toEqual([expect.toBeOneOf([17, 18]), 86_400]);
    await app.service.send({ ...HELLO, to: 'no-such-user@simulator.test' }, { wait: 10 });
    const third = await app.service.send(HELLO);
    expect(budgetOf(third.headers)?.[0]).toBeOneOf([16, 17]);
    const urgent = await app.service.send({ ...HELLO, priority: 'high', dry_run: true });
    expect(budgetOf(urgent.headers)?.[0]).toBeGreaterThanOrEqual(18);
    await app.service.settled(third.body.id);
    expect(await accountsOf(app.service)).toMatchObject([
      {
        status: 'ready',
        quota: {
          messages: { limit: 20, learned: null, used: 2, left: 18 },
          recipients: { limit: 50, used: 2, left: 48 },
          reserve: 0.1,
        },
      },
    ]);
  });

  test('defers mail until a slot frees when it is used up, while the reserve still sends high priority', async () => {
    await using app = await startWithGmail({
      backoffScale: 1,
      env: { GMAIL_DAILY_MESSAGES: '10', GMAIL_RESERVE: '20%' },
    });
    await Promise.all(Array.from({ length: 8 }, () => app.service.send(HELLO, { wait: 10 })));
    const { status, body } = await app.service.send(HELLO, { wait: 10 });
    expect(status).toBe(202);
    expect(body).toMatchObject({ status: 'deferred', error: { code: 'daily_limit_reached', smtp: null } });
    expect(Date.parse(body.next_attempt_at ?? '') - Date.now()).toBeGreaterThan(23 * 3_600_000);
    expect((await app.service.send({ ...HELLO, priority: 'high' }, { wait: 10 })).status).toBe(200);
    expect(app.gmail.counters.accepted).toBe(9);
    expect(app.service.logs.filter(({ msg }) => msg === 'mail waits for quota')).toHaveLength(1);
  });
});
