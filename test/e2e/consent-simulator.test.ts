import { createHash } from 'node:crypto';
import { describe, test } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { type Choices, consent } from '../helpers/login.ts';
import { base64, connectTo, startSimulator } from '../helpers/smtp/simulator-session.ts';

const VERIFIER = 'a-verifier-of-at-least-forty-three-characters';
const REDIRECT_URI = 'http://127.0.0.1:1234';

/** Returns the address of a request for consent; an undefined value removes a parameter. */
function pageOf({ oauth }: Simulator, patch: Record<string, string | undefined> = {}): string {
  const parameters = {
    client_id: oauth.clientId,
    redirect_uri: REDIRECT_URI,
    response_type: 'code',
    scope: 'https://mail.google.com/ openid email',
    state: 'state',
    code_challenge: createHash('sha256').update(VERIFIER).digest('base64url'),
    code_challenge_method: 'S256',
    access_type: 'offline',
    prompt: 'consent',
    login_hint: 'ada@acme.test',
    ...patch,
  };
  const url = new URL(JSON.parse(oauth.clientFile).installed.auth_uri);
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined) url.searchParams.set(name, value);
  return url.href;
}

async function exchange(
  gmail: Simulator,
  page: string,
  patch: Record<string, string> = {},
  choices?: Choices,
) {
  const { clientId, clientSecret } = gmail.oauth;
  return requestTokens(gmail, {
    grant_type: 'authorization_code',
    code: new URL(await consent(page, choices)).searchParams.get('code') ?? '',
    code_verifier: VERIFIER,
    redirect_uri: REDIRECT_URI,
    client_id: clientId,
    client_secret: clientSecret,
    ...patch,
  });
}

async function requestTokens({ oauth }: Simulator, form: Record<string, string>) {
  const response = await fetch(oauth.tokenUrl, { method: 'POST', body: new URLSearchParams(form) });
  return { status: response.status, body: (await response.json()) as Record<string, string> };
}

async function logIn(gmail: Simulator, user: string, token: string | undefined): Promise<string> {
  using session = await connectTo(gmail, 'implicit');
  await session.command('EHLO client.test');
  const reply = await session.command(
    `AUTH XOAUTH2 ${base64(`user=${user}\x01auth=Bearer ${token}\x01\x01`)}`,
  );
  return reply.startsWith('334') ? await session.command('') : reply;
}

