import { describe, expect, test, vi } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { checkOf, diagnoseWith } from '../helpers/doctor.ts';
import { APP_PASSWORD, startService } from '../helpers/service.ts';
import { failAt, startFaultySmtp } from '../helpers/smtp/faulty-smtp.ts';
import { accountsOf, sendMany } from '../helpers/smtp/gmail.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { openTransportTo } from '../helpers/smtp/transport.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };
const WITHOUT_LOGIN = {
  GMAIL_USER: 'bot@acme.test',
  GMAIL_APP_PASSWORD: '',
  GMAIL_DOMAINS: 'acme.test',
  SMTP_EHLO_NAME: 'crm.acme.test',
};

async function startRelay(allowed = true): Promise<Simulator> {
  const relay = await startSimulator();
  relay.setRelay({ domains: ['acme.test'], allowed });
  return relay;
}

/** SMTP_URL of both ports, without login. */
function urlOf({ url }: Simulator): string {
  return url.replaceAll(/(?=,|$)/g, '?login=none');
}

function serviceOf(relay: Simulator, env: Record<string, string> = {}, backoffScale = 0.002) {
  const all = { ...WITHOUT_LOGIN, ...env };
  return startService({ smtp: urlOf(relay), ca: relay.ca, env: all, backoffScale });
}

describe.concurrent('the Workspace relay', { timeout: 60_000 }, () => {
  test('gets mail from every address of GMAIL_DOMAINS without a login, and keeps From', async () => {
    await using relay = await startRelay();
    await using service = await serviceOf(relay);
    for (const from of ['Sales <sales@acme.test>', 'help@acme.test', undefined])
      expect((await service.send({ ...HELLO, from }, { wait: 30 })).status).toBe(200);
    expect(
      relay.messages.map(({ from, user, secure, rewrittenFrom }) => [from, user, secure, rewrittenFrom]),
    ).toEqual([
      ['sales@acme.test', '', true, null],
      ['help@acme.test', '', true, null],
      ['bot@acme.test', '', true, null],
    ]);
    expect(relay.counters).toMatchObject({ logins: 0, failedLogins: 0 });
    expect((await service.send({ ...HELLO, from: 'sales@other.test' })).body).toMatchObject({
      code: 'sender_not_allowed',
      hint: expect.stringContaining('GMAIL_DOMAINS'),
    });
    expect(await accountsOf(service)).toMatchObject([{ quota: { messages: { limit: 10_000 } } }]);
  });

  test('never gets credentials, even if another server has a login', async () => {
    await using relay = await startRelay();
    const { starttlsPort, tlsPort } = relay;
    await using service = await startService({
      smtp: `smtp://localhost:${starttlsPort}?login=none,smtps://localhost:${tlsPort}`,
      ca: relay.ca,
      env: { ...WITHOUT_LOGIN, GMAIL_APP_PASSWORD: relay.password },
    });
    expect((await service.send(HELLO, { wait: 30 })).status).toBe(200);
    await relay.blockPort('starttls', 'refused');
    expect((await service.send(HELLO, { wait: 30 })).status).toBe(200);
    expect(relay.messages.map(({ user }) => user)).toEqual(['', 'bot@acme.test']);
  });

  test('never gets mail unencrypted', async () => {
    await using relay = await startRelay();
    relay.offerStarttls(false);
    await using service = await startService({
      smtp: `smtp://localhost:${relay.starttlsPort}?login=none`,
      ca: relay.ca,
      env: WITHOUT_LOGIN,
    });
    const { body } = await service.send(HELLO, { wait: 30 });
    expect(body).toMatchObject({ status: 'deferred', error: { code: 'tls_failed' } });
    expect(relay.counters.transactions).toBe(0);
  });

  test('that does not allow the IP address pauses the account, and names the address', async () => {
    await using relay = await startRelay(false);
    await using service = await serviceOf(relay, {}, 1);
    const { body } = await service.send(HELLO, { wait: 30 });
    expect(body).toMatchObject({
      status: 'deferred',
      attempts: [],
      error: {
        code: 'relay_denied',
        scope: 'account',
        detail: expect.stringContaining('Invalid credentials for relay [127.0.0.1]'),
        hint: expect.stringMatching(/Google Admin console.*Add the IP address 127\.0\.0\.1/),
      },
    });
    const ids = await sendMany(service, 5, HELLO);
    expect(await accountsOf(service)).toMatchObject([{ status: 'paused', code: 'relay_denied' }]);
    expect(relay.counters.throttled).toBe(1);

    // A session alone does not show whether the relay accepts mail: the next message does.
    const verified = await service.request('/accounts/bot@acme.test/verify', { method: 'POST' });
    expect(verified).toMatchObject({ status: 200, body: { status: 'paused' } });
    await vi.waitFor(async () => {
      expect(relay.counters.throttled).toBe(2);
      for (const id of [body.id, ...ids]) expect((await service.get(id)).status).toBe('deferred');
    }, 10_000);
  });

  test('gets the mail that waits once it allows the IP address', async () => {
    await using relay = await startRelay(false);
    await using service = await serviceOf(relay);
    const { body } = await service.send(HELLO, { wait: 30 });
    expect(body).toMatchObject({ status: 'deferred', error: { code: 'relay_denied' } });
    relay.setRelay({ domains: ['acme.test'], allowed: true });
    expect(await service.settled(body.id)).toMatchObject({ status: 'sent' });
    expect(await accountsOf(service)).toMatchObject([{ status: 'ready' }]);
  });

  test('that does not own the domain of From pauses the account and names the domain', async () => {
    await using relay = await startRelay();
    await using service = await serviceOf(relay, { GMAIL_DOMAINS: 'acme.test,other.test' }, 1);
    const { body } = await service.send({ ...HELLO, from: 'sales@other.test' }, { wait: 30 });
    expect(body).toMatchObject({
      status: 'deferred',
      error: { code: 'relay_denied', detail: expect.stringContaining('domains in: other.test') },
    });
  });

  test('that refuses the name in EHLO pauses the account until SMTP_EHLO_NAME is set', async () => {
    await using relay = await startRelay();
    const env = { SMTP_EHLO_NAME: '[127.0.0.1]' };
    await using service = await serviceOf(relay, env, 1);
    const { body } = await service.send(HELLO, { wait: 30 });
    expect(body).toMatchObject({
      status: 'deferred',
      error: { code: 'ehlo_refused', scope: 'account', hint: expect.stringContaining('SMTP_EHLO_NAME') },
    });
    await using other = await serviceOf(relay);
    expect((await other.send(HELLO, { wait: 30 })).status).toBe(200);
  });
});

