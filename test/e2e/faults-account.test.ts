import { describe, expect, test, vi } from 'vitest';
import type { ErrorCode } from '../../src/core/errors.ts';
import type { LoginFault } from '../../src/simulator/auth/authenticator.ts';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { type ServiceUnderTest, startService } from '../helpers/service.ts';
import type { FaultStage, ServerFault } from '../helpers/smtp/faulty-session.ts';
import { failAt, startFaultySmtp, startWithFaults } from '../helpers/smtp/faulty-smtp.ts';
import { sendMany, startWithGmail } from '../helpers/smtp/gmail.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };
/** Waits as in production, so an account stays paused while a test checks it. */
const REAL_TIME = 1;
/** Pauses of 30 ms to half a second. */
const QUICK = 0.0005;
const TIMEOUT_MS = 60_000;

/** Waits until every message is deferred by the account, and checks that none lost an attempt. */
async function expectDeferred(
  service: ServiceUnderTest,
  ids: readonly string[],
  code: ErrorCode,
): Promise<void> {
  for (const id of ids) {
    // Unlike expect.poll, vi.waitFor works in concurrent tests.
    await vi.waitFor(async () => expect((await service.get(id)).status).toBe('deferred'), TIMEOUT_MS);
    expect(await service.get(id)).toMatchObject({
      error: { code, scope: 'account', retryable: true },
      attempts: [],
      finished_at: null,
    });
  }
  expect(await service.tally(ids)).toEqual({ waiting: ids.length });
  expect(pausesOf(service)).toEqual([code]);
}

async function expectSent(service: ServiceUnderTest, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    expect(await service.settled(id)).toMatchObject({
      status: 'sent',
      possible_duplicate: false,
      attempts: [{ number: 1, error: null }],
    });
  }
  expect(await service.tally(ids)).toEqual({ sent: ids.length });
}

function pausesOf({ logs }: ServiceUnderTest): unknown[] {
  return logs.filter(({ msg }) => msg === 'account paused').map(({ code }) => code);
}

describe.concurrent('a server that does not encrypt', { timeout: TIMEOUT_MS }, () => {
  test.each([
    ['omits STARTTLS from its EHLO reply', 'ehlo', 'strip'],
    ['refuses STARTTLS', 'starttls', '454 4.7.0 TLS not available'],
  ] as const)(
    'because it %s never receives the password: the account pauses and mail waits',
    async (_, stage, fault) => {
      await using app = await startWithFaults((at) => (at === stage ? fault : null), {
        backoffScale: REAL_TIME,
      });
      await expectDeferred(app.service, await sendMany(app.service, 5, HELLO), 'tls_failed');
      expect(app.gmail.log).toMatchObject({ connections: 1, logins: 0, copies: [] });
      expect(app.gmail.log.unencryptedCommands).toEqual([expect.stringMatching(/^EHLO /), 'STARTTLS']);
    },
  );

  test('but injects a fake end of the login is not believed', async () => {
    await using app = await startWithFaults(failAt('starttls', 'inject'));
    const ids = await sendMany(app.service, 5, HELLO);
    await expectSent(app.service, ids);
    expect(app.gmail.log.unencryptedCommands.join()).not.toMatch(/AUTH|MAIL/);
    expect(app.gmail.log).toMatchObject({ logins: app.gmail.log.connections });
    const replies = await Promise.all(
      ids.map(async (id) => (await app.service.get(id)).attempts[0]?.smtp?.response),
    );
    expect(new Set(replies)).toEqual(new Set(['OK  1722933305 faulty - gsmtp']));
  });
});

describe.concurrent('a certificate that cannot be trusted', { timeout: TIMEOUT_MS }, () => {
  const WITHOUT_OUR_CA = { ca: '' };
  const expired = () => {
    const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.parse('2020-01-01T00:00:00Z'));
    const certificate = createCertificate(['localhost']);
    clock.mockRestore();
    return certificate;
  };

  test.each([
    [
      'is from an unknown authority',
      createCertificate(['localhost']),
      WITHOUT_OUR_CA,
      'SELF_SIGNED_CERT_IN_CHAIN',
    ],
    ['is for another host', createCertificate(['elsewhere.test']), {}, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['has expired', expired(), {}, 'CERT_HAS_EXPIRED'],
  ])(
    'because it %s pauses the account, and no login or mail is sent',
    async (_, certificate, setup, reason) => {
      await using gmail = await startFaultySmtp(() => null, certificate);
      await using service = await startService({
        smtp: gmail.url,
        ca: gmail.ca,
        backoffScale: REAL_TIME,
        ...setup,
      });
      const ids = await sendMany(service, 5, HELLO);
      await expectDeferred(service, ids, 'tls_failed');
      expect((await service.get(ids[0] ?? '')).error?.detail).toContain(reason);
      expect(gmail.log).toMatchObject({ connections: 1, logins: 0, copies: [] });
      expect(gmail.log.unencryptedCommands).toHaveLength(2);
    },
  );

  test('pauses the account on the implicit TLS port, too', async () => {
    await using gmail = await startSimulator();
    await using service = await startService({
      smtp: `smtps://localhost:${gmail.tlsPort}`,
      backoffScale: REAL_TIME,
    });
    await expectDeferred(service, await sendMany(service, 5, HELLO), 'tls_failed');
    expect(gmail.counters).toMatchObject({ connections: 1, logins: 0, failedLogins: 0, accepted: 0 });
  });
});

