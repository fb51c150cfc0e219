import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Credentials } from '../../src/core/accounts/credentials.ts';
import type { Outcome } from '../../src/core/delivery/outcome.ts';
import type { ErrorCode } from '../../src/core/errors.ts';
import type { TokenFault } from '../../src/simulator/auth/token-refusals.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { openTransportTo, refreshTokenOf, serviceAccountOf } from '../helpers/smtp/transport.ts';

const SENT = { fault: null, reply: { code: 250 } };

describe.concurrent('login with OAuth', () => {
  test.each([
    ['a refresh token', refreshTokenOf],
    ['a service account', serviceAccountOf],
  ])('by %s uses one token for all connections', async (_, grantOf) => {
    await using gmail = await startSimulator();
    await using transport = openTransportTo(gmail, { credentials: () => grantOf(gmail) });
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => transport.send()));
    expect(outcomes).toMatchObject(Array(5).fill(SENT));
    expect(gmail.messages.map(({ user }) => user)).toEqual(Array(5).fill(gmail.user));
    expect(gmail.counters).toMatchObject({ connections: 5, logins: 5, failedLogins: 0 });
    expect(gmail.oauth.requests).toBe(1);
  });

  test('uses a service account for the sending account', async () => {
    await using gmail = await startSimulator();
    await using transport = openTransportTo(gmail, {
      credentials: () => serviceAccountOf(gmail),
      user: 'sales@acme.test',
    });
    expect(await transport.send()).toMatchObject(SENT);
    expect(gmail.messages[0]?.user).toBe('sales@acme.test');
  });

  test('uses the same token on a new connection', async () => {
    await using gmail = await startSimulator();
    await using transport = openTransportTo(gmail, { credentials: () => refreshTokenOf(gmail) });
    await transport.send();
    expect(await transport.verify()).toBeNull();
    expect(gmail.counters.logins).toBe(2);
    expect(gmail.oauth.requests).toBe(1);
  });

  test('replaces a session that Gmail ends with its token, within the attempt', async () => {
    await using gmail = await startSimulator();
    await using transport = openTransportTo(gmail, { credentials: () => refreshTokenOf(gmail) });
    await transport.send();
    gmail.oauth.revoke();
    expect(await transport.send()).toMatchObject(SENT);
    expect(gmail.counters).toMatchObject({ logins: 2, failedLogins: 1, accepted: 2 });
    expect(gmail.oauth.requests).toBe(2);
  });

  test('renews a revoked token within the attempt', async () => {
    await using gmail = await startSimulator();
    await using transport = openTransportTo(gmail, { credentials: () => refreshTokenOf(gmail) });
    await transport.verify();
    gmail.oauth.revoke();
    const outcomes = await Promise.all(Array.from({ length: 3 }, () => transport.send()));
    expect(outcomes).toMatchObject(Array(3).fill(SENT));
    expect(gmail.counters).toMatchObject({ logins: 4, failedLogins: 3 });
    expect(gmail.oauth.requests).toBe(2);
  });

  test('makes no second login if a newly issued token is refused', async () => {
    await using gmail = await startSimulator();
    await using transport = openTransportTo(gmail, {
      credentials: () => refreshTokenOf(gmail),
      user: 'other@simulator.test',
    });
    expect(await transport.send()).toMatchObject({
      fault: { error: { code: 'oauth_failed' }, scope: 'account', retryable: true },
    });
    expect(gmail.counters).toMatchObject({ logins: 0, failedLogins: 1 });
    expect(gmail.oauth.requests).toBe(1);
  });

  test.each([
    ['bad-credentials', 'oauth_failed'],
    ['app-password-required', 'app_password_required'],
    ['web-login', 'web_login_required'],
    ['too-many-logins', 'login_throttled'],
  ] as const)('refused with %s fails with %s, and the next one uses a new token', async (fault, code) => {
    await using gmail = await startSimulator();
    await using transport = openTransportTo(gmail, { credentials: () => refreshTokenOf(gmail) });
    gmail.setLoginFault(fault);
    expect(await transport.send()).toMatchObject({
      fault: { error: { code, scope: 'account' }, scope: 'account', retryable: true },
    });
    gmail.setLoginFault(null);
    expect(await transport.send()).toMatchObject(SENT);
    expect(gmail.oauth.requests).toBe(2);
  });
});

test('a login in the last minutes of a token uses a new one', async () => {
  await using gmail = await startSimulator();
  await using transport = openTransportTo(gmail, { credentials: () => refreshTokenOf(gmail) });
  expect(await transport.verify()).toBeNull();
  const now = performance.now.bind(performance);
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + 56 * 60_000);
  try {
    expect(await transport.verify()).toBeNull();
  } finally {
    clock.mockRestore();
  }
  expect(gmail.oauth.requests).toBe(2);
  expect(gmail.counters).toMatchObject({ logins: 2, failedLogins: 0 });
});

