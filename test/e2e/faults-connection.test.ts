import { describe, expect, test } from 'vitest';
import { openTransport } from '../../src/adapters/smtp/transport.ts';
import type { Transport } from '../../src/core/ports/transport.ts';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { aJob } from '../helpers/delivery.ts';
import { freePort } from '../helpers/free-port.ts';
import { APP_PASSWORD, startService } from '../helpers/service.ts';
import { openBlackHolePort } from '../helpers/smtp/black-hole-port.ts';
import type { FaultPlan, ServerFault } from '../helpers/smtp/faulty-session.ts';
import { type FaultySmtp, failAt, startFaultySmtp, startWithFaults } from '../helpers/smtp/faulty-smtp.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };
const CLOSING = '421 4.7.0 Connection expired, try reconnecting. faulty - gsmtp';
/**
 * Only for faults that no other event ends: a successful attempt must stay below them, even on a
 * busy machine.
 */
const SHORT = { connectMs: 1500, greetingMs: 1500, setupMs: 2500 };
const TIMEOUT_MS = 60_000;

describe.concurrent('idle connection', { timeout: TIMEOUT_MS }, () => {
  test.each(['drop', 'reset', 'garble', 'flood', CLOSING] as const)(
    'that ends by %s is replaced without a failed attempt',
    async (fault) => {
      await using app = await startWithFaults(failAt('idle', fault));
      const first = await app.service.send(HELLO, { wait: 50 });
      await app.gmail.waitFor(({ closed }) => closed === 1);
      const second = await app.service.send(HELLO, { wait: 50 });
      for (const { body } of [first, second])
        expect(body).toMatchObject({ status: 'sent', attempts: [{ number: 1, error: null }] });
      expect(app.gmail.log).toMatchObject({
        connections: 2,
        copies: [{ answered: true }, { answered: true }],
      });
    },
  );

  test.each(['mail', 'rcpt', 'data'] as const)(
    'found dead at %s, with nothing read, is replaced at once without a failed attempt',
    async (stage) => {
      const plans = (['drop', 'reset', 'half', CLOSING] as const).map((fault): FaultPlan => {
        const plan = failAt(stage, fault);
        return (at, session) => (session.transaction === 2 ? plan(at, session) : null);
      });
      for (const plan of plans) {
        await using app = await startWithFaults(plan);
        const first = await app.service.send(HELLO, { wait: 50 });
        const second = await app.service.send(HELLO, { wait: 50 });
        for (const { body } of [first, second]) {
          expect(body).toMatchObject({
            status: 'sent',
            possible_duplicate: false,
            attempts: [{ number: 1, error: null }],
          });
        }
        expect(app.gmail.log.connections).toBe(2);
        expect(app.gmail.log.copies.map(({ messageId }) => messageId)).toEqual([
          first.body.message_id,
          second.body.message_id,
        ]);
      }
    },
  );

  test('is replaced without a failed attempt if several are dead', async () => {
    let dead = 0;
    await using app = await startWithFaults((stage, { connection }) =>
      stage === 'mail' && connection <= dead ? 'drop' : null,
    );
    const volley = async () =>
      Promise.all(Array.from({ length: 12 }, () => app.service.send(HELLO, { wait: 50 })));
    const before = await volley();
    dead = app.gmail.log.connections;
    const after = await volley();
    for (const { body } of [...before, ...after])
      expect(body).toMatchObject({ status: 'sent', attempts: [{ number: 1, error: null }] });
    expect(dead).toBeGreaterThan(1);
    expect(app.gmail.log.copies).toHaveLength(24);
  });

  test.each(['hang', 'trickle'] as const)(
    'that stops responding (%s) fails one attempt at its deadline, without an extra copy',
    async (fault) => {
      await using app = await startWithFaults(failAt('idle', fault), { deadlines: SHORT });
      await app.service.send(HELLO, { wait: 50 });
      const { body } = await app.service.send(HELLO, { wait: 50 });
      expect(body).toMatchObject({ status: 'sent', possible_duplicate: false });
      expect(body.attempts.map(({ error }) => error?.code)).toEqual(['connection_lost', undefined]);
      expect(app.gmail.log.copies).toHaveLength(2);
    },
  );
});

