import { describe, expect, test } from 'vitest';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { certificateFor, diagnose, diagnoseWith, lineOf, startTlsServer } from '../helpers/doctor.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

describe.concurrent('the doctor finds', () => {
  test('"smtps:" on a port that begins in the clear', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseWith(gmail, { smtp: `smtps://localhost:${gmail.starttlsPort}` });
    expect(lineOf(report, 'tls')).toMatchObject({
      status: 'fail',
      code: 'tls_on_starttls_port',
      detail: expect.stringContaining('ERR_SSL_WRONG_VERSION_NUMBER'),
      advice: expect.stringContaining('Write smtp:// in SMTP_URL for port 587'),
    });
  });

  test('"smtp:" on a port that begins with TLS', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseWith(gmail, {
      smtp: `smtp://localhost:${gmail.tlsPort}`,
      wire: { limitMs: 300 },
    });
    expect(lineOf(report, 'ehlo')).toMatchObject({
      status: 'fail',
      code: 'no_greeting',
      advice: expect.stringContaining('Write smtps:// in SMTP_URL for port 465'),
    });
    expect(lineOf(report, 'tls')).toMatchObject({ status: 'skip' });
  });

  test.each([
    ['smtps:', 'tlsPort'],
    ['smtp:', 'starttlsPort'],
  ] as const)('that something intercepts TLS on %s, and who', async (scheme, port) => {
    await using gmail = await startSimulator();
    gmail.setCertificate('intercepted');
    const report = await diagnoseWith(gmail, { smtp: `${scheme}//localhost:${gmail[port]}` });
    expect(lineOf(report, 'tls')).toMatchObject({
      status: 'fail',
      code: 'tls_intercepted',
      detail: expect.stringMatching(/SELF_SIGNED_CERT_IN_CHAIN.*made by Corporate Proxy CA/),
      advice: expect.stringContaining('NODE_EXTRA_CA_CERTS'),
    });
    expect(lineOf(report, 'auth')).toMatchObject({ status: 'skip' });
    expect(gmail.counters).toMatchObject({ logins: 0, failedLogins: 0 });
  });

  test('who intercepts without a word of SMTP to them', async () => {
    await using server = await startTlsServer(createCertificate(['localhost']));
    const report = await diagnose({ smtp: `smtps://localhost:${server.port}` });
    expect(lineOf(report, 'tls')).toMatchObject({
      code: 'tls_intercepted',
      detail: expect.stringContaining('Outtray simulator CA'),
    });
    expect(server.heard).toEqual([]);
  });

  test.each([
    [-10, -1, 'fail', 'certificate_expired', /CERT_HAS_EXPIRED.*made by Short-lived CA, valid until \d{4}-/],
    [1, 10, 'fail', 'clock_wrong', /CERT_NOT_YET_VALID/],
    [-1, 5.5, 'warn', 'certificate_ends_soon', /5 days left/],
    [-1, 1.5, 'warn', 'certificate_ends_soon', /one day left/],
    [-1, 20.5, 'pass', null, /made by Short-lived CA, and has 20 days left/],
  ] as const)('a certificate valid from day %d to day %d: %s', async (from, until, status, code, detail) => {
    const certificate = certificateFor(from, until);
    await using server = await startTlsServer(certificate);
    const report = await diagnose({
      smtp: `smtps://localhost:${server.port}`,
      wire: { ca: certificate.ca, limitMs: 500 },
    });
    expect(lineOf(report, 'tls')).toMatchObject({ status, code, detail: expect.stringMatching(detail) });
  });

  test('a certificate for another name', async () => {
    await using gmail = await startSimulator();
    gmail.setCertificate('wrong-name');
    const report = await diagnoseWith(gmail, { smtp: `smtps://localhost:${gmail.tlsPort}` });
    expect(lineOf(report, 'tls')).toMatchObject({
      status: 'fail',
      code: 'wrong_name',
      advice: expect.stringContaining('the name that is in the certificate'),
    });
  });

  test('that STARTTLS is stripped, and never logs in without it', async () => {
    await using gmail = await startSimulator();
    gmail.offerStarttls(false);
    const report = await diagnoseWith(gmail, { smtp: `smtp://localhost:${gmail.starttlsPort}` });
    expect(lineOf(report, 'tls')).toMatchObject({ status: 'fail', code: 'starttls_missing' });
    expect(gmail.counters).toMatchObject({ logins: 0, failedLogins: 0 });
  });

  test('that STARTTLS is refused', async () => {
    await using server = await startRawSmtp(async (io) => {
      await io.greet('STARTTLS');
      await io.expect(/^STARTTLS$/);
      io.send('454 4.7.0 TLS not available\r\n');
    });
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}` });
    expect(lineOf(report, 'tls')).toMatchObject({ status: 'fail', code: 'tls_failed' });
  });

  test('words slipped in before TLS begins', async () => {
    await using server = await startRawSmtp(async (io) => {
      await io.greet('STARTTLS');
      await io.expect(/^STARTTLS$/);
      io.send('220 2.0.0 Ready\r\n250 slipped in\r\n');
    });
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}` });
    expect(lineOf(report, 'tls')).toMatchObject({
      status: 'fail',
      code: 'smtp_protocol_error',
      detail: expect.stringContaining('slipped in'),
    });
  });

  test('a handshake that never begins', async () => {
    await using server = await startRawSmtp(async () => {});
    const report = await diagnose({ smtp: `smtps://127.0.0.1:${server.port}`, wire: { limitMs: 300 } });
    expect(lineOf(report, 'tls')).toMatchObject({
      status: 'fail',
      code: 'connect_timeout',
      detail: expect.stringContaining('no TLS within'),
    });
  });

  test('that TLS trouble of the first server keeps mail back, whatever the second one does: so does the service', async () => {
    await using gmail = await startSimulator();
    await using server = await startTlsServer(createCertificate(['localhost']));
    const report = await diagnoseWith(gmail, { smtp: `smtps://localhost:${server.port},${gmail.url}` });
    expect(lineOf(report, 'tls', new RegExp(`:${server.port}$`))).toMatchObject({ status: 'fail' });
    expect(lineOf(report, 'auth')).toMatchObject({ status: 'pass' });
    expect(report.ok).toBe(false);
    const turned = await diagnoseWith(gmail, { smtp: `${gmail.url},smtps://localhost:${server.port}` });
    expect(lineOf(turned, 'tls', new RegExp(`:${server.port}$`))).toMatchObject({
      status: 'warn',
      code: 'tls_intercepted',
    });
    expect(turned.ok).toBe(true);
  });
});