describe.concurrent('failed token request', () => {
  const FAULTS: readonly (readonly [TokenFault, ErrorCode, string])[] = [
    ['invalid_grant', 'oauth_grant_revoked', 'Token has been expired or revoked'],
    ['unauthorized_client', 'oauth_client_unauthorized', 'Client is unauthorized'],
    ['clock_skew', 'oauth_clock_skew', 'Check your iat and exp values'],
    ['unavailable', 'oauth_unreachable', 'HTTP 503'],
  ];

  test.each(FAULTS)('with fault %s fails with %s, until the fault ends', async (fault, code, text) => {
    await using gmail = await startSimulator();
    await using transport = openTransportTo(gmail, { credentials: () => serviceAccountOf(gmail) });
    gmail.oauth.setFault(fault);
    const { fault: found } = await transport.send();
    expect(found).toMatchObject({
      error: { code, scope: 'account', smtp: null },
      scope: 'account',
      retryable: true,
      certain: true,
    });
    expect(found?.error.detail).toContain(text);
    expect(await transport.verify()).toMatchObject({ error: { code } });
    expect(gmail.counters).toMatchObject({ logins: 0, failedLogins: 0 });
    gmail.oauth.setFault(null);
    expect(await transport.send()).toMatchObject(SENT);
  });

  type Patch = Partial<ReturnType<typeof refreshTokenOf>> | Partial<ReturnType<typeof serviceAccountOf>>;
  test.each<[string, ErrorCode, 'refresh_token' | 'service_account', Patch]>([
    ['a wrong refresh token', 'oauth_grant_revoked', 'refresh_token', { refreshToken: '1//another' }],
    ['an unknown client', 'oauth_failed', 'refresh_token', { clientId: 'nobody' }],
    ['a wrong client secret', 'oauth_failed', 'refresh_token', { clientSecret: 'GOCSPX-wrong' }],
    [
      'an unknown service account',
      'oauth_failed',
      'service_account',
      { clientEmail: 'nobody@project.iam.gserviceaccount.com' },
    ],
    ['a key that cannot sign', 'oauth_failed', 'service_account', { privateKey: 'not a key' }],
    ['a URL that is not a token endpoint', 'oauth_failed', 'refresh_token', { tokenUrl: '/' }],
    ['a closed endpoint', 'oauth_unreachable', 'refresh_token', { tokenUrl: 'http://127.0.0.1:1/token' }],
    [
      'an endpoint without an address',
      'oauth_unreachable',
      'refresh_token',
      { tokenUrl: 'http://no-such-host.invalid/token' },
    ],
  ])('with %s fails with %s', async (_, code, kind, patch) => {
    await using gmail = await startSimulator();
    const grant = kind === 'refresh_token' ? refreshTokenOf(gmail) : serviceAccountOf(gmail);
    const credentials = { ...grant, ...patch } as Credentials & { tokenUrl: string };
    const tokenUrl = new URL(credentials.tokenUrl, gmail.httpUrl).href;
    await using transport = openTransportTo(gmail, { credentials: () => ({ ...credentials, tokenUrl }) });
    const { fault } = await transport.send();
    expect(fault).toMatchObject({ error: { code }, scope: 'account', retryable: true });
    expectNoSecret(fault, credentials);
    expect(gmail.counters).toMatchObject({ logins: 0, failedLogins: 0 });
  });

  test('with an untrusted certificate fails with oauth_unreachable and names the certificate', async () => {
    await using gmail = await startSimulator();
    const tokenUrl = `https://localhost:${gmail.tlsPort}/token`;
    await using transport = openTransportTo(gmail, {
      credentials: () => ({ ...refreshTokenOf(gmail), tokenUrl }),
    });
    const { fault } = await transport.send();
    expect(fault).toMatchObject({
      error: { code: 'oauth_unreachable' },
      backoffMs: [5000, 30_000, 120_000, 600_000],
    });
    expect(fault?.error.detail).toMatch(/certificate is not trusted \(.*CERT.*\)/);
  });

  test('is repeated with the current credentials at the next login', async () => {
    await using gmail = await startSimulator();
    let credentials = { ...refreshTokenOf(gmail), refreshToken: '1//revoked' };
    await using transport = openTransportTo(gmail, { credentials: () => credentials });
    expect((await transport.send()).fault?.error.code).toBe('oauth_grant_revoked');
    credentials = refreshTokenOf(gmail);
    expect(await transport.send()).toMatchObject(SENT);
  });
});

/** Expects that neither a secret nor a long part of one appears. */
function expectNoSecret(fault: Outcome['fault'], credentials: Credentials): void {
  const shown = JSON.stringify(fault);
  for (const [name, value] of Object.entries(credentials)) {
    if (name === 'clientSecret' || name === 'refreshToken' || name === 'privateKey')
      expect(shown).not.toContain(value);
  }
  expect(shown).not.toMatch(/eyJ|ya29/);
}

test('a session is replaced five minutes before its token expires, so that Gmail does not end it during a message', async () => {
  await using gmail = await startSimulator();
  await using transport = openTransportTo(gmail, { credentials: () => refreshTokenOf(gmail) });
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  await transport.send();
  vi.advanceTimersByTime(54 * 60_000);
  await transport.send();
  expect(gmail.counters).toMatchObject({ connections: 1, logins: 1 });
  vi.advanceTimersByTime(2 * 60_000);
  await transport.send();
  expect(gmail.counters).toMatchObject({ connections: 2, logins: 2, failedLogins: 0, accepted: 3 });
  expect(gmail.oauth.requests).toBe(2);
});