describe.concurrent('connection lost at RSET after a refusal', { timeout: TIMEOUT_MS }, () => {
  const refuseThen = (fault: ServerFault): FaultPlan => {
    const refusal = failAt('rcpt', '451 4.3.0 Not now');
    const then = failAt('rset', fault);
    return (stage, at) => refusal(stage, at) ?? then(stage, at);
  };

  test.each(['drop', 'reset', 'half', 'garble', 'flood', CLOSING] as const)(
    'by %s is replaced without a failed attempt',
    async (fault) => {
      await using app = await startWithFaults(refuseThen(fault));
      const { body } = await app.service.send(HELLO, { wait: 50 });
      expect(body).toMatchObject({ status: 'sent', possible_duplicate: false });
      expect(body.attempts.map(({ error }) => error?.code)).toEqual(['smtp_temporary_failure', undefined]);
      expect(app.gmail.log).toMatchObject({ connections: 2, copies: [{ answered: true }] });
    },
  );

  test('by a missing reply fails the next attempt at its deadline', async () => {
    await using app = await startWithFaults(refuseThen('hang'), { deadlines: SHORT });
    const { body } = await app.service.send(HELLO, { wait: 50 });
    expect(body).toMatchObject({ status: 'sent', possible_duplicate: false });
    expect(body.attempts.map(({ error }) => error?.code)).toEqual([
      'smtp_temporary_failure',
      'connect_timeout',
      undefined,
    ]);
    expect(app.gmail.log).toMatchObject({ connections: 2, copies: [{ answered: true }] });
  });
});

describe.concurrent('unreachable first server', { timeout: TIMEOUT_MS }, () => {
  test.each([
    ['refuses connections', async () => ({ host: '127.0.0.1', port: await freePort() })],
    ['has no address', async () => ({ host: 'no-such-host.invalid', port: 587 })],
  ])('that %s is skipped in the same attempt', async (_, first) => {
    await using second = await startFaultySmtp(() => null);
    const { host, port } = await first();
    await using service = await startService({ smtp: `smtp://${host}:${port},${second.url}`, ca: second.ca });
    const { body } = await service.send(HELLO, { wait: 50 });
    expect(body).toMatchObject({ status: 'sent', attempts: [{ number: 1, error: null }] });
    expect(second.log.copies).toHaveLength(1);
  });

  test('that never responds to SYN, or sends no greeting, is skipped in the same attempt', async () => {
    await using deaf = await openBlackHolePort();
    await using mute = await startFaultySmtp(() => 'hang');
    await using third = await startFaultySmtp(() => null);
    const smtp = `smtp://127.0.0.1:${deaf.port},${mute.url},${third.url}`;
    await using service = await startService({ smtp, ca: third.ca, deadlines: { ...SHORT, setupMs: 4000 } });
    const { body } = await service.send(HELLO, { wait: 50 });
    expect(body).toMatchObject({ status: 'sent', attempts: [{ number: 1, error: null }] });
    expect(mute.log.connections).toBe(1);
    expect(third.log.copies).toHaveLength(1);
    // The next attempt starts with the server that worked.
    await service.send(HELLO, { wait: 50 });
    expect(mute.log.connections).toBe(1);
    expect(third.log.copies).toHaveLength(2);
  });

  test('is tried again after returnAfterMs, and not before', async () => {
    for (const [returnAfterMs, firstGets] of [
      [0, 1],
      [3_600_000, 0],
    ] as const) {
      const certificate = createCertificate(['localhost']);
      await using first = await startFaultySmtp(failAt('connect', 'hang'), certificate);
      await using second = await startFaultySmtp(() => null, certificate);
      await using transport = openTo([first, second], returnAfterMs);
      await transport.send(aJob());
      expect(second.log.copies).toHaveLength(1);
      await transport.send(aJob());
      expect(first.log.copies).toHaveLength(firstGets);
      expect(second.log.copies).toHaveLength(2 - firstGets);
    }
  });

  test('defers the message if no other server is reachable, with the failure of each', async () => {
    const ports = [await freePort(), await freePort()];
    await using service = await startService({
      smtp: ports.map((port) => `smtp://127.0.0.1:${port}`).join(),
      backoffScale: 1,
    });
    const { body } = await service.send(HELLO);
    await expect.poll(async () => (await service.get(body.id)).status).toBe('deferred');
    const { error, attempts } = await service.get(body.id);
    expect(error).toMatchObject({ code: 'connect_failed', scope: 'message', retryable: true });
    for (const port of ports) expect(error?.detail).toContain(`127.0.0.1:${port}: `);
    expect(attempts).toHaveLength(1);
  });
});

/** @param servers in order of preference */
function openTo(servers: readonly FaultySmtp[], returnAfterMs: number): Transport & AsyncDisposable {
  const transport = openTransport({
    servers: servers.map(({ port }) => ({ host: 'localhost', port, tls: 'starttls' })),
    user: 'bot@simulator.test',
    credentials: () => ({ kind: 'app_password', password: APP_PASSWORD }),
    ehloName: 'client.test',
    ca: servers[0]?.ca ?? null,
    deadlines: { dnsMs: 2000, tokenMs: 2000, bodyMs: 5000, ...SHORT },
    returnAfterMs,
  });
  return { ...transport, [Symbol.asyncDispose]: () => transport.close() };
}
