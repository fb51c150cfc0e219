import { describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { type Running, run } from '../helpers/process.ts';
import { API_KEY } from '../helpers/service.ts';
import { createSimulatorEnv } from '../helpers/smtp/simulator-env.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

/** Runs `outtray doctor` as an operator does, with the CA of the simulator trusted. */
async function runDoctor(gmail: Simulator, args: string[], env: Record<string, string> = {}) {
  await using simulatorEnv = await createSimulatorEnv(gmail);
  await using doctor: Running = run(['doctor', ...args], {
    API_KEYS: `crm:${API_KEY}`,
    ...simulatorEnv.env,
    ...env,
  });
  const code = await doctor.ended;
  return { code, ...doctor.output() };
}

describe.concurrent('outtray doctor', () => {
  test('exits 0 if mail can be sent, and prints one line per check, in order, without colors', async () => {
    await using gmail = await startSimulator();
    const { code, out, err } = await runDoctor(gmail, []);
    expect(err).toBe('');
    expect(out).toContain('Mail can be sent with every account');
    expect(code).toBe(0);
    expect(out).not.toContain('\u001b');
    const names = [
      'Configuration',
      'DNS',
      'TCP over IPv4',
      'TCP over IPv6',
      'TLS',
      'EHLO',
      'TCP for comparison',
      'From',
      'AUTH',
      'MAIL and RCPT',
    ];
    const places = names.map((name) => out.search(new RegExp(`^[✓!-] ${name} `, 'm')));
    expect(places).not.toContain(-1);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
  });

  test('exits 1 if a login is refused, and prints the fix indented below the check', async () => {
    await using gmail = await startSimulator();
    gmail.setLoginFault('app-password-required');
    const { code, out } = await runDoctor(gmail, []);
    expect(code).toBe(1);
    expect(out).toMatch(/^✗ AUTH .*534 5\.7\.9.*\n {4}Turn on 2-Step Verification, create an app password/m);
    expect(out).toContain('Mail cannot be sent: one check failed');
  });

  test('exits 1 if the service would refuse to start, even if all else works', async () => {
    await using gmail = await startSimulator();
    const { code, out } = await runDoctor(gmail, [], { API_KEYS: '' });
    expect(code).toBe(1);
    expect(out).toMatch(/^✗ Configuration +API_KEYS /m);
    expect(out).toMatch(/^✓ AUTH /m);
  });

  test('prints a single JSON document with --json', async () => {
    await using gmail = await startSimulator();
    const { code, out, err } = await runDoctor(gmail, ['--json'], {
      SMTP_URL: `smtp://localhost:9,${gmail.url}`,
      GMAIL_APP_PASSWRD: 'x',
    });
    const report = JSON.parse(out);
    expect(err).toBe('');
    expect(code).toBe(0);
    expect(report).toMatchObject({ ok: true, version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
    for (const check of report.checks) {
      expect(Object.keys(check)).toEqual([
        'id',
        'name',
        'status',
        'target',
        'detail',
        'code',
        'advice',
        'duration_ms',
      ]);
      expect(check.status).toMatch(/^(?:pass|warn|fail|skip)$/);
      const troubled = ['warn', 'fail'].includes(check.status);
      expect([check.code, check.advice]).toEqual(
        troubled ? [expect.any(String), expect.any(String)] : [null, null],
      );
    }
    expect(report.checks).toContainEqual(
      expect.objectContaining({
        id: 'configuration',
        target: 'GMAIL_APP_PASSWRD',
        status: 'warn',
        advice: 'The nearest name is GMAIL_APP_PASSWORD.',
      }),
    );
  });

  test('sends a real message from each account with --send-to, and prints the reply of the server', async () => {
    await using gmail = await startSimulator();
    const users = ['first@simulator.test', 'second@simulator.test'];
    const { code, out } = await runDoctor(gmail, ['--send-to', 'ada@example.com'], {
      GMAIL_USER: '',
      GMAIL_APP_PASSWORD: '',
      GMAIL_ACCOUNTS: JSON.stringify(users.map((user) => ({ user, app_password: gmail.password }))),
    });
    expect(out).toMatch(
      /^✓ Send +first@simulator\.test +sent to ada@example\.com: 250 2\.0\.0 OK .* - gsmtp$/m,
    );
    expect(code).toBe(0);
    expect(gmail.messages.map(({ user, recipients }) => [user, recipients])).toEqual(
      users.map((user) => [user, ['ada@example.com']]),
    );
  });

  test('fails with --send-to if the server refuses the message', async () => {
    await using gmail = await startSimulator();
    const { code, out } = await runDoctor(gmail, ['--send-to', 'no-such-user@simulator.test']);
    expect(out).toMatch(/^✗ (?:Send|MAIL and RCPT) .*550 5\.1\.1/m);
    expect(code).toBe(1);
    expect(gmail.messages).toEqual([]);
  });

  // Runs seven processes, one after the other.
  test('never prints a secret', { timeout: 60_000 }, async () => {
    await using gmail = await startSimulator({ password: 'rightrightrightr' });
    const password = 'wrongwrongwrongw';
    const oauth = {
      GMAIL_APP_PASSWORD: '',
      GMAIL_OAUTH_CLIENT_ID: gmail.oauth.clientId,
      GMAIL_OAUTH_CLIENT_SECRET: gmail.oauth.clientSecret,
      GMAIL_OAUTH_REFRESH_TOKEN: gmail.oauth.refreshToken,
      GMAIL_OAUTH_TOKEN_URL: gmail.oauth.tokenUrl,
    };
    const wrong = { GMAIL_APP_PASSWORD: password };
    const runs = [
      await runDoctor(gmail, [], wrong),
      await runDoctor(gmail, ['--json'], { ...wrong, API_KEYS: 'crm:too-short-secret' }),
      await runDoctor(gmail, ['--json'], { GMAIL_APP_PASSWORD: 'the-own-password-of-the-account' }),
      await runDoctor(gmail, ['--json'], {
        SMTP_URL: `smtp://u:secret-in-url@localhost:9`,
        ...wrong,
        GMAIL_USER: '',
      }),
      await runDoctor(gmail, ['--json', '--send-to', 'ada@example.com'], oauth),
    ];
    gmail.setLoginFault('web-login');
    runs.push(await runDoctor(gmail, ['--json']), await runDoctor(gmail, ['--json'], oauth));
    const printed = runs.map(({ out, err }) => out + err).join('\n');
    expect(printed).toContain('534 5.7.14');
    const login = Buffer.from(`\0${gmail.user}\0${password}`).toString('base64');
    for (const secret of [
      API_KEY,
      'too-short-secret',
      password,
      login,
      gmail.password,
      'the-own-password',
      'secret-in-url',
      gmail.oauth.clientSecret,
      gmail.oauth.refreshToken,
      'ya29.',
      'Bearer',
      'accounts.google.com/signin',
      'BEGIN CERTIFICATE',
    ]) {
      expect(printed).not.toContain(secret);
    }
  });

  test.each([
    [['--nope'], '--nope'],
    [['ada@example.com'], 'ada@example.com'],
    [['--send-to'], '--send-to'],
    [['--send-to', 'nobody'], '--send-to: '],
  ])('exits 2 for the invalid arguments %j, and prints the reason', async (args, text) => {
    await using doctor = run(['doctor', ...args]);
    expect(await doctor.ended).toBe(2);
    expect(doctor.output()).toEqual({ out: '', err: expect.stringContaining(text) });
  });

  test('exits 0 with --help', async () => {
    await using doctor = run(['doctor', '--help']);
    expect(await doctor.ended).toBe(0);
    expect(doctor.output().out).toContain('--send-to ADDRESS');
  });
});
