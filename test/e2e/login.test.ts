import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, chown, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { dirname } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { parseServiceAccount } from '../../src/config/oauth-config.ts';
import { fixOf, type TroubleshootingId } from '../../src/doctor/troubleshooting.ts';
import { parseClientFile } from '../../src/login/client-file.ts';
import { logInByServiceAccount } from '../../src/login/login.ts';
import type { LoginError } from '../../src/login/login-error.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { checkOf, diagnoseWith } from '../helpers/doctor.ts';
import { type Choices, consent, createFolder, type LoginUnderTest, startLogin } from '../helpers/login.ts';
import { startService } from '../helpers/service.ts';
import { accountsOf } from '../helpers/smtp/gmail.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const HELLO = { to: 'ada@acme.test', subject: 'Hello', text: 'Hello' };

/** Consents, and opens the address of the response as the browser does. */
async function grant(login: LoginUnderTest, choices: Choices = {}): Promise<void> {
  const response = await fetch(await consent(await login.page, choices));
  expect(response.status).toBe(200);
}

/** Expects the login to fail with this row of the troubleshooting table, and to leave no file. */
async function expectFailure(login: LoginUnderTest, file: string, code: TroubleshootingId) {
  const error: LoginError = await login.trial.then(
    () => expect.unreachable('the login succeeded'),
    (reason) => reason,
  );
  expect(error).toMatchObject({ name: 'LoginError', code, advice: fixOf(code) });
  expect(error.message).not.toMatch(/GOCSPX|4\/0A|1\/\/0/);
  expect(existsSync(file)).toBe(false);
}

function startServiceWith(gmail: Simulator, file: string) {
  const env = { GMAIL_USER: gmail.user, GMAIL_APP_PASSWORD: '', GMAIL_OAUTH_FILE: file };
  return startService({ smtp: gmail.url, ca: gmail.ca, env });
}

