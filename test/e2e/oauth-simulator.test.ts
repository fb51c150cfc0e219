import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { base64, connectTo, startSimulator } from '../helpers/smtp/simulator-session.ts';
import { serviceAccountOf } from '../helpers/smtp/transport.ts';

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

async function requestToken({ oauth }: Simulator, form: Record<string, string>) {
  const response = await fetch(oauth.tokenUrl, { method: 'POST', body: new URLSearchParams(form) });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

function refresh(gmail: Simulator, patch: Record<string, string> = {}) {
  const { clientId, clientSecret, refreshToken } = gmail.oauth;
  const form = {
    grant_type: 'refresh_token',
    client_id: clientId,
    client_secret: clientSecret,
    refresh_token: refreshToken,
  };
  return requestToken(gmail, { ...form, ...patch });
}

/** Signs an assertion of the service account, with the given claims replaced. */
function assertion(
  gmail: Simulator,
  patch: Record<string, unknown> = {},
  privateKey = serviceAccountOf(gmail).privateKey,
): string {
  const { clientEmail, tokenUrl } = serviceAccountOf(gmail);
  const iat = Math.floor(Date.now() / 1000);
  const claims = {
    iss: clientEmail,
    scope: 'https://mail.google.com/',
    sub: gmail.user,
    aud: tokenUrl,
    iat,
    exp: iat + 300,
    ...patch,
  };
  const signed = [{ alg: 'RS256', typ: 'JWT' }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${signed}.${sign('RSA-SHA256', Buffer.from(signed), privateKey).toString('base64url')}`;
}

async function logIn(gmail: Simulator, user: string, token: unknown): Promise<string> {
  using session = await connectTo(gmail, 'implicit');
  await session.command('EHLO client.test');
  const reply = await session.command(
    `AUTH XOAUTH2 ${base64(`user=${user}\x01auth=Bearer ${token}\x01\x01`)}`,
  );
  return reply.startsWith('334') ? await session.command('') : reply;
}

describe.concurrent('token endpoint', () => {
  test('responds as Google does, with a token that logs in only its own user', async () => {
    await using gmail = await startSimulator();
    const { status, body } = await refresh(gmail);
    expect(status).toBe(200);
    expect(body).toEqual({
      access_token: expect.stringMatching(/^ya29\./),
      expires_in: 3600,
      scope: 'https://mail.google.com/',
      token_type: 'Bearer',
    });
    expect(await logIn(gmail, gmail.user, body.access_token)).toMatch(/^235 2\.7\.0 /);
    expect(await logIn(gmail, 'other@simulator.test', body.access_token)).toMatch(/^535/);
    expect(await logIn(gmail, gmail.user, 'ya29.invented')).toMatch(/^535/);
    expect(gmail.oauth.requests).toBe(1);
  });

  test.each([
    [{ client_id: 'x' }, 401, 'invalid_client'],
    [{ client_secret: 'x' }, 401, 'invalid_client'],
    [{ refresh_token: 'x' }, 400, 'invalid_grant'],
    [{ grant_type: 'password' }, 400, 'unsupported_grant_type'],
  ])('refuses %o', async (patch, status, error) => {
    await using gmail = await startSimulator();
    expect(await refresh(gmail, patch as unknown as Record<string, string>)).toMatchObject({
      status,
      body: { error },
    });
  });

  const now = Math.floor(Date.now() / 1000);
  const SKEWED = /Check your iat and exp values/;
  test.each([
    ['for another audience', { aud: 'https://elsewhere.test/token' }, 'invalid_grant', /audience/],
    [
      'of another account',
      { iss: 'nobody@project.iam.gserviceaccount.com' },
      'invalid_grant',
      /account not found/,
    ],
    ['from tomorrow', { iat: now + 86_400, exp: now + 86_700 }, 'invalid_grant', SKEWED],
    ['from yesterday', { iat: now - 86_400, exp: now - 86_100 }, 'invalid_grant', SKEWED],
    ['for a day', { exp: now + 86_400 }, 'invalid_grant', SKEWED],
    [
      'for another scope',
      { scope: 'https://www.googleapis.com/auth/gmail.send' },
      'unauthorized_client',
      /not authorized/,
    ],
    ['for a personal Gmail', { sub: 'ada@gmail.com' }, 'unauthorized_client', /not authorized/],
    ['without a user', { sub: undefined }, 'invalid_grant', /claims/],
  ])('refuses an assertion %s', async (_, patch, error, description) => {
    await using gmail = await startSimulator();
    const { body } = await requestToken(gmail, {
      grant_type: JWT_BEARER,
      assertion: assertion(gmail, patch),
    });
    expect(body).toEqual({ error, error_description: expect.stringMatching(description) });
  });

  test('refuses an assertion signed by another key', async () => {
    await using gmail = await startSimulator();
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    expect((await requestToken(gmail, { grant_type: JWT_BEARER, assertion: assertion(gmail) })).status).toBe(
      200,
    );
    const { body } = await requestToken(gmail, {
      grant_type: JWT_BEARER,
      assertion: assertion(gmail, {}, privateKey),
    });
    expect(body).toEqual({ error: 'invalid_grant', error_description: 'Invalid JWT Signature.' });
  });

  test('has faults and revokes tokens by HTTP', async ({ expect }) => {
    await using gmail = await startSimulator();
    const control = (path: string, body: unknown) =>
      fetch(`${gmail.httpUrl}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    expect((await control('/token-fault', { fault: 'unavailable' })).status).toBe(200);
    expect((await refresh(gmail)).status).toBe(503);
    expect((await control('/token-fault', { fault: 'nonsense' })).status).toBe(400);
    await control('/token-fault', { fault: null });
    const first = await refresh(gmail);
    expect(await logIn(gmail, gmail.user, first.body.access_token)).toMatch(/^235/);
    expect((await control('/token-revocation', {})).status).toBe(204);
    expect(await logIn(gmail, gmail.user, first.body.access_token)).toMatch(/^535/);
    await control('/token-lifetime', { seconds: 0.2 });
    const { body } = await refresh(gmail);
    expect(body.expires_in).toBe(0.2);
    await expect.poll(() => logIn(gmail, gmail.user, body.access_token)).toMatch(/^535/);
  });

  test('ends a session with its token: 421 and a closed connection', async () => {
    await using gmail = await startSimulator();
    const { body } = await refresh(gmail);
    using session = await connectTo(gmail, 'implicit');
    await session.command('EHLO client.test');
    await session.command(
      `AUTH XOAUTH2 ${base64(`user=${gmail.user}\x01auth=Bearer ${body.access_token}\x01\x01`)}`,
    );
    gmail.oauth.revoke();
    expect(await session.command(`MAIL FROM:<${gmail.user}>`)).toMatch(/^421 4\.7\.0 Connection expired/);
    await session.closed;
  });
});
