import { describe, expect, test } from 'vitest';
import { ERRORS } from '../../src/core/errors.ts';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { checkOf, diagnose, diagnoseWith, startTlsServer } from '../helpers/doctor.ts';
import { APP_PASSWORD } from '../helpers/service.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

describe.concurrent('doctor', () => {
  test('passes every check with one login and sends nothing', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseWith(gmail);
    expect(report.checks.filter(({ status }) => !['pass', 'skip'].includes(status))).toEqual([]);
    expect(report.ok).toBe(true);
    expect(checkOf(report, 'auth')).toMatchObject({
      status: 'pass',
      detail: expect.stringContaining('logged in with PLAIN: 235'),
    });
    expect(checkOf(report, 'envelope')).toMatchObject({
      status: 'pass',
      detail: expect.stringContaining('nothing was sent'),
    });
    expect(gmail.counters).toMatchObject({ logins: 1, failedLogins: 0, accepted: 0 });
    expect(gmail.messages).toEqual([]);
  });

  test('tries MAIL and RCPT, then resets the transaction', async () => {
    const commands: string[] = [];
    await using server = await startRawSmtp(async (io) => {
      await io.greet();
      for (;;) {
        commands.push(await io.expect(/./));
        io.send('250 2.0.0 OK\r\n');
      }
    });
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}?tls=never` });
    expect(checkOf(report, 'envelope')).toMatchObject({ status: 'pass' });
    expect(commands).toEqual([
      'MAIL FROM:<bot@simulator.test>',
      'RCPT TO:<bot@simulator.test>',
      'RSET',
      'QUIT',
    ]);
  });

  test('reports missing credentials and still runs the other checks', async () => {
    await using gmail = await startSimulator();
    const env = { API_KEYS: undefined, GMAIL_APP_PASSWORD: undefined, GMAIL_APP_PASSWRD: APP_PASSWORD };
    const report = await diagnoseWith(gmail, { env });
    expect(checkOf(report, 'configuration', /^API_KEYS$/)).toMatchObject({
      status: 'fail',
      detail: 'It is required.',
      advice: expect.stringContaining('openssl rand'),
    });
    expect(checkOf(report, 'configuration', /^GMAIL_APP_PASSWORD$/)).toMatchObject({ status: 'fail' });
    expect(checkOf(report, 'configuration', /^GMAIL_APP_PASSWRD$/)).toMatchObject({
      status: 'warn',
      advice: 'The nearest name is GMAIL_APP_PASSWORD.',
    });
    expect(checkOf(report, 'auth')).toMatchObject({
      status: 'fail',
      code: 'no_credentials',
      advice: expect.stringContaining('Set GMAIL_USER and GMAIL_APP_PASSWORD'),
    });
    expect(checkOf(report, 'tls', new RegExp(`:${gmail.tlsPort}$`))).toMatchObject({ status: 'pass' });
    expect(gmail.counters).toMatchObject({ logins: 0, failedLogins: 0 });
  });

  test('reports invalid API keys and still logs in', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseWith(gmail, { env: { API_KEYS: 'short:secret' } });
    expect(checkOf(report, 'configuration')).toMatchObject({ status: 'fail', target: 'API_KEYS' });
    expect(checkOf(report, 'auth')).toMatchObject({ status: 'pass' });
    expect(report.ok).toBe(false);
  });

  test.each([
    ['bad-credentials', 'bad_credentials', '535 5.7.8'],
    ['app-password-required', 'app_password_required', '534 5.7.9'],
    ['web-login', 'web_login_required', '534 5.7.14'],
    ['too-many-logins', 'login_throttled', '454 4.7.0'],
  ] as const)(
    'that Gmail refuses the login with %s, and says what the service says',
    async (fault, code, reply) => {
      await using gmail = await startSimulator();
      gmail.setLoginFault(fault);
      const report = await diagnoseWith(gmail);
      const auth = checkOf(report, 'auth');
      expect(auth).toMatchObject({ status: 'fail', code, advice: ERRORS[code].hint });
      expect(auth.detail).toContain(reply);
      expect(auth.detail).not.toContain('accounts.google.com/signin');
      expect(checkOf(report, 'envelope')).toMatchObject({ status: 'skip' });
      expect(gmail.counters).toMatchObject({ failedLogins: 1 });
      expect(report.ok).toBe(false);
    },
  );

  test('checks each account, and stops logging in at the first 454', async () => {
    await using gmail = await startSimulator();
    const users = ['first@simulator.test', 'too-many-logins@simulator.test', 'third@simulator.test'];
    const list = JSON.stringify(users.map((user) => ({ user, app_password: APP_PASSWORD })));
    const env = { GMAIL_USER: undefined, GMAIL_APP_PASSWORD: undefined, GMAIL_ACCOUNTS: list };
    const report = await diagnoseWith(gmail, { env });
    expect(checkOf(report, 'auth', /^first/)).toMatchObject({ status: 'pass' });
    expect(checkOf(report, 'auth', /^too-many/)).toMatchObject({ status: 'fail', code: 'login_throttled' });
    expect(checkOf(report, 'auth', /^third/)).toMatchObject({
      status: 'skip',
      detail: 'not tried: Gmail reports too many logins',
    });
    expect(gmail.counters).toMatchObject({ logins: 1, failedLogins: 1 });
  });

  test('reports a server that does not offer the login mechanism', async () => {
    const certificate = createCertificate(['localhost']);
    await using server = await startTlsServer(certificate, '250-tls.test\r\n250 AUTH LOGIN XOAUTH2\r\n');
    const report = await diagnose({
      smtp: `smtps://localhost:${server.port}`,
      network: { ca: certificate.ca },
    });
    expect(checkOf(report, 'ehlo')).toMatchObject({
      status: 'fail',
      code: 'auth_missing',
      detail: 'EHLO does not offer AUTH PLAIN',
    });
    expect(checkOf(report, 'auth')).toMatchObject({ status: 'skip' });
    expect(server.received).toEqual([expect.stringMatching(/^EHLO .*\r\n$/)]);
  });

  test('warns about a From address that Gmail would replace', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseWith(gmail, { env: { GMAIL_FROM: 'Acme <no-reply@acme.test>' } });
    expect(checkOf(report, 'from')).toMatchObject({
      status: 'warn',
      code: 'from_replaced',
      detail: expect.stringContaining('no-reply@acme.test'),
      advice: expect.stringContaining('list it in GMAIL_ALIASES'),
    });
    expect(report.ok).toBe(true);
    const named = await diagnoseWith(gmail, {
      env: { GMAIL_FROM: 'Acme <no-reply@acme.test>', GMAIL_ALIASES: 'no-reply@acme.test' },
    });
    expect(checkOf(named, 'from')).toMatchObject({ status: 'pass' });
  });

  test('warns about FROM_POLICY=allow, since Gmail replaces From', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseWith(gmail, { env: { FROM_POLICY: 'allow' } });
    expect(checkOf(report, 'from', /^FROM_POLICY$/)).toMatchObject({
      status: 'warn',
      code: 'any_from_allowed',
    });
    expect(report.ok).toBe(true);
  });

  test('reports SIZE and envelope of a server without TLS, and does not log in', async () => {
    await using server = await startRawSmtp(async (io) => {
      await io.greet('SIZE 1000000');
      await io.expect(/^MAIL FROM:<bot@simulator.test>$/);
      io.send('550 5.4.5 Daily user sending limit exceeded. d2 - gsmtp\r\n');
    });
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}?tls=never` });
    expect(checkOf(report, 'auth')).toMatchObject({ status: 'skip', detail: 'no login: tls=never' });
    expect(checkOf(report, 'ehlo')).toMatchObject({
      status: 'warn',
      code: 'size_smaller',
      detail: expect.stringContaining('1000000'),
    });
    expect(checkOf(report, 'envelope')).toMatchObject({
      status: 'fail',
      code: 'daily_limit_reached',
      advice: ERRORS.daily_limit_reached.hint,
    });
    expect(report.ok).toBe(false);
  });
});

describe.concurrent('doctor with OAuth', () => {
  const oauthOf = (gmail: Awaited<ReturnType<typeof startSimulator>>) => ({
    GMAIL_USER: gmail.user,
    GMAIL_APP_PASSWORD: undefined,
    GMAIL_OAUTH_CLIENT_ID: gmail.oauth.clientId,
    GMAIL_OAUTH_CLIENT_SECRET: gmail.oauth.clientSecret,
    GMAIL_OAUTH_REFRESH_TOKEN: gmail.oauth.refreshToken,
    GMAIL_OAUTH_TOKEN_URL: gmail.oauth.tokenUrl,
  });

  test('logs in with a refresh token and with a service account', async () => {
    await using gmail = await startSimulator();
    const refreshed = await diagnoseWith(gmail, { env: oauthOf(gmail) });
    const { GMAIL_USER, GMAIL_APP_PASSWORD, GMAIL_OAUTH_TOKEN_URL } = oauthOf(gmail);
    const delegated = await diagnoseWith(gmail, {
      env: {
        GMAIL_USER,
        GMAIL_APP_PASSWORD,
        GMAIL_OAUTH_TOKEN_URL,
        GMAIL_SERVICE_ACCOUNT: gmail.oauth.serviceAccount,
      },
    });
    for (const report of [refreshed, delegated]) {
      expect(checkOf(report, 'oauth_token')).toMatchObject({ status: 'pass' });
      expect(checkOf(report, 'auth')).toMatchObject({
        status: 'pass',
        detail: expect.stringContaining('XOAUTH2'),
      });
      expect(report.ok).toBe(true);
    }
    expect(gmail.counters).toMatchObject({ logins: 2, failedLogins: 0 });
  });

  test.each([
    ['invalid_grant', 'oauth_grant_revoked'],
    ['unauthorized_client', 'oauth_client_unauthorized'],
    ['clock_skew', 'oauth_clock_skew'],
    ['unavailable', 'oauth_unreachable'],
  ] as const)('reports %s of the token endpoint, and does not log in', async (fault, code) => {
    await using gmail = await startSimulator();
    gmail.oauth.setFault(fault);
    const report = await diagnoseWith(gmail, { env: oauthOf(gmail) });
    expect(checkOf(report, 'oauth_token')).toMatchObject({ status: 'fail', code, advice: ERRORS[code].hint });
    expect(checkOf(report, 'auth')).toMatchObject({ status: 'skip' });
    expect(gmail.counters).toMatchObject({ logins: 0, failedLogins: 0 });
    expect(report.ok).toBe(false);
  });

  test('reports a token that Gmail refuses with the hint for OAuth', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseWith(gmail, {
      env: { ...oauthOf(gmail), GMAIL_USER: 'other@simulator.test' },
    });
    expect(checkOf(report, 'oauth_token')).toMatchObject({ status: 'pass' });
    expect(checkOf(report, 'auth')).toMatchObject({
      status: 'fail',
      code: 'oauth_failed',
      detail: expect.stringContaining('535 5.7.8'),
      advice: ERRORS.oauth_failed.hint,
    });
  });
});
