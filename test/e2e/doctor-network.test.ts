import { describe, expect, test } from 'vitest';
import { checkOf, diagnose, diagnoseWith, listenOn, resolveTo } from '../helpers/doctor.ts';
import { openBlackHolePort } from '../helpers/smtp/black-hole-port.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const SHORT = { limitMs: 300 };
/** The kernel refuses TCP to a multicast address with ENETUNREACH, without sending a packet. */
const NO_ROUTE = { 4: '239.1.1.1', 6: 'ff0e::1' };

describe.concurrent('doctor', () => {
  test('reports blocked ports if both mail ports time out while 443 works', async () => {
    await using deaf = await openBlackHolePort();
    await using other = await openBlackHolePort();
    await using https = await listenOn('127.0.0.1');
    const report = await diagnose({
      smtp: `smtp://127.0.0.1:${deaf.port},smtps://127.0.0.1:${other.port}`,
      compareWith: { host: '127.0.0.1', port: https.port },
      network: SHORT,
    });
    for (const { port } of [deaf, other]) {
      expect(checkOf(report, 'tcp_ipv4', new RegExp(`:${port}$`))).toMatchObject({
        status: 'fail',
        code: 'ports_blocked',
        detail: expect.stringContaining('no connection within 0.3 s'),
        advice: expect.stringContaining('The hosting provider blocks outgoing mail ports'),
      });
    }
    expect(checkOf(report, 'tcp_443')).toMatchObject({ status: 'pass' });
    expect(report.ok).toBe(false);
  });

  test('reports a missing network if 443 times out as well', async () => {
    await using deaf = await openBlackHolePort();
    const report = await diagnose({
      smtp: `smtp://127.0.0.1:${deaf.port}`,
      compareWith: { host: '127.0.0.1', port: deaf.port },
      network: SHORT,
    });
    expect(checkOf(report, 'tcp_ipv4')).toMatchObject({ status: 'fail', code: 'no_network' });
    expect(checkOf(report, 'tcp_443')).toMatchObject({ status: 'warn', code: 'no_network' });
  });

  test('reports a refused connection', async () => {
    const report = await diagnose({ smtp: 'smtp://127.0.0.1:9' });
    expect(checkOf(report, 'tcp_ipv4')).toMatchObject({
      status: 'fail',
      code: 'connection_refused',
      advice: expect.stringContaining('wrong host or port'),
    });
    expect(checkOf(report, 'tcp_443')).toMatchObject({ status: 'skip' });
    expect(checkOf(report, 'auth')).toMatchObject({ status: 'skip', detail: 'not tried: no server works' });
  });

  test('reports a host name that does not exist', async () => {
    const report = await diagnose({ smtp: 'smtp://mail.test:587', network: { resolve: resolveTo({}) } });
    expect(checkOf(report, 'dns')).toMatchObject({
      status: 'fail',
      code: 'dns_failed',
      detail: expect.stringContaining('ENOTFOUND'),
      advice: expect.stringContaining('Check the host name in SMTP_URL'),
    });
    expect(checkOf(report, 'ehlo')).toMatchObject({ status: 'skip' });
  });

  test('reports a resolver that does not respond, in bounded time', async () => {
    const report = await diagnose({
      smtp: 'smtp://mail.test:587',
      network: { ...SHORT, resolve: () => new Promise(() => {}) },
    });
    expect(checkOf(report, 'dns')).toMatchObject({
      status: 'fail',
      code: 'dns_failed',
      detail: expect.stringContaining('within 0.3 s'),
    });
  });

  test('reports a missing route to the server', async () => {
    const report = await diagnose({
      smtp: 'smtp://mail.test:587',
      network: { resolve: resolveTo({ 4: NO_ROUTE[4] }) },
    });
    expect(checkOf(report, 'tcp_ipv4')).toMatchObject({
      status: 'fail',
      code: 'unreachable',
      detail: expect.stringContaining('ENETUNREACH'),
    });
  });

  test('warns about IPv6 without a route if IPv4 works', async () => {
    await using gmail = await startSimulator();
    const resolve = resolveTo({ 4: '127.0.0.1', 6: NO_ROUTE[6] });
    const report = await diagnoseWith(gmail, {
      smtp: `smtps://localhost:${gmail.tlsPort}`,
      network: { resolve },
    });
    expect(checkOf(report, 'tcp_ipv4')).toMatchObject({ status: 'pass' });
    expect(checkOf(report, 'tcp_ipv6')).toMatchObject({
      status: 'warn',
      code: 'ipv6_unreachable',
      detail: expect.stringContaining('ENETUNREACH'),
      advice: expect.stringContaining('Mail is sent over IPv4'),
    });
    expect(report.ok).toBe(true);
  });

  test.each([
    [4, '127.0.0.1', 'ipv6_unreachable'],
    [6, '::1', 'ipv4_unreachable'],
  ] as const)('passes if only IPv%i works', async (family, host, code) => {
    await using gmail = await startSimulator({ host });
    const resolve = resolveTo({ 4: '127.0.0.1', 6: '::1' });
    const report = await diagnoseWith(gmail, {
      smtp: `smtp://localhost:${gmail.starttlsPort}`,
      network: { resolve },
    });
    expect(checkOf(report, `tcp_ipv${family}`)).toMatchObject({
      status: 'pass',
      detail: `connected to ${host}`,
    });
    expect(checkOf(report, `tcp_ipv${10 - family}`)).toMatchObject({ status: 'warn', code });
    expect(checkOf(report, 'auth')).toMatchObject({ status: 'pass' });
    expect(report.ok).toBe(true);
  });

  test('warns about an unreachable server if another one works', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseWith(gmail, { smtp: `smtp://localhost:9,${gmail.url}` });
    expect(checkOf(report, 'tcp_ipv4', /:9$/)).toMatchObject({
      status: 'warn',
      code: 'connection_refused',
      detail: expect.stringContaining(`Mail is sent through localhost:${gmail.starttlsPort}.`),
    });
    expect(report.ok).toBe(true);
    expect(gmail.counters).toMatchObject({ logins: 1 });
  });

  test('reports a server that does not speak SMTP', async () => {
    await using server = await startRawSmtp(async (io) => io.send('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}` });
    expect(checkOf(report, 'ehlo')).toMatchObject({
      status: 'fail',
      code: 'smtp_protocol_error',
      detail: expect.stringContaining('HTTP/1.1'),
    });
  });

  test('reports a server that closes the connection', async () => {
    await using server = await startRawSmtp(async (io) => io.drop());
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}` });
    expect(checkOf(report, 'ehlo')).toMatchObject({ status: 'fail', code: 'connection_lost' });
  });

  test('reports a server that trickles data, in bounded time', async () => {
    const stopped = new AbortController();
    await using server = await startRawSmtp(async (io) => {
      const timer = setInterval(() => io.send('2'), 20);
      stopped.signal.addEventListener('abort', () => clearInterval(timer));
    });
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}`, network: SHORT });
    stopped.abort();
    expect(checkOf(report, 'ehlo')).toMatchObject({ status: 'fail', code: 'no_greeting' });
  });

  test.each([
    [
      '421 4.7.0 Try again later, closing connection. (EHLO) d2-2002 - gsmtp',
      'ehlo_refused',
      'Set SMTP_EHLO_NAME to a fully qualified host name',
    ],
    [
      '421 4.3.0 Temporary System Problem. Try again later (10). d2 - gsmtp',
      'smtp_temporary_failure',
      'run the doctor again',
    ],
  ])('reports a server that greets with %j, with the hint of the service', async (greeting, code, advice) => {
    await using server = await startRawSmtp(async (io) => io.send(`${greeting}\r\n`));
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}` });
    expect(checkOf(report, 'ehlo')).toMatchObject({
      status: 'fail',
      code,
      advice: expect.stringContaining(advice),
    });
  });
});