describe.concurrent('outtray login', () => {
  test('writes a file with which the service sends, and that only its owner can read', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const login = startLogin(gmail, folder.file);
    await grant(login);
    expect(await login.trial).toEqual({ kind: 'accepted', server: 'localhost' });
    expect(gmail.counters).toMatchObject({ logins: 1, failedLogins: 0, accepted: 0 });
    expect((await stat(folder.file)).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(folder.file, 'utf8'))).toEqual({
      type: 'authorized_user',
      account: gmail.user,
      client_id: gmail.oauth.clientId,
      client_secret: gmail.oauth.clientSecret,
      refresh_token: expect.stringMatching(/^1\/\/0/),
      token_uri: gmail.oauth.tokenUrl,
    });
    expect(login.output()).toContain(`Wrote ${folder.file}`);
    expect(login.output()).not.toMatch(/Warning|GOCSPX|4\/0A|1\/\/0|ya29/);

    await using service = await startServiceWith(gmail, folder.file);
    const { body } = await service.send(HELLO, { wait: 10 });
    expect(body).toMatchObject({ status: 'sent' });
    expect(gmail.messages).toHaveLength(1);
  });

  test('asks for a new consent of the account to mail, bound to this process by state and PKCE', async ({
    expect,
  }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const logins = [1, 2].map(() => startLogin(gmail, folder.file, { paste: true }));
    const requests = await Promise.all(logins.map(async ({ page }) => new URL(await page).searchParams));
    expect(Object.fromEntries(requests[0] ?? [])).toEqual({
      client_id: gmail.oauth.clientId,
      redirect_uri: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      response_type: 'code',
      scope: 'https://mail.google.com/ openid email',
      state: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge_method: 'S256',
      access_type: 'offline',
      prompt: 'consent',
      login_hint: gmail.user,
    });
    for (const name of ['state', 'code_challenge'])
      expect(requests[0]?.get(name)).not.toBe(requests[1]?.get(name));
    for (const { enter, trial } of logins) {
      enter(null);
      await expect(trial).rejects.toMatchObject({ code: 'consent_not_received' });
    }
  });

  test('accepts a pasted address after wrong ones', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const login = startLogin(gmail, folder.file, { paste: true });
    const address = await consent(await login.page);
    login.enter('127.0.0.1');
    login.enter('http://127.0.0.1:8085/');
    login.enter(address.replace(/state=[^&]*/, 'state=another'));
    login.enter(`  ${address} `);
    expect(await login.trial).toMatchObject({ kind: 'accepted' });
    expect(login.output()).toMatch(/not the address of a response[\s\S]*belongs to another login/);
    expect(existsSync(folder.file)).toBe(true);
  });

  test('ignores responses to another login, and waits for its own', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const login = startLogin(gmail, folder.file);
    const address = await consent(await login.page);
    for (const other of [
      address.replace(/state=[^&]*/, 'state=another'),
      address.replace(/state=[^&]*&/, ''),
      address.replace(/\?.*/, '?error=access_denied'),
    ])
      expect((await fetch(other)).status).toBe(400);
    expect((await fetch(address.replace(/\?.*/, 'favicon.ico'))).status).toBe(404);
    expect((await fetch(address, { method: 'POST' })).status).toBe(404);
    // As browsers do ahead of a request.
    const idle = connect(Number(new URL(address).port), '127.0.0.1').on('error', () => {});
    await once(idle, 'connect');
    expect((await fetch(address)).status).toBe(200);
    expect(await login.trial).toMatchObject({ kind: 'accepted' });
    await expect(fetch(address)).rejects.toThrow();
  });

  test('warns that a login ends after seven days while the consent screen is in Testing', async ({
    expect,
  }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    gmail.oauth.setConsentFault('testing');
    const login = startLogin(gmail, folder.file);
    await grant(login);
    expect(await login.trial).toMatchObject({ kind: 'accepted' });
    const { expires_at } = JSON.parse(await readFile(folder.file, 'utf8'));
    const days = (Date.parse(expires_at) - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(6.99);
    expect(days).toBeLessThan(7);
    const advice = fixOf('consent_testing');
    expect(login.output()).toContain(`Warning: this login ends on ${expires_at}. ${advice}`);

    const env = { GMAIL_USER: gmail.user, GMAIL_APP_PASSWORD: '', GMAIL_OAUTH_FILE: folder.file };
    const report = await diagnoseWith(gmail, { env });
    expect(report.ok).toBe(true);
    expect(checkOf(report, 'oauth_token')).toMatchObject({
      status: 'warn',
      detail: expect.stringContaining(expires_at),
      advice,
    });
  });

  test('does not mistake another spelling of a Gmail address for another account', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const login = startLogin(gmail, folder.file, { user: 'A.da@googlemail.com' });
    await grant(login, { account: 'ada@gmail.com' });
    // Unlike Google, the simulator then refuses a token of the other spelling.
    expect(await login.trial).toMatchObject({ kind: 'refused' });
  });

  test('accepts the login of an account that cannot send mail to itself', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const login = startLogin(gmail, folder.file, { user: 'mailbox-full@simulator.test' });
    await grant(login);
    expect(await login.trial).toMatchObject({ kind: 'accepted' });
  });

  test('changes nothing if Gmail refuses the login, and shows the fix', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    gmail.setLoginFault('bad-credentials');
    const login = startLogin(gmail, folder.file);
    await grant(login);
    expect(await login.trial).toMatchObject({ kind: 'refused', failures: [{ code: 'oauth_failed' }] });
    expect(login.output()).toContain(fixOf('oauth_failed'));
    expect(existsSync(folder.file)).toBe(false);
  });

  test('writes the file if no server can be reached, and shows why', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    await gmail.blockPort('starttls', 'refused');
    const login = startLogin(gmail, folder.file);
    await grant(login);
    expect(await login.trial).toMatchObject({ kind: 'not_tried' });
    expect(login.output()).toMatch(/not tried: no server can be used[\s\S]*ECONNREFUSED/);
    expect(existsSync(folder.file)).toBe(true);
  });

  test('replaces a login of the same account, and no other file', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    for (const content of ['', '{}', JSON.stringify({ type: 'authorized_user', account: gmail.user })]) {
      await writeFile(folder.file, content);
      await expect(startLogin(gmail, folder.file).trial).rejects.toThrow(/exists and is not a login of/);
      expect(await readFile(folder.file, 'utf8')).toBe(content);
    }
    await expect(startLogin(gmail, '/nowhere/gmail.json').trial).rejects.toThrow(
      /^\/nowhere cannot be written/,
    );

    await writeFile(folder.file, await loginOf(gmail, gmail.user));
    await chmod(folder.file, 0o644);
    if (process.getuid?.() === 0) await chown(folder.file, 1234, 1234);
    await expect(startLogin(gmail, folder.file, { user: 'other@simulator.test' }).trial).rejects.toThrow(
      /is not a login of other@simulator\.test/,
    );
    const former = await readFile(folder.file, 'utf8');
    const login = startLogin(gmail, folder.file);
    await grant(login);
    expect(await login.trial).toMatchObject({ kind: 'accepted' });
    expect(await readFile(folder.file, 'utf8')).not.toBe(former);
    // The service may run as another user.
    const { mode, uid } = await stat(folder.file);
    expect(mode & 0o777).toBe(0o644);
    expect(uid).toBe(process.getuid?.() === 0 ? 1234 : process.getuid?.());
    expect(await readdir(dirname(folder.file))).toEqual(['gmail.json']);
  });

  test('overwrites no login of another account that was written during the consent', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const login = startLogin(gmail, folder.file);
    await login.page;
    const other = await loginOf(gmail, 'other@simulator.test');
    await writeFile(folder.file, other);
    await grant(login);
    await expect(login.trial).rejects.toThrow(/exists and is not a login of/);
    expect(await readFile(folder.file, 'utf8')).toBe(other);
  });

  test('repairs a running service whose consent was withdrawn', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    await writeFile(folder.file, await loginOf(gmail, gmail.user));
    await using service = await startServiceWith(gmail, folder.file);
    expect((await service.send(HELLO, { wait: 10 })).body).toMatchObject({ status: 'sent' });
    gmail.oauth.withdrawConsent(gmail.user);
    const { body } = await service.send(HELLO);
    await vi.waitFor(async () =>
      expect(await accountsOf(service)).toMatchObject([{ status: 'paused', code: 'oauth_grant_revoked' }]),
    );

    const login = startLogin(gmail, folder.file);
    await grant(login);
    expect(await login.trial).toMatchObject({ kind: 'accepted' });
    expect(await service.settled(body.id)).toMatchObject({ status: 'sent' });
    expect(gmail.messages).toHaveLength(2);
  });
});

