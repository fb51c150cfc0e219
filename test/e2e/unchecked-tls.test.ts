import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TlsOptions } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { postForm } from '../../src/adapters/mail-server/token-request.ts';
import { openRedisBackend } from '../../src/adapters/redis/index.ts';
import { createWebhookSender } from '../../src/adapters/webhook/webhook-sender.ts';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { checkOf, diagnose } from '../helpers/doctor.ts';
import { hasImapDovecot, startImapDovecot } from '../helpers/imap/dovecot.ts';
import { openTestMailbox, passwordOf } from '../helpers/imap/mailbox.ts';
import { run } from '../helpers/process.ts';
import { startService } from '../helpers/service.ts';
import { startFaultySmtp } from '../helpers/smtp/faulty-smtp.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const OFF = { NODE_TLS_REJECT_UNAUTHORIZED: '0' };
const ACCOUNT = {
  API_KEYS: 'crm:crm-secret-0123456789-abcdefghij',
  GMAIL_USER: 'bot@acme.com',
  GMAIL_APP_PASSWORD: 'abcdefghijklmnop',
};
const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };
/** Production back-off: a paused account stays paused during the test. */
const PRODUCTION_BACKOFF = 1;

/** A TLS server with an untrusted certificate, which sends nothing and records what it receives. */
async function startListener(options: TlsOptions = {}) {
  const heard: string[] = [];
  const { cert, key } = createCertificate(['localhost']);
  const server = createServer({ cert, key, ...options }, (socket) => {
    socket.on('data', (chunk) => heard.push(String(chunk))).on('error', () => {});
  });
  server.on('tlsClientError', () => {}).listen(0);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { port, heard, [Symbol.asyncDispose]: async () => void server.close() };
}

/** TLS 1.1 at most. */
const TLS_1_1 = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;