const LOGIN_FAULTS: readonly (readonly [LoginFault, ErrorCode])[] = [
  ['bad-credentials', 'bad_credentials'],
  ['app-password-required', 'app_password_required'],
  ['web-login', 'web_login_required'],
  ['too-many-logins', 'login_throttled'],
  ['authentication-required', 'bad_credentials'],
  ['cannot-decode', 'bad_credentials'],
  ['unknown-mechanism', 'bad_credentials'],
  ['temporary-problem', 'smtp_temporary_failure'],
];

describe.concurrent('a login that is refused', { timeout: TIMEOUT_MS }, () => {
  test.each(LOGIN_FAULTS)(
    'with %s causes one login for twenty messages, which wait with %s',
    async (fault, code) => {
      await using app = await startWithGmail({ backoffScale: REAL_TIME });
      app.gmail.setLoginFault(fault);
      await expectDeferred(app.service, await sendMany(app.service, 20, HELLO), code);
      expect(app.gmail.counters).toMatchObject({ logins: 0, failedLogins: 1, accepted: 0 });
    },
  );

  test.each(LOGIN_FAULTS)(
    'with %s recovers automatically: one login per pause, then each message is sent once',
    async (fault, code) => {
      await using app = await startWithGmail({ backoffScale: QUICK });
      app.gmail.setLoginFault(fault);
      const ids = await sendMany(app.service, 20, HELLO);
      await app.gmail.waitFor(({ counters }) => counters.failedLogins >= 2);
      app.gmail.setLoginFault(null);
      await expectSent(app.service, ids);
      expect(new Set(pausesOf(app.service))).toEqual(new Set([code]));
      expect(app.gmail.counters.failedLogins).toBe(pausesOf(app.service).length);
      expect(app.gmail.counters.accepted).toBe(20);
      expect(app.service.logs.filter(({ msg }) => msg === 'account resumed')).toHaveLength(1);
    },
  );
});

describe.concurrent('a limit of the account', { timeout: TIMEOUT_MS }, () => {
  const DAILY = '550 5.4.5 Daily user sending limit exceeded. faulty - gsmtp';
  const BUSY = '421 4.7.0 Try again later, closing connection. faulty - gsmtp';

  test('causes one transaction for twenty messages, which wait without failing', async () => {
    await using app = await startWithGmail({ backoffScale: REAL_TIME, env: { SMTP_CONNECTIONS: '1' } });
    await expectDeferred(
      app.service,
      await sendMany(app.service, 20, { ...HELLO, to: 'daily-limit@simulator.test' }),
      'daily_limit_reached',
    );
    expect(app.gmail.counters).toMatchObject({ logins: 1, transactions: 1, accepted: 0 });
  });

  test.each<[FaultStage, ServerFault, ErrorCode]>([
    ['data', DAILY, 'daily_limit_reached'],
    ['dot', DAILY, 'daily_limit_reached'],
    ['mail', BUSY, 'throttled'],
    ['dot', BUSY, 'throttled'],
    ['mail', '530 5.7.0 Authentication Required. faulty - gsmtp', 'bad_credentials'],
  ])(
    'reported at %s by %s costs no attempt, and each message is sent once after the limit has passed',
    async (stage, fault, code) => {
      await using app = await startWithFaults(failAt(stage, fault, 4), { backoffScale: QUICK / 10 });
      const ids = await sendMany(app.service, 20, HELLO);
      await expectSent(app.service, ids);
      expect(new Set(pausesOf(app.service))).toEqual(new Set([code]));
      const copies = app.gmail.log.copies.map(({ messageId }) => messageId.slice(1, messageId.indexOf('@')));
      expect(copies.toSorted()).toEqual(ids.toSorted());
    },
  );

  test('that only some messages meet delays the other messages only while the account is paused', async () => {
    await using app = await startWithGmail({ backoffScale: QUICK / 10 });
    const stuck = await sendMany(app.service, 3, { ...HELLO, to: 'daily-limit@simulator.test' });
    const others = await sendMany(app.service, 10, HELLO);
    await expectSent(app.service, others);
    expect(await app.service.tally([...stuck, ...others])).toEqual({ sent: 10, waiting: 3 });
    for (const id of stuck) {
      const { attempts, finished_at } = await app.service.get(id);
      // An attempt may be running now. No attempt that ended was counted.
      expect([attempts.filter(({ ended_at }) => ended_at), finished_at]).toEqual([[], null]);
    }
    // After each pause at least one of the other messages goes first.
    expect(pausesOf(app.service).length).toBeLessThan(40);
    expect(app.gmail.counters.accepted).toBe(10);
  });
});
