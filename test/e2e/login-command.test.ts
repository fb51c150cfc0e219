import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fixOf } from '../../src/doctor/troubleshooting.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { hasChromium, useChromium } from '../helpers/browser.ts';
import { consent, createFolder, startLogin } from '../helpers/login.ts';
import { type Running, run } from '../helpers/process.ts';
import { startService } from '../helpers/service.ts';
import { createSimulatorEnv } from '../helpers/smtp/simulator-env.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;

/** A folder with the files of the simulator, and the environment for a login with them. */
async function createWorkspace(gmail: Simulator) {
  const stack = new AsyncDisposableStack();
  const { file } = stack.use(await createFolder());
  const { SMTP_URL, NODE_EXTRA_CA_CERTS } = stack.use(await createSimulatorEnv(gmail)).env;
  const folder = dirname(file);
  const write = async (name: string, content: string) => {
    await writeFile(join(folder, name), content);
    return join(folder, name);
  };
  return {
    file,
    folder,
    clientFile: await write('client.json', gmail.oauth.clientFile),
    webClientFile: await write('web.json', gmail.oauth.webClientFile),
    keyFile: await write('key.json', gmail.oauth.serviceAccount),
    env: { SMTP_URL, NODE_EXTRA_CA_CERTS },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function ended({ ended: code, output }: Running) {
  return { code: await code, ...output() };
}

describe.concurrent('the command outtray login', () => {
  test('asks for consent in the browser of this machine, and shows the settings to use', async ({
    expect,
  }) => {
    await using gmail = await startSimulator();
    await using workspace = await createWorkspace(gmail);
    const { clientFile, file, env, folder } = workspace;
    const args = ['--user', gmail.user, '--client-file', clientFile, '--out', file];
    await using login = run(['login', ...args], { ...env, GMAIL_APP_PASSWORD: 'x' }, folder);
    const [page] = await login.saw(/http:\/\/127\.0\.0\.1:\d+\/login/);
    await fetch(await consent(page));
    const { code, out, err } = await ended(login);
    expect(err).toBe('');
    expect(code).toBe(0);
    expect(out).toContain(`set GMAIL_USER=${gmail.user} and GMAIL_OAUTH_FILE=${file}\n`);
    expect(out).toContain('Remove GMAIL_APP_PASSWORD: an account has one way to log in.');
  });

  test('renews the login of a file with the client in it, and can be stopped', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using workspace = await createWorkspace(gmail);
    const env = { ...workspace.env, GMAIL_USER: gmail.user, GMAIL_OAUTH_FILE: workspace.file };
    await using first = run(['login', '--client-file', workspace.clientFile], env);
    await fetch(await consent((await first.saw(/http:\/\/127\.0\.0\.1:\d+\/login/))[0]));
    const { code, out } = await ended(first);
    expect(code).toBe(0);
    expect(out).toContain('GMAIL_OAUTH_FILE already names this file.');

    await using second = run(['login'], env);
    const [start] = await second.saw(/http:\/\/127\.0\.0\.1:\d+\/login/);
    const { headers } = await fetch(start, { redirect: 'manual' });
    expect(headers.get('location')).toMatch(
      new RegExp(`^https://accounts\\.google\\.com/o/oauth2/v2/auth\\?client_id=${gmail.oauth.clientId}&`),
    );
    second.signal('SIGTERM');
    expect(await second.ended).toBe(1);
  });

  test('--paste reads the address from a pipe', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using workspace = await createWorkspace(gmail);
    const { clientId, clientSecret, tokenUrl } = gmail.oauth;
    const variables = {
      GMAIL_USER: gmail.user,
      GMAIL_OAUTH_CLIENT_ID: clientId,
      GMAIL_OAUTH_CLIENT_SECRET: clientSecret,
      GMAIL_OAUTH_TOKEN_URL: tokenUrl,
    };
    const child = spawn(process.execPath, [MAIN, 'login', '--paste', '--out', workspace.file], {
      cwd: workspace.folder,
      env: { ...variables, ...workspace.env },
    });
    let out = '';
    const page = Promise.withResolvers<string>();
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
      const [url] = /https:\/\/accounts\.google\.com\S+/.exec(out) ?? [];
      if (url) page.resolve(url);
    });
    const { search } = new URL(await page.promise);
    const { auth_uri } = JSON.parse(gmail.oauth.clientFile).installed;
    child.stdin.end(`${await consent(`${auth_uri}${search}`)}\n`);
    const [code] = await once(child, 'close');
    expect(out).toContain('Logged in to localhost');
    expect(code).toBe(0);
    expect(JSON.parse(await readFile(workspace.file, 'utf8'))).toMatchObject({ client_id: clientId });
  });

  test('--service-account shows what to delegate, and the settings to use', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using workspace = await createWorkspace(gmail);
    const args = ['login', '--user', 'bot@acme.test', '--service-account', workspace.keyFile];
    await using login = run(args, { ...workspace.env, GMAIL_ACCOUNTS: '[]' });
    const { code, out } = await ended(login);
    expect(out).toMatch(/client id {2}\d+\n.*https:\/\/mail\.google\.com\//);
    expect(out).toContain(`{"user":"bot@acme.test","service_account_file":"${workspace.keyFile}"}`);
    expect(code).toBe(0);
  });

  test.each([
    [['--help'], 0, /^Usage: outtray login /],
    [['--nonsense'], 2, /Unknown option '--nonsense'[\s\S]*Usage: outtray login/],
    [['me'], 2, /Usage: outtray login/],
    [[], 2, /^--user: It is required, or GMAIL_USER/],
    [['--user', 'me'], 2, /^--user: /],
    [['--user', 'me@acme.test'], 2, /type Desktop app at https:\/\/console\.cloud\.google\.com/],
    [
      ['--user', 'me@acme.test', '--client-id', 'x'],
      2,
      /--client-secret, or their variables, must be set together/,
    ],
    [['--user', 'me@acme.test', '--client-file', '/nowhere'], 2, /^--client-file: \/nowhere cannot be read/],
    [['--user', 'me@acme.test', '--client-file', MAIN], 2, /^--client-file: It is not valid JSON/],
    [['--user', 'me@acme.test', '--service-account', MAIN], 2, /^--service-account: It is not valid JSON/],
    [['--service-account', MAIN, '--paste'], 2, /^--service-account and --paste cannot be combined/],
    [['--client-file', MAIN, '--client-id', 'x'], 2, /^--client-file and --client-id cannot be combined/],
    [['--paste', '--port', '8085'], 2, /^--paste and --port cannot be combined/],
    [
      ['--user', 'me@acme.test', '--client-id', 'x', '--client-secret', 'y', '--port', 'x'],
      2,
      /^--port: It must be/,
    ],
  ])('with %j exits with code %i', async (args, code, message) => {
    await using login = run(['login', ...args]);
    const result = await ended(login);
    expect(result.out + result.err).toMatch(message);
    expect(result.code).toBe(code);
  });

  test.for(['smtp://smtp-relay.gmail.com?login=none', 'smtp://127.0.0.1:2525?tls=never'])(
    'is refused if no server takes a login: %s',
    async (SMTP_URL, { expect }) => {
      await using login = run(['login', '--user', 'bot@acme.com'], { SMTP_URL });
      const { code, out, err } = await ended(login);
      expect([code, out]).toEqual([2, '']);
      expect(err).toBe('SMTP_URL: No server in it takes a login. Remove it to log in to smtp.gmail.com.\n');
    },
  );

  test('refuses the file of a web client, with the fix', async ({ expect }) => {
    await using gmail = await startSimulator();
    await using workspace = await createWorkspace(gmail);
    await using login = run(['login', '--user', gmail.user, '--client-file', workspace.webClientFile]);
    const { code, err } = await ended(login);
    expect(err).toContain(fixOf('consent_web_client'));
    expect(code).toBe(1);
  });
});