async function control({ httpUrl }: Simulator, path: string, body: unknown): Promise<number> {
  const response = await fetch(`${httpUrl}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return response.status;
}

describe.concurrent('the simulated consent', () => {
  test('issues tokens as Google does, which log in the account that consented', async ({ expect }) => {
    await using gmail = await startSimulator();
    const { status, body } = await exchange(gmail, pageOf(gmail));
    expect(status).toBe(200);
    const scope = 'https://mail.google.com/ openid https://www.googleapis.com/auth/userinfo.email';
    expect(body).toEqual({
      access_token: expect.stringMatching(/^ya29\./),
      expires_in: 3600,
      refresh_token: expect.stringMatching(/^1\/\/0/),
      scope,
      token_type: 'Bearer',
      id_token: expect.any(String),
    });
    const claims = JSON.parse(Buffer.from(body.id_token?.split('.')[1] ?? '', 'base64url').toString());
    expect(claims).toMatchObject({ aud: gmail.oauth.clientId, email: 'ada@acme.test', email_verified: true });
    expect(await logIn(gmail, 'ada@acme.test', body.access_token)).toMatch(/^235/);
    expect(await logIn(gmail, gmail.user, body.access_token)).toMatch(/^535/);
    const info = await fetch(`${gmail.httpUrl}/tokeninfo?access_token=${body.access_token}`);
    expect(await info.json()).toMatchObject({ aud: gmail.oauth.clientId, email: 'ada@acme.test', scope });
  });

  test('without the scope for mail issues tokens that do not log in', async ({ expect }) => {
    await using gmail = await startSimulator();
    const { body } = await exchange(gmail, pageOf(gmail), {}, { mail: false });
    expect(body.scope).not.toContain('mail.google.com');
    expect(await logIn(gmail, 'ada@acme.test', body.access_token)).toMatch(/^535/);
  });

  test.each([[{ access_type: 'online' }], [{ prompt: 'select_account' }]])(
    'issues no refresh token with %j',
    async (patch) => {
      await using gmail = await startSimulator();
      const { status, body } = await exchange(gmail, pageOf(gmail, patch));
      if (status !== 200 || 'refresh_token' in body) throw new Error(JSON.stringify(body));
    },
  );

  test.each([
    [{ code_verifier: 'another' }, 400, 'invalid_grant'],
    [{ code: '4/0Ainvented' }, 400, 'invalid_grant'],
    [{ redirect_uri: 'http://127.0.0.1:4321' }, 400, 'redirect_uri_mismatch'],
    [{ client_secret: 'another' }, 401, 'invalid_client'],
    [
      {
        client_id: '1234567890-simulator-web.apps.googleusercontent.com',
        client_secret: 'GOCSPX-simulator-web-client-secret',
      },
      400,
      'invalid_grant',
    ],
  ])('refuses a code with %o', async (patch, status, error) => {
    await using gmail = await startSimulator();
    const response = await exchange(gmail, pageOf(gmail), patch as unknown as Record<string, string>);
    if (response.status !== status || response.body.error !== error)
      throw new Error(JSON.stringify(response));
  });

  test('accepts a code once', async ({ expect }) => {
    await using gmail = await startSimulator();
    const code = new URL(await consent(pageOf(gmail))).searchParams.get('code') ?? '';
    expect((await exchange(gmail, pageOf(gmail), { code })).status).toBe(200);
    expect((await exchange(gmail, pageOf(gmail), { code })).body.error).toBe('invalid_grant');
  });

  test.each([
    [{ redirect_uri: 'https://app.acme.test/' }, 'redirect_uri_mismatch'],
    [{ redirect_uri: 'http://127.0.0.1.acme.test/' }, 'redirect_uri_mismatch'],
    [{ redirect_uri: undefined }, 'redirect_uri_mismatch'],
    [{ client_id: undefined }, 'invalid_client'],
    [{ response_type: 'token' }, 'invalid_request'],
    [{ scope: undefined }, 'invalid_request'],
    [{ code_challenge_method: 'plain' }, 'invalid_request'],
  ])('shows an error page for a request with %j', async (patch, error) => {
    await using gmail = await startSimulator();
    const response = await fetch(pageOf(gmail, patch));
    const page = await response.text();
    if (response.status !== 400 || !page.includes(`Error: ${error}`)) throw new Error(page);
  });

  test('escapes what the request contains', async ({ expect }) => {
    await using gmail = await startSimulator();
    const markup = '"><script>alert(1)</script>';
    for (const patch of [{ login_hint: markup }, { login_hint: undefined, state: markup, nonce: markup }]) {
      const response = await fetch(pageOf(gmail, patch));
      expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
      const page = await response.text();
      expect(page).not.toContain('<script');
      expect(page).toContain('script&#62;');
    }
  });

  test('fails and ends by HTTP', async ({ expect }) => {
    await using gmail = await startSimulator();
    expect(await control(gmail, '/consent-fault', { fault: 'nonsense' })).toBe(400);
    expect(await control(gmail, '/consent-fault', { fault: 'org_internal' })).toBe(200);
    expect(await consent(pageOf(gmail))).toContain('/signin/oauth/error?');
    expect(await control(gmail, '/consent-fault', { fault: 'testing' })).toBe(200);
    const { body } = await exchange(gmail, pageOf(gmail));
    expect(body.refresh_token_expires_in).toBe(604_799);
    expect(await control(gmail, '/consent-withdrawal', { user: 'Ada@acme.test' })).toBe(204);
    const { clientId: client_id, clientSecret: client_secret } = gmail.oauth;
    const form = { grant_type: 'refresh_token', client_id, client_secret };
    expect(await requestTokens(gmail, { ...form, refresh_token: body.refresh_token ?? '' })).toMatchObject({
      status: 400,
      body: { error: 'invalid_grant' },
    });
    expect(await logIn(gmail, 'ada@acme.test', body.access_token)).toMatch(/^535/);
    const info = await fetch(`${gmail.httpUrl}/tokeninfo?access_token=${body.access_token}`);
    expect(info.status).toBe(400);
    expect(await requestTokens(gmail, { ...form, refresh_token: gmail.oauth.refreshToken })).toMatchObject({
      status: 200,
    });
  });
});
