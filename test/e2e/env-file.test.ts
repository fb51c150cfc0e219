import { mkdirSync, mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { run } from '../helpers/process.ts';
import { API_KEY } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

/** A working directory with a `.env` for the simulator, and the environment that trusts its CA. */
function workAgainst(gmail: Simulator, more = '') {
  const folder = mkdtempDisposableSync(join(tmpdir(), 'outtray-'));
  writeFileSync(join(folder.path, 'ca.pem'), gmail.ca);
  writeFileSync(
    join(folder.path, '.env'),
    `\uFEFFexport GMAIL_USER="${gmail.user}"\r\nGMAIL_APP_PASSWORD='${gmail.password}'\r\nAPI_KEYS=crm:${API_KEY}\r\n` +
      `SMTP_URL=${gmail.url}\r\nNODE_EXTRA_CA_CERTS=ca.pem\r\nPORT=0\r\n${more}`,
  );
  return { path: folder.path, [Symbol.dispose]: () => folder.remove() };
}

describe('.env in the working directory', () => {
  test('configures serve, and the one line at start names it', async () => {
    await using gmail = await startSimulator();
    using folder = workAgainst(gmail);
    await using service = run(['serve'], {}, folder.path);
    const [, url = ''] = await service.saw(/"url":"(http:[^"]+)"/);
    const lines = service
      .output()
      .out.trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toEqual([
      {
        level: 'info',
        time: expect.any(String),
        version: expect.stringMatching(/^\d+\.\d+\.\d+/),
        url,
        accounts: [gmail.user],
        durability: 'memory',
        api_keys: 1,
        env_file: join(folder.path, '.env'),
        msg: 'listening',
      },
    ]);
    const response = await fetch(`${url}/send`, {
      method: 'POST',
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json', prefer: 'wait=20' },
      body: JSON.stringify({ to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' }),
    });
    expect(await response.json()).toMatchObject({ status: 'sent' });
  });

  test('is read by the doctor, which reports it in a line', async () => {
    await using gmail = await startSimulator();
    using folder = workAgainst(gmail);
    await using doctor = run(['doctor'], {}, folder.path);
    expect(await doctor.ended).toBe(0);
    expect(doctor.output().out).toMatch(
      new RegExp(`^✓ Configuration +\\.env +loaded from ${join(folder.path, '.env')}`, 'm'),
    );
  });

  test('gives healthcheck the port', async () => {
    await using gmail = await startSimulator();
    using folder = workAgainst(gmail);
    await using service = run(['serve'], {}, folder.path);
    const [, port = ''] = await service.saw(/"url":"http:[^"]+:(\d+)"/);
    writeFileSync(join(folder.path, '.env'), `PORT="${port}"`);
    await using healthcheck = run(['healthcheck'], {}, folder.path);
    expect(await healthcheck.ended).toBe(0);
  });

  test('is overridden by the environment', async () => {
    await using gmail = await startSimulator();
    using folder = workAgainst(gmail, 'LOG_LEVEL=loud\r\n');
    await using service = run(['serve'], { LOG_LEVEL: 'info' }, folder.path);
    await service.saw(/"msg":"listening"/);
  });

  test('is named with configuration problems', async () => {
    await using gmail = await startSimulator();
    using folder = workAgainst(gmail, 'LOG_LEVEL=loud\r\n');
    await using service = run(['serve'], {}, folder.path);
    expect(await service.ended).toBe(2);
    expect(service.output().err).toMatch(
      new RegExp(`^ {2}LOG_LEVEL: .*\nThe environment and ${folder.path}/\\.env were read`, 'm'),
    );
  });

  test.each(['serve', 'doctor'])(
    'that is unreadable makes %s exit with code 2 and name it',
    async (command) => {
      using folder = mkdtempDisposableSync(join(tmpdir(), 'outtray-'));
      mkdirSync(join(folder.path, '.env'));
      await using process = run([command], {}, folder.path);
      expect(await process.ended).toBe(2);
      expect(process.output()).toEqual({
        out: '',
        err: `${folder.path}/.env is not a file. Replace it with one, or remove it.\n`,
      });
    },
  );

  test('is not read by the demo', async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'outtray-'));
    writeFileSync(join(folder.path, '.env'), 'PORT=none\nRATE_LIMIT=none\n');
    await using demo = run(['demo', '--once'], { PORT: '0' }, folder.path);
    expect(await demo.ended).toBe(0);
  });
});

test('an error about a missing variable mentions that there is no .env', async () => {
  await using service = run(['serve']);
  expect(await service.ended).toBe(2);
  expect(service.output().err).toContain('there is no .env file in the working directory');
});