/** Returns the content of a file that a login wrote. */
async function loginOf(gmail: Simulator, user: string): Promise<string> {
  await using folder = await createFolder();
  const login = startLogin(gmail, folder.file, { user });
  await grant(login);
  await login.trial;
  return await readFile(folder.file, 'utf8');
}

describe.concurrent('a failed login is named', () => {
  test.each<[TroubleshootingId, string, (gmail: Simulator) => unknown, Choices]>([
    ['consent_denied', 'after Cancel', () => {}, { decision: 'cancel' }],
    ['consent_scope_missing', 'without access to mail', () => {}, { mail: false }],
    ['consent_other_account', 'by another account', () => {}, { account: 'other@simulator.test' }],
    [
      'consent_no_refresh_token',
      'without a refresh token',
      ({ oauth }) => oauth.setConsentFault('no_refresh_token'),
      {},
    ],
    ['oauth_unreachable', 'while tokens are unavailable', ({ oauth }) => oauth.setFault('unavailable'), {}],
  ])('%s %s', async (code, _, arrange, choices) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    arrange(gmail);
    const login = startLogin(gmail, folder.file);
    await grant(login, choices);
    await expectFailure(login, folder.file, code);
    expect(gmail.counters).toMatchObject({ logins: 0, failedLogins: 0 });
  });

  test.each<[TroubleshootingId, string, (gmail: Simulator) => string | undefined]>([
    ['consent_web_client', 'for a web client', ({ oauth }) => JSON.parse(oauth.webClientFile).web.client_id],
    ['consent_invalid_client', 'for an unknown client', () => 'nonsense'],
    ['consent_denied', 'for an account that is not a test user', pageFault('not_a_test_user')],
    ['consent_admin_policy', 'for an administrator’s policy', pageFault('admin_policy_enforced')],
    ['consent_internal_app', 'for an internal app', pageFault('org_internal')],
  ])('%s %s, by the pasted address of Google’s error page', async (code, _, arrange) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const clientId = arrange(gmail) ?? gmail.oauth.clientId;
    const client = { ...parseClientFile(gmail.oauth.clientFile, undefined), clientId };
    const login = startLogin(gmail, folder.file, { client });
    const page = await consent(await login.page);
    expect(page).toContain('/signin/oauth/error?');
    expect((await fetch(page)).status).toBe(400);
    login.enter(page);
    await expectFailure(login, folder.file, code);
  });

  test('consent_invalid_client for a wrong secret', async () => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const client = { ...parseClientFile(gmail.oauth.clientFile, undefined), clientSecret: 'GOCSPX-wrong' };
    const login = startLogin(gmail, folder.file, { client });
    await grant(login);
    await expectFailure(login, folder.file, 'consent_invalid_client');
  });

  test('consent_code_refused for a code of another login', async () => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const [mine, other] = [1, 2].map(() => startLogin(gmail, folder.file, { paste: true })) as [
      LoginUnderTest,
      LoginUnderTest,
    ];
    const code = new URL(await consent(await other.page)).searchParams.get('code') ?? '';
    const address = new URL(await consent(await mine.page));
    address.searchParams.set('code', code);
    mine.enter(address.href);
    await expectFailure(mine, folder.file, 'consent_code_refused');
    other.enter(null);
    await expectFailure(other, folder.file, 'consent_not_received');
  });

  test('consent_state_mismatch if only the response to another login is pasted', async () => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const login = startLogin(gmail, folder.file, { paste: true });
    login.enter('http://127.0.0.1:8085/?state=another&code=4/0Ab');
    login.enter(null);
    await expectFailure(login, folder.file, 'consent_state_mismatch');
  });

  test('consent_not_received after the time limit, and the port is free again', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const login = startLogin(gmail, folder.file, { timeoutMs: 300, hasInput: false });
    const page = await login.page;
    await expectFailure(login, folder.file, 'consent_not_received');
    await expect(fetch(page)).rejects.toThrow();
  });

  test('consent_port_unusable if another program uses the port', async () => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const login = startLogin(gmail, folder.file, { port: gmail.httpPort });
    await expectFailure(login, folder.file, 'consent_port_unusable');
  });

  test('oauth_failed for an endpoint that is not one of OAuth', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const server = createServer((_request, response) => response.end('{"scope": 42}'));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const tokenUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const login = startLogin(gmail, folder.file, {
      client: parseClientFile(gmail.oauth.clientFile, tokenUrl),
    });
    await grant(login);
    await expectFailure(login, folder.file, 'oauth_failed');
    server.close();
    expect(gmail.oauth.requests).toBe(0);
  });
});