test('CI has a browser', () => {
  expect(hasChromium || process.env.CI !== 'true', 'CI needs /usr/bin/chromium').toBe(true);
});

describe.runIf(hasChromium)('in a browser (skipped without /usr/bin/chromium)', { timeout: 120_000 }, () => {
  const browser = useChromium();

  async function start(gmail: Simulator, workspace: Awaited<ReturnType<typeof createWorkspace>>) {
    const args = ['--user', gmail.user, '--client-file', workspace.clientFile, '--out', workspace.file];
    const login = run(['login', ...args], workspace.env);
    const [url] = await login.saw(/http:\/\/127\.0\.0\.1:\d+\/login/);
    const page = await browser().newPage();
    await page.goto(url);
    return { login, page };
  }

  test('the account consents, and the service sends with the file', async () => {
    await using gmail = await startSimulator();
    await using workspace = await createWorkspace(gmail);
    const { login, page } = await start(gmail, workspace);
    await using _ = login;
    expect(await page.textContent('body')).toContain(gmail.user);
    await page.getByRole('checkbox').check();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('heading', { name: 'Back to the terminal' }).waitFor();
    expect(await login.ended).toBe(0);
    await using service = await startService({
      smtp: gmail.url,
      ca: gmail.ca,
      env: { GMAIL_USER: gmail.user, GMAIL_APP_PASSWORD: '', GMAIL_OAUTH_FILE: workspace.file },
    });
    const { body } = await service.send(
      { to: 'ada@acme.test', subject: 'Hello', text: 'Hello' },
      { wait: 30 },
    );
    expect(body).toMatchObject({ status: 'sent' });
    expect(gmail.messages).toMatchObject([{ authMethod: 'XOAUTH2', user: gmail.user }]);
  });

  test.each([
    ['chooses another account', 'other@simulator.test', 'Continue', 'consent_other_account'],
    ['cancels', null, 'Cancel', 'consent_denied'],
  ] as const)('the user %s', async (_, account, button, code) => {
    await using gmail = await startSimulator();
    await using workspace = await createWorkspace(gmail);
    const { login, page } = await start(gmail, workspace);
    await using __ = login;
    if (account !== null) {
      await page.getByRole('link', { name: 'Use another account' }).click();
      await page.getByRole('link', { name: account }).click();
      await page.getByRole('checkbox').check();
    }
    await page.getByRole('button', { name: button }).click();
    await page.getByRole('heading', { name: 'Back to the terminal' }).waitFor();
    expect(await login.ended).toBe(1);
    expect(login.output().err).toContain(fixOf(code));
  });

  test('the user pastes the address of the page that cannot be loaded', async () => {
    await using gmail = await startSimulator();
    await using folder = await createFolder();
    const login = startLogin(gmail, folder.file, { paste: true });
    const page = await browser().newPage();
    await page.goto(await login.page);
    await page.getByRole('checkbox').check();
    const failed = page.waitForEvent('requestfailed');
    await page.getByRole('button', { name: 'Continue' }).click();
    login.enter((await failed).url());
    expect(await login.trial).toMatchObject({ kind: 'accepted' });
  });
});
