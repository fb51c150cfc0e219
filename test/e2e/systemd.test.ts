import { execFile, spawnSync } from 'node:child_process';
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

/** Writes the unit with the Node of this test: systemd checks that the program exists. */
async function writeUnit(folder: string): Promise<string> {
  const file = join(folder, 'outtray.service');
  await writeFile(file, (await readFile(UNIT, 'utf8')).replace('/usr/bin/node', process.execPath));
  return file;
}

test('systemd accepts the unit without a warning', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-systemd-'));
  const { stdout, stderr } = await exec('systemd-analyze', ['verify', await writeUnit(folder.path)]);
  expect([stdout, stderr]).toEqual(['', '']);
});

test('systemd rates the exposure of the unit as OK or better', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-systemd-'));
  const options = ['security', '--offline=true', `--threshold=${MOST_EXPOSURE}`, '--no-pager'];
  await expect(exec('systemd-analyze', [...options, await writeUnit(folder.path)])).resolves.toBeDefined();
});

test('the service starts with the variables and credentials of the unit', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-systemd-'));
  const unit = await readFile(UNIT, 'utf8');
  const secrets: Record<string, string> = {
    gmail_app_password: REQUIRED.GMAIL_APP_PASSWORD,
    api_keys: REQUIRED.API_KEYS,
  };
  const credentials = valuesOf(unit, 'LoadCredential').map((value) => value.split(':')[0] ?? '');
  for (const name of credentials) await writeFile(join(folder.path, name), secrets[name] ?? '');
  const env = Object.fromEntries(
    valuesOf(unit, 'Environment')
      .flatMap((value) => value.split(' '))
      .map((pair) => pair.split('='))
      .map(([name = '', value = '']) => [
        name,
        value.replace('%d', folder.path).replace('/var/lib/outtray', folder.path),
      ]),
  );
  await using service = run(['serve'], { ...env, GMAIL_USER: REQUIRED.GMAIL_USER, PORT: '0' });
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