describe('with NODE_TLS_REJECT_UNAUTHORIZED=0', () => {
  beforeEach(() => void vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0'));
  afterEach(() => void vi.unstubAllEnvs());

  test('Node itself connects to an untrusted server', async () => {
    await using listener = await startListener();
    const socket = connect({ host: 'localhost', port: listener.port });
    await once(socket, 'secureConnect');
    socket.destroy();
  });

  test('sends no password to an untrusted server after STARTTLS', async () => {
    await using gmail = await startFaultySmtp(() => null);
    await using service = await startService({ smtp: gmail.url, backoffScale: PRODUCTION_BACKOFF });
    const { id } = (await service.send(HELLO)).body;
    await expect.poll(async () => (await service.get(id)).error?.code).toBe('tls_failed');
    expect((await service.get(id)).error?.detail).toContain('SELF_SIGNED_CERT_IN_CHAIN');
    expect(gmail.log).toMatchObject({ connections: 1, logins: 0, copies: [] });
    expect(gmail.log.unencryptedCommands.map((line) => line.split(' ')[0])).toEqual(['EHLO', 'STARTTLS']);
  });

  test('sends nothing to an untrusted server on an implicit TLS port', async () => {
    await using listener = await startListener();
    await using service = await startService({
      smtp: `smtps://localhost:${listener.port}`,
      backoffScale: PRODUCTION_BACKOFF,
    });
    const { id } = (await service.send(HELLO)).body;
    await expect.poll(async () => (await service.get(id)).error?.code).toBe('tls_failed');
    expect(listener.heard).toEqual([]);
  });

  test('sends no password to an untrusted IMAP server', async () => {
    await using gmail = await startSimulator();
    const { url, counters } = gmail.imap;
    await using mailbox = openTestMailbox({ url, credentials: passwordOf(gmail.password) });
    expect(await mailbox.findSent('<id@example.com>')).toMatchObject({
      kind: 'failed',
      fault: { code: 'imap_unavailable', detail: expect.stringContaining('certificate is not trusted') },
    });
    expect(counters).toMatchObject({ logins: 0, failedLogins: 0 });
  });

  test.skipIf(!hasImapDovecot)(
    'sends no password to an untrusted IMAP server after STARTTLS (skipped without dovecot and its imapd)',
    async () => {
      await using dovecot = await startImapDovecot();
      const credentials = passwordOf(dovecot.password);
      await using mailbox = openTestMailbox({ url: dovecot.starttlsUrl, credentials });
      expect(await mailbox.findSent('<id@example.com>')).toMatchObject({
        kind: 'failed',
        fault: { code: 'imap_unavailable', detail: expect.stringContaining('certificate is not trusted') },
      });
    },
  );

  test('sends no secret to an untrusted token endpoint', async () => {
    await using listener = await startListener();
    const asked = postForm(`https://localhost:${listener.port}/token`, { refresh_token: 'a-secret' }, 5000);
    await expect(asked).rejects.toMatchObject({
      code: 'EFETCH',
      message: expect.stringContaining('its certificate is not trusted'),
    });
    expect(listener.heard).toEqual([]);
  });

  test('sends no password to an untrusted Redis', async () => {
    await using listener = await startListener();
    const url = `rediss://:a-secret@localhost:${listener.port}`;
    const opened = openRedisBackend({
      url,
      maxMessages: 10,
      maxBytes: 1e6,
      retainMs: 60_000,
      onAvailabilityChange() {},
    });
    await expect(opened).rejects.toMatchObject({ message: expect.stringMatching(/self-signed|SELF_SIGNED/) });
    expect(listener.heard).toEqual([]);
  });

  test('sends nothing to an untrusted webhook endpoint', async () => {
    await using listener = await startListener();
    const sender = createWebhookSender({
      secretsOf: () => [Buffer.alloc(32)],
      allowedHosts: ['localhost'],
      version: '0',
    });
    const url = `https://localhost:${listener.port}/hooks`;
    expect(await sender.post({ url, key: null, id: 'evt_1', sentAt: 0, body: '{}' })).toMatchObject({
      kind: 'failed',
    });
    await sender.close();
    expect(listener.heard).toEqual([]);
  });

  test('reports the issuer in the doctor, and does not log in', async () => {
    await using gmail = await startFaultySmtp(() => null);
    const report = await diagnose({ smtp: gmail.url, env: OFF });
    expect(checkOf(report, 'tls')).toMatchObject({
      status: 'fail',
      code: 'tls_intercepted',
      detail: expect.stringContaining('It was issued by'),
    });
    expect(checkOf(report, 'configuration')).toMatchObject({
      status: 'fail',
      target: 'NODE_TLS_REJECT_UNAUTHORIZED',
    });
    expect(gmail.log.logins).toBe(0);
    expect(new Set(gmail.log.unencryptedCommands.map((line) => line.split(' ')[0]))).toEqual(
      new Set(['EHLO', 'STARTTLS']),
    );
  });
});

describe('server with TLS 1.1 only', () => {
  test('pauses the account with tls_failed and names the reason', async () => {
    await using listener = await startListener(TLS_1_1);
    await using service = await startService({
      smtp: `smtps://localhost:${listener.port}`,
      backoffScale: PRODUCTION_BACKOFF,
    });
    const { id } = (await service.send(HELLO)).body;
    await expect.poll(async () => (await service.get(id)).error?.code).toBe('tls_failed');
    expect((await service.get(id)).error?.detail).toContain('does not support TLS 1.2 or newer');
  });

  test('is refused with NODE_OPTIONS=--tls-min-v1.0, too', async () => {
    await using listener = await startListener(TLS_1_1);
    await using doctor = run(['doctor', '--json'], {
      ...ACCOUNT,
      SMTP_URL: `smtps://localhost:${listener.port}`,
      NODE_OPTIONS: '--tls-min-v1.0 --tls-cipher-list=DEFAULT:@SECLEVEL=0',
    });
    expect(await doctor.ended).toBe(1);
    const { checks } = JSON.parse(doctor.output().out);
    expect(checks.find(({ id }: { id: string }) => id === 'tls').detail).toContain(
      'does not support TLS 1.2 or newer',
    );
  });
});

describe.concurrent('NODE_TLS_REJECT_UNAUTHORIZED=0', () => {
  test('prevents serve from starting, with exit code 2, and is listed among all problems', async () => {
    await using service = run(['serve'], { ...ACCOUNT, ...OFF, GMAIL_USER: 'ada', PORT: '0' });
    expect(await service.ended).toBe(2);
    const { err } = service.output();
    expect(err).toMatch(/NODE_TLS_REJECT_UNAUTHORIZED: .*NODE_EXTRA_CA_CERTS/);
    expect(err).toContain('GMAIL_USER: ');
  });

  test('prevents the demo from starting', async () => {
    await using demo = run(['demo', '--once'], { ...OFF, PORT: '0' });
    expect(await demo.ended).toBe(2);
    expect(demo.output().err).toContain('NODE_TLS_REJECT_UNAUTHORIZED');
  });

  test('fails in the doctor', async () => {
    await using doctor = run(['doctor'], { ...ACCOUNT, ...OFF, SMTP_URL: 'smtp://127.0.0.1:9' });
    expect(await doctor.ended).toBe(1);
    expect(doctor.output().out).toMatch(/NODE_TLS_REJECT_UNAUTHORIZED/);
  });
});
