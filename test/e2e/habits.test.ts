import { describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { APP_PASSWORD, type MessageAnswer, type ServiceUnderTest } from '../helpers/service.ts';
import { accountsOf, sendMany, startWithGmail } from '../helpers/smtp/gmail.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };
const USER = 'bot@simulator.test';

function start(options: Parameters<typeof startWithGmail>[0] = {}) {
  return startWithGmail({ backoffScale: 0.0005, ...options });
}

/** Resolves with the messages once all are settled. */
async function outcomes(service: ServiceUnderTest, ids: readonly string[]): Promise<MessageAnswer[]> {
  return Promise.all(ids.map((id) => service.settled(id)));
}

function pauses(service: ServiceUnderTest): unknown[] {
  return service.logs.filter(({ msg }) => msg === 'account paused').map(({ code }) => code);
}

/** Recipients of every copy, sorted, with repetitions. */
function copies(gmail: Simulator): string[] {
  return gmail.messages.flatMap(({ recipients }) => recipients).toSorted();
}

describe('Gmail’s daily limit', () => {
  test('fails no message when it is reached: the rest goes out once each, as the window frees', async () => {
    await using app = await start();
    app.gmail.setDailyLimit({ messages: 30, windowMs: 1000 });
    const ids = await sendMany(app.service, 75, HELLO);
    for (const message of await outcomes(app.service, ids))
      expect(message).toMatchObject({ status: 'sent', attempts: [{ number: 1 }] });
    expect(app.gmail.counters.accepted).toBe(75);
    expect(new Set(pauses(app.service))).toEqual(new Set(['daily_limit_reached']));
  });
});

describe.concurrent('a request of Gmail to slow down', () => {
  test.each(['try-again-later', 'relay-peak'] as const)(
    'by %s pauses the account, halves its connections, and fails no message',
    async (reply) => {
      await using app = await start({ env: { SMTP_CONNECTIONS: '4' }, backoffScale: 0.001 });
      await outcomes(app.service, await sendMany(app.service, 20, HELLO));
      app.gmail.throttle(1, reply);
      const ids = await sendMany(app.service, 20, HELLO);
      for (const message of await outcomes(app.service, ids))
        expect(message).toMatchObject({ status: 'sent', attempts: [{ number: 1 }] });
      expect(pauses(app.service)).toEqual(['throttled']);
      expect(await accountsOf(app.service)).toMatchObject([
        { status: 'ready', connections: { max: 4, allowed: 2 } },
      ]);
    },
  );
});

describe('TLS interception while the service runs', () => {
  test('pauses the account, sends nothing in the clear, and ends the pause when the right certificate is back', async () => {
    await using app = await start();
    await outcomes(app.service, await sendMany(app.service, 3, HELLO));
    app.gmail.setCertificate('intercepted');
    const ids = await sendMany(app.service, 10, HELLO);
    await app.gmail.waitFor(() => pauses(app.service).length >= 3);
    expect(await app.service.tally(ids)).toEqual({ waiting: 10 });
    app.gmail.setCertificate('trusted');
    for (const message of await outcomes(app.service, ids)) expect(message.status).toBe('sent');
    expect(new Set(pauses(app.service))).toEqual(new Set(['tls_failed']));
    expect(app.gmail.messages.every(({ secure }) => secure)).toBe(true);
  });
});

describe('a message to many recipients', () => {
  const people = Array.from({ length: 11 }, (_, i) => `p${i}@example.com`);

  test.each([
    ['few-recipients+4', 'refuses each recipient after the fourth'],
    ['separate-transaction+3', 'wants a separate transaction for each further recipient'],
    ['recipients-limit+5', 'refuses the whole message for more than five'],
  ])(
    'is sent in parts when %s, which %s, is among them, and each recipient gets one copy',
    async (script) => {
      await using app = await start();
      const to = [`${script}@simulator.test`, ...people];
      const { status, body } = await app.service.send({ ...HELLO, to }, { wait: 15 });
      expect(status).toBe(200);
      expect(body).toMatchObject({ status: 'sent', error: null, possible_duplicate: false });
      expect(copies(app.gmail)).toEqual(to.toSorted());
      expect(new Set(app.gmail.messages.map(({ raw }) => raw)).size).toBe(1);
      expect(app.gmail.messages.length).toBeGreaterThan(1);
    },
  );
});

describe('From', () => {
  test('that no account owns moves to Reply-To with FROM_POLICY=rewrite, so Gmail has nothing to rewrite', async () => {
    await using app = await start({ env: { FROM_POLICY: 'rewrite', GMAIL_FROM: `Acme <${USER}>` } });
    const { status, body } = await app.service.send(
      { ...HELLO, from: 'Ada <ada@partner.example>' },
      { wait: 10 },
    );
    expect(status).toBe(200);
    expect(body.from).toEqual({ email: USER, name: 'Ada' });
    expect(body.reply_to).toEqual([{ email: 'ada@partner.example', name: 'Ada' }]);
    const warnings = [
      {
        code: 'from_rewritten',
        detail: `No account owns ada@partner.example, and FROM_POLICY is rewrite: the message is sent from ${USER}.`,
      },
    ];
    expect(body.warnings).toEqual(warnings);
    const preview = await app.service.send({ ...HELLO, from: 'Ada <ada@partner.example>', dry_run: true });
    expect(preview.body.warnings).toEqual(warnings);
    expect(app.gmail.messages[0]?.raw).toMatch(/^From: Ada <bot@simulator\.test>$/m);
    expect(app.gmail.messages[0]?.raw).toMatch(/^Reply-To: Ada <ada@partner\.example>$/m);
    expect(app.gmail.messages[0]?.rewrittenFrom).toBeNull();
  });

  test('that no account owns is refused by default, with the field and the fix', async () => {
    await using app = await start();
    const { status, body } = await app.service.send({ ...HELLO, from: 'ada@partner.example' });
    expect(status).toBe(403);
    expect(body).toMatchObject({
      code: 'sender_not_allowed',
      errors: [{ pointer: '/from' }],
      hint: expect.stringContaining('GMAIL_ALIASES'),
    });
    const preview = await app.service.send({ ...HELLO, from: 'ada@partner.example', dry_run: true });
    expect(preview.status).toBe(403);
  });

  test('selects the account, and a fallback account that owns the address takes over', async () => {
    const accounts = [
      { user: 'browser-sign-in@simulator.test', app_password: APP_PASSWORD, aliases: ['shared@acme.test'] },
      {
        user: 'sales@simulator.test',
        app_password: APP_PASSWORD,
        aliases: ['shared@acme.test', 'sales@acme.test'],
      },
    ];
    await using app = await start({
      backoffScale: 1,
      env: { GMAIL_USER: '', GMAIL_APP_PASSWORD: '', GMAIL_ACCOUNTS: JSON.stringify(accounts) },
    });
    const stuck = await app.service.send(HELLO, { wait: 10 });
    expect(stuck.body).toMatchObject({
      status: 'deferred',
      from: { email: 'browser-sign-in@simulator.test' },
      error: { code: 'web_login_required' },
    });
    const shared = await sendMany(app.service, 10, { ...HELLO, from: 'shared@acme.test' });
    const sales = await sendMany(app.service, 5, { ...HELLO, from: 'Sales <sales@acme.test>' });
    for (const { status, attempts } of await outcomes(app.service, [...shared, ...sales])) {
      expect([status, attempts.map(({ account }) => account)]).toEqual(['sent', ['sales@simulator.test']]);
    }
    expect(await accountsOf(app.service)).toMatchObject([
      { user: 'browser-sign-in@simulator.test', status: 'paused', code: 'web_login_required' },
      { user: 'sales@simulator.test', status: 'ready', quota: { messages: { used: 15 } } },
    ]);
    expect(app.gmail.counters).toMatchObject({ failedLogins: 1, accepted: 15 });
  });
});