function pageFault(fault: 'not_a_test_user' | 'admin_policy_enforced' | 'org_internal') {
  return ({ oauth }: Simulator): undefined => oauth.setConsentFault(fault) as undefined;
}

describe.concurrent('outtray login --service-account', () => {
  async function logIn(gmail: Simulator, user: string) {
    const output: string[] = [];
    const trial = await logInByServiceAccount(
      {
        kind: 'service_account',
        user,
        file: 'key.json',
        key: parseServiceAccount(gmail.oauth.serviceAccount),
        tokenUrl: gmail.oauth.tokenUrl,
        servers: [{ host: 'localhost', port: gmail.starttlsPort, tls: 'starttls' }],
        network: { ca: gmail.ca },
      },
      { print: (text) => output.push(text), readLine: null },
    );
    return { trial, output: output.join('\n') };
  }

  test('shows the client id and the scope to delegate, and logs in', async ({ expect }) => {
    await using gmail = await startSimulator();
    const { trial, output } = await logIn(gmail, 'bot@acme.test');
    expect(output).toMatch(/client id {2}\d{21}\n {2}scope {6}https:\/\/mail\.google\.com\/\n/);
    expect(trial).toEqual({ kind: 'accepted', server: 'localhost' });
    expect(gmail.counters).toMatchObject({ logins: 1, accepted: 0 });
  });

  test('explains why a personal account cannot be delegated', async ({ expect }) => {
    await using gmail = await startSimulator();
    const { trial, output } = await logIn(gmail, 'ada@gmail.com');
    expect(trial).toMatchObject({ kind: 'refused', failures: [{ code: 'oauth_client_unauthorized' }] });
    expect(output).toContain(fixOf('oauth_client_unauthorized'));
  });
});
