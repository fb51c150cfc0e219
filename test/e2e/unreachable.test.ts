import { describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../src/core/errors.ts';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { startEndpoint } from '../helpers/endpoint.ts';
import { type ServiceUnderTest, startService } from '../helpers/service.ts';
import { openBlackHolePort } from '../helpers/smtp/black-hole-port.ts';
import type { FaultPlan, FaultStage, ServerFault } from '../helpers/smtp/faulty-session.ts';
import { startWithFaults } from '../helpers/smtp/faulty-smtp.ts';
import { accountsOf, sendMany, startWithGmail } from '../helpers/smtp/gmail.ts';
import { type RawSession, startRawSmtp } from '../helpers/smtp/raw-smtp.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };
const CLOSING = '421 4.3.0 Service closing transmission channel';
const TIMEOUT_MS = 60_000;
/** Waits as in production, so the first pause lasts longer than a test takes. */
const REAL_TIME = 1;
/** Pauses of 25 ms to 1.5 s. */
const QUICK = 0.005;

const always =
  (stage: FaultStage, fault: ServerFault): FaultPlan =>
  (at) =>
    at === stage ? fault : null;

/** Polls until `holds` returns true. */
async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Waits until every message is deferred for this reason. Returns the total number of attempts. */
async function attemptsOnceDeferred(
  service: ServiceUnderTest,
  ids: readonly string[],
  code: ErrorCode,
  scope: string,
): Promise<number> {
  let attempts = 0;
  for (const id of ids) {
    await until(async () => (await service.get(id)).status === 'deferred');
    const message = await service.get(id);
    expect(message).toMatchObject({
      error: { code, scope, retryable: true },
      finished_at: null,
      next_attempt_at: expect.any(String),
    });
    attempts += message.attempts.length;
  }
  return attempts;
}

const pausesOf = ({ logs }: ServiceUnderTest) =>
  logs.filter(({ msg }) => msg === 'account paused').map(({ code }) => code);

describe.concurrent('an unreachable server', { timeout: TIMEOUT_MS }, () => {
  test.each<[ErrorCode, string, (deaf: number) => string]>([
    ['connect_failed', 'every port is closed', () => 'smtp://127.0.0.1:1,smtps://127.0.0.1:2'],
    [
      'dns_failed',
      'the name has no address',
      () => 'smtp://no-such-host.invalid:587,smtps://no-such-host.invalid:465',
    ],
    ['connect_timeout', 'no SYN is answered', (deaf) => `smtp://127.0.0.1:${deaf}`],
  ])('is detected by one attempt, and all messages wait with %s when %s', async (code, _, smtpFor) => {
    await using deaf = await openBlackHolePort();
    await using service = await startService({
      smtp: smtpFor(deaf.port),
      backoffScale: REAL_TIME,
      deadlines: { connectMs: 1000 },
    });
    const ids = await sendMany(service, 20, HELLO);
    // A message that is due again may have made a second attempt.
    expect(await attemptsOnceDeferred(service, ids, code, 'message')).toBeLessThanOrEqual(2);
    expect(await accountsOf(service)).toMatchObject([
      { status: 'paused', code, since: expect.any(String), until: expect.any(String) },
    ]);
    expect((await service.request('/readyz')).status).toBe(200);
  });

  test.each<[FaultStage, ServerFault, ErrorCode]>([
    ['connect', 'drop', 'connection_lost'],
    ['greeting', CLOSING, 'smtp_temporary_failure'],
    ['greeting', '554 5.7.1 No service', 'connect_failed'],
    ['ehlo', CLOSING, 'smtp_temporary_failure'],
    ['ehlo', 'garble', 'smtp_protocol_error'],
    ['tls', 'reset', 'connection_lost'],
    ['mail', 'drop', 'connection_lost'],
    ['mail', CLOSING, 'smtp_temporary_failure'],
    ['rcpt', 'reset', 'connection_lost'],
    ['data', '250 2.0.0 OK', 'smtp_protocol_error'],
  ])(
    'that ends every session at %s by %s costs one connection for twenty messages (%s)',
    async (stage, fault, code) => {
      await using app = await startWithFaults(always(stage, fault), { backoffScale: REAL_TIME });
      const ids = await sendMany(app.service, 20, HELLO);
      expect(await attemptsOnceDeferred(app.service, ids, code, 'message')).toBeLessThanOrEqual(2);
      expect(app.gmail.log.connections).toBeLessThanOrEqual(2);
      expect(app.gmail.log.copies).toEqual([]);
    },
  );

  test('gets every message once when it is back, with one account.paused and one account.resumed event', async () => {
    let isDown = true;
    await using endpoint = await startEndpoint();
    const env = {
      WEBHOOK_URL: `http://127.0.0.1:${endpoint.port}/`,
      WEBHOOK_ALLOWED_HOSTS: '127.0.0.1',
      WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 1).toString('base64')}`,
    };
    await using app = await startWithFaults((stage) => (isDown && stage === 'greeting' ? CLOSING : null), {
      backoffScale: QUICK,
      env,
    });
    const ids = await sendMany(app.service, 50, HELLO);
    await app.gmail.waitFor(({ connections }) => connections >= 4);
    isDown = false;
    for (const id of ids)
      expect(await app.service.settled(id)).toMatchObject({ status: 'sent', possible_duplicate: false });
    expect(app.gmail.log.copies).toHaveLength(50);
    expect(await accountsOf(app.service)).toMatchObject([{ status: 'ready', code: null }]);
    const types = () =>
      endpoint.heard.map(({ body }) => JSON.parse(body).type).filter((type) => type.startsWith('account.'));
    await until(() => types().length >= 2);
    expect(types()).toEqual(['account.paused', 'account.resumed']);
  });

  test('emits no account.paused when only one connection failed', async () => {
    await using app = await startWithFaults((stage, { connection }) =>
      stage === 'connect' && connection === 1 ? 'drop' : null,
    );
    for (const id of await sendMany(app.service, 10, HELLO))
      expect((await app.service.settled(id)).status).toBe('sent');
    expect(pausesOf(app.service)).toEqual([]);
    expect(app.service.logs.filter(({ msg }) => msg === 'account resumed')).toEqual([]);
  });

  test('that worked before costs at most one attempt per connection', async () => {
    let isDown = false;
    await using app = await startWithFaults(
      (stage) => (isDown && (stage === 'connect' || stage === 'mail') ? 'drop' : null),
      {
        backoffScale: REAL_TIME,
      },
    );
    for (const id of await sendMany(app.service, 10, HELLO))
      expect((await app.service.settled(id)).status).toBe('sent');
    isDown = true;
    const ids = await sendMany(app.service, 20, HELLO);
    expect(await attemptsOnceDeferred(app.service, ids, 'connection_lost', 'message')).toBeLessThanOrEqual(4);
  });

  test('fails every message with retries_exhausted after RETRY_FOR', async () => {
    const env = { RETRY_FOR: '300ms' };
    await using service = await startService({ smtp: 'smtp://127.0.0.1:1', backoffScale: QUICK, env });
    let attempts = 0;
    for (const id of await sendMany(service, 20, HELLO)) {
      const message = await service.settled(id);
      expect(message).toMatchObject({
        status: 'failed',
        error: { code: 'retries_exhausted' },
        recipients: [{ status: 'rejected' }],
      });
      expect(message.error?.detail).toContain('connect_failed');
      attempts += message.attempts.length;
    }
    expect(attempts).toBeLessThan(20);
  });

  test('with RETRY_FOR=0s defers a message once and then fails it', async () => {
    await using service = await startService({
      smtp: 'smtp://127.0.0.1:1',
      backoffScale: QUICK,
      env: { RETRY_FOR: '0s' },
    });
    for (const id of await sendMany(service, 5, HELLO)) {
      expect(await service.settled(id)).toMatchObject({
        status: 'failed',
        error: { code: 'retries_exhausted' },
      });
    }
  });

  test('expires a message at its expires_at', async () => {
    await using service = await startService({ smtp: 'smtp://127.0.0.1:1', backoffScale: REAL_TIME });
    const ids = await sendMany(service, 5, {
      ...HELLO,
      expires_at: new Date(Date.now() + 1500).toISOString(),
    });
    for (const id of ids)
      expect(await service.settled(id)).toMatchObject({ status: 'expired', error: { code: 'expired' } });
  });

  test('is probed at once by POST /accounts/{user}/verify, and everything is sent if it is back', async () => {
    await using app = await startWithGmail({ backoffScale: 1000 });
    await app.gmail.blockPort('starttls', 'refused');
    await app.gmail.blockPort('tls', 'refused');
    const ids = await sendMany(app.service, 20, HELLO);
    await attemptsOnceDeferred(app.service, ids, 'connect_failed', 'message');
    await app.gmail.blockPort('starttls', null);
    const { status, body } = await app.service.request('/accounts/bot@simulator.test/verify', {
      method: 'POST',
    });
    expect([status, body]).toMatchObject([200, { status: 'ready' }]);
    for (const id of ids) expect((await app.service.settled(id)).status).toBe('sent');
  });
});

describe.concurrent('a login that breaks', { timeout: TIMEOUT_MS }, () => {
  test.each<[ServerFault, ErrorCode]>([
    ['drop', 'connection_lost'],
    ['reset', 'connection_lost'],
    ['half', 'connection_lost'],
    ['garble', 'smtp_protocol_error'],
    ['250 2.0.0 OK', 'smtp_protocol_error'],
    ['220 2.0.0 OK', 'smtp_protocol_error'],
    ['354 Go ahead', 'smtp_protocol_error'],
  ])('by %s costs one login for twenty messages and pauses the account with %s', async (fault, code) => {
    await using app = await startWithFaults(always('auth', fault), { backoffScale: REAL_TIME });
    const ids = await sendMany(app.service, 20, HELLO);
    expect(await attemptsOnceDeferred(app.service, ids, code, 'account')).toBe(0);
    expect(app.gmail.log.connections).toBeLessThanOrEqual(2);
    expect(await accountsOf(app.service)).toMatchObject([{ status: 'paused', code }]);
  });

  /** What the server does after AUTH. */
  const AFTER_AUTH: readonly (readonly [string, ErrorCode, (io: RawSession) => Promise<void>])[] = [
    [
      'a drop in the middle of a dialogue',
      'connection_lost',
      async (io) => {
        io.send('334 \r\n');
        await io.expect(/^$/);
        io.drop();
      },
    ],
    [
      'one challenge after another',
      'smtp_protocol_error',
      async (io) => {
        io.send('334 \r\n');
        await io.expect(/^$/);
        io.send('334 \r\n');
        await io.expect(/^nothing more/);
      },
    ],
    [
      'a drop right after 235',
      'connection_lost',
      async (io) => {
        io.send('235 2.7.0 Accepted\r\n');
        io.drop();
      },
    ],
  ];

  test.each(AFTER_AUTH)('by %s costs one login for twenty messages (%s)', async (_, code, afterAuth) => {
    const certificate = createCertificate(['localhost']);
    let logins = 0;
    const script = async (io: RawSession) => {
      await io.greet('AUTH PLAIN');
      await io.expect(/^AUTH PLAIN /);
      logins += 1;
      await afterAuth(io);
    };
    await using server = await startRawSmtp(script, certificate);
    await using service = await startService({
      smtp: `smtps://localhost:${server.port}`,
      ca: certificate.ca,
      backoffScale: REAL_TIME,
    });
    const ids = await sendMany(service, 20, HELLO);
    for (const id of ids) await until(async () => (await service.get(id)).error?.code === code);
    expect(logins).toBeLessThanOrEqual(2);
    expect(await accountsOf(service)).toMatchObject([{ status: 'paused', code }]);
  });

  test('costs one login per probe until it works, and then each message is sent once', async () => {
    let breaks = true;
    await using app = await startWithFaults((stage) => (breaks && stage === 'auth' ? 'drop' : null), {
      backoffScale: QUICK,
    });
    const ids = await sendMany(app.service, 20, HELLO);
    await app.gmail.waitFor(({ connections }) => connections >= 3);
    const probes = app.gmail.log.connections;
    breaks = false;
    for (const id of ids) {
      expect(await app.service.settled(id)).toMatchObject({
        status: 'sent',
        possible_duplicate: false,
        attempts: [{ number: 1, error: null }],
      });
    }
    expect(pausesOf(app.service).length).toBeGreaterThanOrEqual(probes - 1);
    expect(app.gmail.log.copies).toHaveLength(20);
  });
});
