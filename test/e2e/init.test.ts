import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test, vi } from 'vitest';
import { fixOf } from '../../src/doctor/troubleshooting.ts';
import { freePort } from '../helpers/free-port.ts';
import { createInitFolder } from '../helpers/init.ts';
import { consent } from '../helpers/login.ts';
import { type Running, run } from '../helpers/process.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

// Each test starts processes.
vi.setConfig({ testTimeout: 60_000 });

const hasCurl = existsSync('/usr/bin/curl') || process.env.CI === 'true';

async function ended({ ended: code, output }: Running) {
  return { code: await code, ...output() };
}

async function setUp() {
  const stack = new AsyncDisposableStack();
  const gmail = stack.use(await startSimulator());
  const folder = stack.use(await createInitFolder(gmail));
  const init = (args: string[], { env = {}, input = null }: { env?: object; input?: string | null } = {}) =>
    run(['init', ...args], { ...folder.env, ...env }, folder.path, undefined, input);
  return { gmail, folder, init, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

describe.concurrent('outtray init without a terminal', () => {
  test.runIf(hasCurl)(
    'writes a .env with which the service starts, and a curl line that sends (skipped without curl)',
    async ({ expect }) => {
      await using setup = await setUp();
      const { gmail, folder, init } = setup;
      const PORT = String(await freePort());
      const args = ['--user', gmail.user, '--app-password-file', folder.passwordFile];
      await using running = init(args, { env: { PORT } });
      const { code, out, err } = await ended(running);
      expect(err).toBe('');
      expect(code).toBe(0);
      expect(folder.created()).toEqual(['.env']);
      expect(folder.mode('.env')).toBe('600');
      const [, key = ''] = /^API_KEYS=default:(\w{48})$/m.exec(folder.read('.env')) ?? [];
      expect(key).not.toBe('');
      expect(out).not.toContain(key);
      expect(out).not.toContain(gmail.password);

      await using service = run(['serve'], {}, folder.path);
      await service.saw(/"msg":"listening"/);
      const [, curl = ''] = /^ {2}(curl .*)$/m.exec(out) ?? [];
      const shell = spawn('sh', ['-c', curl], { cwd: folder.path });
      expect(JSON.parse(await text(shell.stdout))).toMatchObject({ status: 'sent' });
      expect(gmail.messages).toMatchObject([{ recipients: [gmail.user] }]);
    },
  );

  test.for([
    ['a pipe', { args: ['--app-password-file', '-'], input: 'abcd efgh ijkl mnop\n' }],
    ['GMAIL_APP_PASSWORD', { env: { GMAIL_APP_PASSWORD: 'abcdefghijklmnop' } }],
  ] as const)('takes the app password from %s', async ([, options], { expect }) => {
    await using setup = await setUp();
    const { args = [], ...rest } = { args: [], ...options };
    await using running = setup.init(['--user', setup.gmail.user, ...args], rest);
    expect(await ended(running)).toMatchObject({ code: 0, err: '' });
    expect(setup.folder.read('.env')).toContain('GMAIL_APP_PASSWORD=abcdefghijklmnop\n');
  });

  test('writes nothing if Gmail refuses the login, and shows the fix', async ({ expect }) => {
    await using setup = await setUp();
    const { gmail, folder, init } = setup;
    await using running = init(['--user', gmail.user, '--app-password-file', folder.wrongPasswordFile]);
    const { code, out, err } = await ended(running);
    expect(out).toContain(fixOf('bad_credentials'));
    expect(err).toBe('Nothing was written.\n');
    expect(code).toBe(1);
    expect(folder.created()).toEqual([]);
  });

  test('sends a test message with --send-to', async ({ expect }) => {
    await using setup = await setUp();
    const { gmail, folder, init } = setup;
    const args = ['--user', gmail.user, '--app-password-file', folder.passwordFile];
    await using running = init([...args, '--send-to', 'ada@example.com']);
    expect(await running.ended).toBe(0);
    expect(gmail.messages).toMatchObject([{ recipients: ['ada@example.com'] }]);
  });

  test('asks for consent in a browser with --client-file', async ({ expect }) => {
    await using setup = await setUp();
    const { gmail, folder, init } = setup;
    await using running = init(['--user', gmail.user, '--client-file', folder.clientFile]);
    await fetch(await consent((await running.saw(/http:\/\/127\.0\.0\.1:\d+\/login/))[0]));
    expect(await ended(running)).toMatchObject({ code: 0, err: '' });
    expect(folder.mode('gmail-oauth.json')).toBe('600');
    expect(folder.read('.env')).toContain('GMAIL_OAUTH_FILE=gmail-oauth.json\n');
  });

  test('writes nothing if the consent is denied', async ({ expect }) => {
    await using setup = await setUp();
    const { gmail, folder, init } = setup;
    await using running = init(['--user', gmail.user, '--client-file', folder.clientFile]);
    const [page] = await running.saw(/http:\/\/127\.0\.0\.1:\d+\/login/);
    await fetch(await consent(page, { decision: 'cancel' }));
    const { code, out } = await ended(running);
    expect(out).toContain(fixOf('consent_denied'));
    expect(code).toBe(1);
    expect(folder.created()).toEqual([]);
  });

  test('logs in with a service account', async ({ expect }) => {
    await using setup = await setUp();
    const { gmail, folder, init } = setup;
    await using running = init(['--user', gmail.user, '--service-account', folder.keyFile]);
    expect(await ended(running)).toMatchObject({ code: 0, err: '' });
    expect(folder.read('.env')).toContain(`GMAIL_SERVICE_ACCOUNT_FILE=${folder.keyFile}\n`);
  });

  test.for([
    [true, 0],
    [false, 1],
  ] as const)(
    'uses the Workspace relay, whose address list has this machine: %s',
    async ([allowed, exit], { expect }) => {
      await using setup = await setUp();
      const { gmail, folder, init } = setup;
      gmail.setRelay({ domains: ['acme.test'], allowed });
      const SMTP_URL = `smtp://localhost:${gmail.starttlsPort}?login=none`;
      await using running = init(['--user', 'bot@acme.test', '--relay'], { env: { SMTP_URL } });
      const { code, out } = await ended(running);
      expect(code).toBe(exit);
      if (allowed)
        expect(folder.read('.env')).toMatch(
          /^GMAIL_USER=bot@acme\.test\nGMAIL_DOMAINS=acme\.test\nSMTP_URL='smtp:.*\?login=none'\nAPI_KEYS=/m,
        );
      else {
        expect(out).toContain('Add the IP address 127.0.0.1 to the allowed addresses');
        expect(folder.created()).toEqual([]);
      }
    },
  );

  test('writes the settings if no server can be reached, and the doctor reports it', async ({ expect }) => {
    await using setup = await setUp();
    const { gmail, folder, init } = setup;
    const SMTP_URL = `smtp://127.0.0.1:${await freePort()}`;
    const args = ['--user', gmail.user, '--app-password-file', folder.passwordFile];
    await using running = init(args, { env: { SMTP_URL } });
    const { code, out } = await ended(running);
    expect(out).toContain('The login was not tried: no server can be used.');
    expect(out).toContain('Mail cannot be sent');
    expect(code).toBe(1);
    expect(folder.created()).toEqual(['.env']);
  });

  test('with --compose writes secrets that the container can read, in a folder closed to other users', async ({
    expect,
  }) => {
    await using setup = await setUp();
    const { gmail, folder, init } = setup;
    const args = ['--compose', '--user', gmail.user, '--app-password-file', folder.passwordFile];
    await using running = init(args);
    const { code, out, err } = await ended(running);
    expect(err).toBe('');
    expect(code).toBe(0);
    expect(folder.created().toSorted()).toEqual([
      '.env',
      'secrets',
      'secrets/api_keys',
      'secrets/gmail_app_password',
    ]);
    expect(['.env', 'secrets', 'secrets/api_keys', 'secrets/gmail_app_password'].map(folder.mode)).toEqual([
      '600',
      '700',
      '644',
      '644',
    ]);
    expect(folder.read('secrets/gmail_app_password')).toBe(gmail.password);
    expect(folder.read('secrets/api_keys')).toMatch(/^default:\w{48}$/);
    // The container has its own HOST, PORT and file of certificates.
    expect(folder.read('.env')).toMatch(/^# .*\nGMAIL_USER=\S+\nSMTP_URL=smtp\S+\n$/);
    expect(out).toContain('docker compose up -d');
  });

  test.for([
    ['.env', [], '.env already exists'],
    ['secrets/api_keys', ['--compose'], 'secrets/api_keys already exists'],
    ['gmail-oauth.json', ['--client-file', 'x'], 'gmail-oauth.json already exists'],
  ] as const)('never overwrites %s', async ([name, args, error], { expect }) => {
    await using setup = await setUp();
    const { gmail, folder, init } = setup;
    if (name.startsWith('secrets')) mkdirSync(join(folder.path, 'secrets'), { mode: 0o700 });
    writeFileSync(join(folder.path, name), 'mine');
    await using running = init(['--user', gmail.user, ...args]);
    const { code, err } = await ended(running);
    expect(err).toContain(error);
    expect(code).toBe(2);
    expect(folder.read(name)).toBe('mine');
  });

  test('never overwrites what a symbolic link names, even if that does not exist', async ({ expect }) => {
    await using setup = await setUp();
    const { gmail, folder, init } = setup;
    symlinkSync(join(folder.path, 'absent'), join(folder.path, '.env'));
    await using running = init(['--user', gmail.user, '--app-password-file', folder.passwordFile]);
    expect(await running.ended).toBe(2);
    expect(folder.created()).toEqual(['.env']);
  });

  test('refuses a file in the place of the folder of secrets', async ({ expect }) => {
    await using setup = await setUp();
    const { gmail, folder, init } = setup;
    writeFileSync(join(folder.path, 'secrets'), 'mine', { mode: 0o700 });
    await using running = init(['--compose', '--user', gmail.user]);
    const { code, err } = await ended(running);
    expect(err).toBe(`${join(folder.path, 'secrets')} is not a directory. Remove or rename it.\n`);
    expect(code).toBe(2);
  });

  test('writes into the folder that a symbolic link names', async ({ expect }) => {
    await using setup = await setUp();
    const { gmail, folder, init } = setup;
    mkdirSync(join(folder.path, 'real'), { mode: 0o700 });
    symlinkSync('real', join(folder.path, 'secrets'));
    const args = ['--compose', '--user', gmail.user, '--app-password-file', folder.passwordFile];
    await using running = init(args);
    expect(await running.ended).toBe(0);
    expect(folder.created()).toContain('real/api_keys');
  });

  test('refuses a folder of secrets that other users can read', async ({ expect }) => {
    await using setup = await setUp();
    const { gmail, folder, init } = setup;
    mkdirSync(join(folder.path, 'secrets'));
    chmodSync(join(folder.path, 'secrets'), 0o755);
    await using running = init([
      '--compose',
      '--user',
      gmail.user,
      '--app-password-file',
      folder.passwordFile,
    ]);
    const { code, err } = await ended(running);
    expect(err).toContain('Close it first: chmod 700 secrets');
    expect(code).toBe(2);
  });

  test.for([
    [[], {}, '--user: It is required, because there is no terminal to ask on.'],
    [['--user', 'ada@acme.test'], {}, 'Set --app-password-file, --client-file, --service-account or --relay'],
    [['--user', 'ada@acme.test', '--compose'], {}, '--app-password-file: It is required'],
    [['--user', 'ada'], {}, '--user: There is no @ in the address'],
    [['--relay', '--service-account', 'x'], {}, '--service-account and --relay cannot be combined'],
    [['--relay'], { GMAIL_APP_PASSWORD: 'x' }, 'GMAIL_APP_PASSWORD and --relay cannot be combined'],
    [['--relay', '--compose'], {}, '--compose: docker-compose.yml logs in with an app password.'],
    [['--relay', '--paste'], {}, '--paste and --port are for OAuth'],
    [['--relay'], {}, 'SMTP_URL: A server in it takes a login.'],
    [
      ['--user', 'ada@gmail.com', '--relay'],
      { SMTP_URL: '' },
      'ada@gmail.com is a personal account, and --relay needs one of a Workspace.',
    ],
    [
      ['--user', 'ada@gmail.com', '--service-account', 'key.json'],
      {},
      '--service-account needs one of a Workspace.',
    ],
    [
      ['--user', 'ada@acme.test', '--client-file', 'x', '--paste', '--port', '1'],
      {},
      '--paste and --port cannot be combined',
    ],
    [[], { API_KEYS: 'crm:x' }, 'API_KEYS: It is set in the environment'],
    [
      ['--user', 'ada@acme.test', '--app-password-file', 'x'],
      { GMAIL_OAUTH_CLIENT_ID: 'x', GMAIL_SERVICE_ACCOUNT_FILE: '/absent' },
      'GMAIL_OAUTH_CLIENT_ID: It is set in the environment',
    ],
    [['--user', 'ada@acme.test'], { GMAIL_USER: 'bob@acme.test' }, '--user: The environment sets GMAIL_USER'],
    [[], { NODE_TLS_REJECT_UNAUTHORIZED: '0' }, 'NODE_TLS_REJECT_UNAUTHORIZED: It is 0'],
    [['--user', 'ada@acme.test', '--app-password-file', 'absent'], {}, 'absent cannot be read'],
    [
      ['--user', 'ada@acme.test'],
      { GMAIL_APP_PASSWORD: 'hunter2' },
      'GMAIL_APP_PASSWORD: It has more than letters and spaces.',
    ],
    [['--app-password', 'x'], {}, "Unknown option '--app-password'"],
  ] as const)('%j with %j is an error that names the option', async ([args, env, error], { expect }) => {
    await using setup = await setUp();
    await using running = setup.init([...args], { env });
    const { code, out, err } = await ended(running);
    expect(err).toContain(error);
    expect(out).toBe('');
    expect(code).toBe(2);
    expect(setup.folder.created()).toEqual([]);
  });
});
