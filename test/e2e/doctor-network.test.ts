import { describe, expect, test } from 'vitest';
import { diagnose, diagnoseWith, lineOf, listenOn, resolving } from '../helpers/doctor.ts';
import { openDeafPort } from '../helpers/smtp/deaf-port.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const SHORT = { limitMs: 300 };
/** TCP to a multicast address is refused by the kernel with ENETUNREACH, without a packet. */
const NO_ROUTE = { 4: '239.1.1.1', 6: 'ff0e::1' };

describe.concurrent('the doctor finds', () => {
  test('that both mail ports time out while 443 works: the host blocks them', async () => {
    await using deaf = await openDeafPort();
    await using other = await openDeafPort();
    await using https = await listenOn('127.0.0.1');
    const report = await diagnose({
      smtp: `smtp://127.0.0.1:${deaf.port},smtps://127.0.0.1:${other.port}`,
      compareWith: { host: '127.0.0.1', port: https.port },
      wire: SHORT,
    });
    for (const { port } of [deaf, other]) {
      expect(lineOf(report, 'tcp_ipv4', new RegExp(`:${port}$`))).toMatchObject({
        status: 'fail',
        code: 'ports_blocked',
        detail: expect.stringContaining('no connection within 0.3 s'),
        advice: expect.stringContaining('The host blocks outgoing mail ports (most clouds do)'),
      });
    }
    expect(lineOf(report, 'tcp_443')).toMatchObject({ status: 'pass' });
    expect(report.ok).toBe(false);
  });

  test('that 443 times out as well: there is no network', async () => {
    await using deaf = await openDeafPort();
    const report = await diagnose({
      smtp: `smtp://127.0.0.1:${deaf.port}`,
      compareWith: { host: '127.0.0.1', port: deaf.port },
      wire: SHORT,
    });
    expect(lineOf(report, 'tcp_ipv4')).toMatchObject({ status: 'fail', code: 'no_network' });
    expect(lineOf(report, 'tcp_443')).toMatchObject({ status: 'warn', code: 'no_network' });
  });

  test('a port that nobody listens on', async () => {
    const report = await diagnose({ smtp: 'smtp://127.0.0.1:9' });
    expect(lineOf(report, 'tcp_ipv4')).toMatchObject({
      status: 'fail',
      code: 'connection_refused',
      advice: expect.stringContaining('Wrong host or port'),
    });
    expect(lineOf(report, 'tcp_443')).toMatchObject({ status: 'skip' });
    expect(lineOf(report, 'auth')).toMatchObject({ status: 'skip', detail: 'not tried: no server works' });
  });

  test('a name that does not exist', async () => {
    const report = await diagnose({ smtp: 'smtp://mail.test:587', wire: { resolve: resolving({}) } });
    expect(lineOf(report, 'dns')).toMatchObject({
      status: 'fail',
      code: 'dns_failed',
      detail: expect.stringContaining('ENOTFOUND'),
      advice: expect.stringContaining('Check the host name in SMTP_URL'),
    });
    expect(lineOf(report, 'ehlo')).toMatchObject({ status: 'skip' });
  });

  test('a resolver that does not answer, in bounded time', async () => {
    const report = await diagnose({
      smtp: 'smtp://mail.test:587',
      wire: { ...SHORT, resolve: () => new Promise(() => {}) },
    });
    expect(lineOf(report, 'dns')).toMatchObject({
      status: 'fail',
      code: 'dns_failed',
      detail: expect.stringContaining('within 0.3 s'),
    });
  });

  test('no route to the server', async () => {
    const report = await diagnose({
      smtp: 'smtp://mail.test:587',
      wire: { resolve: resolving({ 4: NO_ROUTE[4] }) },
    });
    expect(lineOf(report, 'tcp_ipv4')).toMatchObject({
      status: 'fail',
      code: 'unreachable',
      detail: expect.stringContaining('ENETUNREACH'),
    });
  });

  test('IPv6 without a route while IPv4 works: a warning, and mail can be sent', async () => {
    await using gmail = await startSimulator();
    const resolve = resolving({ 4: '127.0.0.1', 6: NO_ROUTE[6] });
    const report = await diagnoseWith(gmail, {
      smtp: `smtps://localhost:${gmail.tlsPort}`,
      wire: { resolve },
    });
    expect(lineOf(report, 'tcp_ipv4')).toMatchObject({ status: 'pass' });
    expect(lineOf(report, 'tcp_ipv6')).toMatchObject({
      status: 'warn',
      code: 'ipv6_unreachable',
      detail: expect.stringContaining('ENETUNREACH'),
      advice: expect.stringContaining('IPv4 still works'),
    });
    expect(report.ok).toBe(true);
  });

  test.each([
    [4, '127.0.0.1', 'ipv6_unreachable'],
    [6, '::1', 'ipv4_unreachable'],
  ] as const)('a server that listens on IPv%i alone', async (family, host, code) => {
    await using gmail = await startSimulator({ host });
    const resolve = resolving({ 4: '127.0.0.1', 6: '::1' });
    const report = await diagnoseWith(gmail, {
      smtp: `smtp://localhost:${gmail.starttlsPort}`,
      wire: { resolve },
    });
    expect(lineOf(report, `tcp_ipv${family}`)).toMatchObject({
      status: 'pass',
      detail: `connected to ${host}`,
    });
    expect(lineOf(report, `tcp_ipv${10 - family}`)).toMatchObject({ status: 'warn', code });
    expect(lineOf(report, 'auth')).toMatchObject({ status: 'pass' });
    expect(report.ok).toBe(true);
  });

  test('that one of two servers is enough', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseWith(gmail, { smtp: `smtp://localhost:9,${gmail.url}` });
    expect(lineOf(report, 'tcp_ipv4', /:9$/)).toMatchObject({
      status: 'warn',
      code: 'connection_refused',
      detail: expect.stringContaining(`Mail goes through localhost:${gmail.starttlsPort}.`),
    });
    expect(report.ok).toBe(true);
    expect(gmail.counters).toMatchObject({ logins: 1 });
  });

  test('a server that does not speak SMTP', async () => {
    await using server = await startRawSmtp(async (io) => io.send('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}` });
    expect(lineOf(report, 'ehlo')).toMatchObject({
      status: 'fail',
      code: 'smtp_protocol_error',
      detail: expect.stringContaining('HTTP/1.1'),
    });
  });

  test('a server that hangs up', async () => {
    await using server = await startRawSmtp(async (io) => io.drop());
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}` });
    expect(lineOf(report, 'ehlo')).toMatchObject({ status: 'fail', code: 'connection_lost' });
  });

  test('a server that trickles, in bounded time', async () => {
    const stopped = new AbortController();
    await using server = await startRawSmtp(async (io) => {
      const timer = setInterval(() => io.send('2'), 20);
      stopped.signal.addEventListener('abort', () => clearInterval(timer));
    });
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}`, wire: SHORT });
    stopped.abort();
    expect(lineOf(report, 'ehlo')).toMatchObject({ status: 'fail', code: 'no_greeting' });
  });

  test.each([
    [
      '421 4.7.0 Try again later, closing connection. (EHLO) d2-2002 - gsmtp',
      'throttled',
      'Lower SMTP_CONNECTIONS. smtp-relay.gmail.com says this',
    ],
    [
      '421 4.3.0 Temporary System Problem. Try again later (10). d2 - gsmtp',
      'smtp_temporary_failure',
      'run the doctor again',
    ],
  ])('a server that greets with %j, with the hint that the service gives', async (greeting, code, advice) => {
    await using server = await startRawSmtp(async (io) => io.send(`${greeting}\r\n`));
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}` });
    expect(lineOf(report, 'ehlo')).toMatchObject({
      status: 'fail',
      code,
      advice: expect.stringContaining(advice),
    });
  });
});