test.each([
  ['mail', '550 5.7.1 Invalid credentials for relay [192.0.2.1].'],
  ['rcpt', '504 5.5.2 <crm.test>: Helo command rejected: need fully-qualified hostname'],
] as const)('a session that is refused at %s with %s is not used again', async (stage, reply) => {
  await using server = await startFaultySmtp(failAt(stage, reply));
  const { ca, port } = server;
  const account = { ca, user: 'bot@acme.test', starttlsPort: port, tlsPort: port };
  await using transport = openTransportTo(account, {
    credentials: () => ({ kind: 'app_password', password: APP_PASSWORD }),
  });
  expect((await transport.send()).fault).toMatchObject({ scope: 'account' });
  expect((await transport.send()).fault).toBeNull();
  expect(server.log.connections).toBe(2);
});

describe.concurrent('doctor of the relay', { timeout: 60_000 }, () => {
  const doctor = (relay: Simulator, env: Record<string, string> = {}) =>
    diagnoseWith(relay, { smtp: urlOf(relay), env: { ...WITHOUT_LOGIN, ...env } });

  test('passes without a login, for a From in GMAIL_DOMAINS', async () => {
    await using relay = await startRelay();
    const report = await doctor(relay, { GMAIL_FROM: 'Acme <no-reply@acme.test>' });
    expect(report.checks.filter(({ status }) => !['pass', 'skip'].includes(status))).toEqual([]);
    expect(checkOf(report, 'auth')).toMatchObject({ status: 'skip', detail: 'no login: login=none' });
    expect(checkOf(report, 'from')).toMatchObject({ detail: 'no-reply@acme.test, in one of the domains' });
    expect(checkOf(report, 'envelope')).toMatchObject({ status: 'pass' });
    expect(relay.counters).toMatchObject({ logins: 0, failedLogins: 0 });
  });

  test('sends a test message without a login', async () => {
    await using relay = await startRelay();
    const report = await diagnoseWith(relay, {
      smtp: urlOf(relay),
      env: WITHOUT_LOGIN,
      sendTo: 'ada@example.com',
    });
    expect(checkOf(report, 'send')).toMatchObject({ status: 'pass' });
    expect(relay.messages).toHaveLength(1);
  });

  test.each([
    ['envelope', 'relay_denied', false, {}, 'Add the IP address 127.0.0.1 to the allowed addresses'],
    ['envelope', 'relay_denied', true, { GMAIL_FROM: 'a@other.test' }, 'Google Admin console'],
  ] as const)('reports at %s %s', async (id, code, allowed, env, advice) => {
    await using relay = await startRelay(allowed);
    const report = await doctor(relay, env);
    expect(checkOf(report, id)).toMatchObject({
      status: 'fail',
      code,
      advice: expect.stringContaining(advice),
    });
  });

  test('reports ehlo_refused for each server', async () => {
    await using relay = await startRelay();
    const report = await doctor(relay, { SMTP_EHLO_NAME: '[127.0.0.1]' });
    for (const port of [relay.starttlsPort, relay.tlsPort])
      expect(checkOf(report, 'ehlo', new RegExp(`:${port}$`))).toMatchObject({
        status: 'fail',
        code: 'ehlo_refused',
        advice: expect.stringContaining('SMTP_EHLO_NAME'),
      });
    expect(report.ok).toBe(false);
  });

  test('reports a password that contradicts login=none, and checks the rest', async () => {
    await using relay = await startRelay();
    const report = await doctor(relay, { GMAIL_APP_PASSWORD: relay.password });
    expect(checkOf(report, 'configuration')).toMatchObject({
      status: 'fail',
      target: 'GMAIL_APP_PASSWORD',
      detail: 'It contradicts login=none in SMTP_URL, which means no login.',
    });
    expect(checkOf(report, 'envelope')).toMatchObject({ status: 'pass' });
  });

  test('reports an invalid account and still checks the servers', async () => {
    await using relay = await startRelay();
    const report = await doctor(relay, { GMAIL_USER: 'bot' });
    expect(checkOf(report, 'configuration')).toMatchObject({ status: 'fail', target: 'GMAIL_USER' });
    expect(checkOf(report, 'ehlo', new RegExp(`:${relay.tlsPort}$`))).toMatchObject({ status: 'pass' });
  });
});
