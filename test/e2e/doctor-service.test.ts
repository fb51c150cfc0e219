import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import type { DoctorResource } from '../../src/http/schemas/doctor.ts';
import { run } from '../helpers/process.ts';
import { ADMIN_KEY, API_KEY, startService } from '../helpers/service.ts';
import { createSimulatorEnv } from '../helpers/smtp/simulator-env.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const MAIL = { to: 'ada@simulator.test', subject: 'Hello', text: 'Hello, Ada.' };

/** Starts a service against a simulator, with this QUEUE_URL. */
async function startAll(env: Record<string, string> = {}) {
  const gmail = await startSimulator();
  const { user, password, url, ca } = gmail;
  const account = { GMAIL_USER: user, GMAIL_APP_PASSWORD: password };
  const service = await startService({ smtp: url, ca, env: { ...account, ...env } });
  async function read(): Promise<DoctorResource> {
    const { body } = await service.request('/doctor', { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
    return body as unknown as DoctorResource;
  }
  async function close() {
    await service.close();
    await gmail[Symbol.asyncDispose]();
  }
  return { gmail, service, read, [Symbol.asyncDispose]: close };
}

function checkOf({ checks }: DoctorResource, id: string) {
  return checks.find((check) => check.id === id);
}

describe.concurrent('GET /doctor', () => {
  test('returns one report to all requests within a minute, and logs in once', async () => {
    await using all = await startAll();
    const reports = await Promise.all([all.read(), all.read()]);
    reports.push(await all.read());
    const [report] = reports;
    expect(reports).toEqual([report, report, report]);
    expect(report).toMatchObject({ ok: true, version: '0.0.0-test', first: null });
    expect(Math.abs(Date.now() - Date.parse(report?.made_at ?? ''))).toBeLessThan(30_000);
    expect(report && checkOf(report, 'auth')).toMatchObject({ status: 'pass' });
    expect(all.gmail.counters).toMatchObject({ logins: 1, accepted: 0 });
  });

  test('needs a key with the scope admin', async () => {
    await using all = await startAll();
    const { status, body } = await all.service.request('/doctor');
    expect([status, body.code]).toEqual([403, 'insufficient_scope']);
    expect(all.gmail.counters.logins).toBe(0);
  });

  test('contains no secret', async () => {
    await using all = await startAll({
      ALERT_WEBHOOK_URL: 'https://chat.invalid/hooks/T0P-S3CRET',
      WEBHOOK_URL: 'https://crm.invalid/hooks/T0P-S3CRET',
      WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 'S3CRET').toString('base64')}`,
    });
    all.gmail.setLoginFault('bad-credentials');
    const text = JSON.stringify(await all.read());
    expect(text).toContain('535');
    for (const secret of ['S3CRET', Buffer.alloc(32, 'S3CRET').toString('base64'), all.gmail.password])
      expect(text).not.toContain(secret);
    for (const secret of [API_KEY, ADMIN_KEY]) expect(text).not.toContain(secret);
  });

  test('does not log in while Gmail reports too many logins', async () => {
    await using all = await startAll();
    all.gmail.setLoginFault('too-many-logins');
    await all.service.send(MAIL);
    await vi.waitFor(() => expect(all.gmail.counters.failedLogins).toBe(1));
    await vi.waitFor(async () => {
      const { body } = await all.service.request('/accounts');
      expect(JSON.stringify(body)).toContain('login_throttled');
    });
    const before = all.gmail.counters.failedLogins;
    expect(checkOf(await all.read(), 'auth')).toMatchObject({
      status: 'skip',
      detail: 'not tried: Gmail reports too many logins',
    });
    expect(all.gmail.counters.failedLogins).toBe(before);
  });

  test('leaves the lock of the SQLite file with the service', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
    const url = `sqlite:${join(folder.path, 'queue.db')}`;
    await using all = await startAll({ QUEUE_URL: url });
    expect(checkOf(await all.read(), 'queue')).toMatchObject({
      status: 'pass',
      detail: 'the service reads and writes its file',
    });
    await using second = run(['serve'], {
      PORT: '0',
      QUEUE_URL: url,
      API_KEYS: `crm:${API_KEY}`,
      GMAIL_USER: all.gmail.user,
      GMAIL_APP_PASSWORD: all.gmail.password,
    });
    expect(await second.ended).toBe(2);
    expect(second.output().err).toContain('is in use by another process');
  });

  test('checks the accounts as they are after a reload', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
    const envFile = join(folder.path, '.env');
    await writeFile(envFile, 'GMAIL_ALIASES=a@old.test');
    await using gmail = await startSimulator();
    await using simulatorEnv = await createSimulatorEnv(gmail);
    const env = { PORT: '0', API_KEYS: `boss:${ADMIN_KEY}:admin`, ...simulatorEnv.env };
    await using service = run(['serve'], env, folder.path);
    const [, url = ''] = await service.saw(/"url":"(http:[^"]+)"/);
    await writeFile(envFile, 'GMAIL_ALIASES=a@new.test');
    service.signal('SIGHUP');
    await service.saw(/"msg":"accounts reloaded"/);
    const response = await fetch(`${url}/doctor`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
    const { checks } = (await response.json()) as DoctorResource;
    const domains = checks.filter(({ id }) => id === 'spf').map(({ target }) => target);
    expect(domains).toEqual(['simulator.test', 'new.test']);
  });

  test('counts the messages of each From domain to personal Gmail accounts', async () => {
    await using all = await startAll();
    await all.service.send(
      { ...MAIL, to: ['ada@gmail.com', 'bob@googlemail.com'], cc: 'eve@example.com' },
      { wait: 10 },
    );
    expect(checkOf(await all.read(), 'gmail_volume')).toMatchObject({
      status: 'pass',
      target: 'simulator.test',
      detail: '2 messages to gmail.com in 24 hours; the rules for bulk senders begin at 5000',
    });
  });
});
