import { execFile, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeEach, expect, test } from 'vitest';
import { parseDuration } from '../../src/config/value-parsers.ts';
import { VARIABLES } from '../../src/config/variables.ts';
import { REQUIRED } from '../helpers/config.ts';
import { run } from '../helpers/process.ts';

const exec = promisify(execFile);
const UNIT = new URL('../../examples/systemd/outtray.service', import.meta.url);
/** 0 to 100, where 20 is an exposure of 2.0: "OK" in the words of systemd-analyze. */
const MOST_EXPOSURE = '20';

// With CI=true the tests run without the program, and fail.
beforeEach(({ skip }) =>
  skip(
    !process.env.CI && spawnSync('systemd-analyze', ['--version']).status !== 0,
    'systemd is not installed',
  ),
);

/** Returns the unit, followed by its drop-in. */
async function readUnit(dropIn: string | null): Promise<string> {
  const files = [UNIT, ...(dropIn === null ? [] : [new URL(dropIn, UNIT)])];
  return (await Promise.all(files.map((file) => readFile(file, 'utf8')))).join('\n');
}

/** Writes the unit with the Node of this test: systemd checks that the program exists. */
async function writeUnit(folder: string, dropIn: string | null = null): Promise<string> {
  const file = join(folder, 'outtray.service');
  await writeFile(file, (await readUnit(dropIn)).replace('/usr/bin/node', process.execPath));
  return file;
}

const DROP_INS = ['oauth.conf', 'service-account.conf', 'relay.conf'];

test.each([null, ...DROP_INS])(
  'systemd accepts the unit without a warning, with the drop-in %s',
  async (dropIn) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-systemd-'));
    const { stdout, stderr } = await exec('systemd-analyze', [
      'verify',
      await writeUnit(folder.path, dropIn),
    ]);
    expect([stdout, stderr]).toEqual(['', '']);
  },
);

test('systemd rates the exposure of the unit as OK or better', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-systemd-'));
  const options = ['security', '--offline=true', `--threshold=${MOST_EXPOSURE}`, '--no-pager'];
  await expect(exec('systemd-analyze', [...options, await writeUnit(folder.path)])).resolves.toBeDefined();
});

const OAUTH_LOGIN = {
  type: 'authorized_user',
  account: REQUIRED.GMAIL_USER,
  client_id: 'client.apps.googleusercontent.com',
  client_secret: 'client-secret',
  refresh_token: 'refresh-token',
};
const SERVICE_ACCOUNT = {
  type: 'service_account',
  client_email: 'outtray@acme.iam.gserviceaccount.com',
  private_key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  }),
};
const SECRETS: Readonly<Record<string, string>> = {
  gmail_app_password: REQUIRED.GMAIL_APP_PASSWORD,
  api_keys: REQUIRED.API_KEYS,
  gmail_service_account: JSON.stringify(SERVICE_ACCOUNT),
};

test.each([
  { dropIn: null, credentials: ['gmail_app_password', 'api_keys'], variables: {} },
  { dropIn: 'oauth.conf', credentials: ['api_keys'], variables: {} },
  { dropIn: 'service-account.conf', credentials: ['api_keys', 'gmail_service_account'], variables: {} },
  {
    dropIn: 'relay.conf',
    credentials: ['api_keys'],
    variables: { SMTP_URL: 'smtp://127.0.0.1:9?login=none', SMTP_EHLO_NAME: 'crm.acme.com' },
  },
])('the service starts with the unit and $dropIn', async ({ dropIn, credentials, variables }) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-systemd-'));
  const unit = await readUnit(dropIn);
  const loaded = valuesOf(unit, 'LoadCredential').map((value) => value.split(':')[0] ?? '');
  // An empty value resets the list.
  const names = loaded.slice(loaded.lastIndexOf('') + 1);
  expect(names).toEqual(credentials);
  for (const name of names) await writeFile(join(folder.path, name), SECRETS[name] ?? '');
  await writeFile(join(folder.path, 'gmail-oauth.json'), JSON.stringify(OAUTH_LOGIN));
  const env = Object.fromEntries(
    valuesOf(unit, 'Environment')
      .flatMap((value) => value.split(' '))
      .map((pair) => pair.split('='))
      .map(([name = '', value = '']) => [
        name,
        value.replace('%d', folder.path).replace('/var/lib/outtray', folder.path),
      ]),
  );
  for (const name of valuesOf(unit, 'UnsetEnvironment')) delete env[name];
  const { GMAIL_USER } = REQUIRED;
  await using service = run(['serve'], { ...env, ...variables, GMAIL_USER, PORT: '0' });
  await service.saw(/listening/);
  service.signal('SIGTERM');
  expect(await service.ended).toBe(0);
});

test('the service has more time to stop than SHUTDOWN_TIMEOUT', async () => {
  const [seconds] = valuesOf(await readFile(UNIT, 'utf8'), 'TimeoutStopSec');
  const shutdownTimeout = VARIABLES.find(({ name }) => name === 'SHUTDOWN_TIMEOUT')?.default ?? '';
  expect(Number(seconds) * 1000).toBeGreaterThan(parseDuration(shutdownTimeout));
});

function valuesOf(unit: string, name: string): string[] {
  return [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value);
}
