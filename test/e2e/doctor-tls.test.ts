import { describe, expect, test } from 'vitest';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { certificateFor, checkOf, diagnose, diagnoseWith, startTlsServer } from '../helpers/doctor.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

describe.concurrent('doctor', () => {
  test('reports smtps:// on a port that starts unencrypted', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseWith(gmail, { smtp: `smtps://localhost:${gmail.starttlsPort}` });
    expect(checkOf(report, 'tls')).toMatchObject({
      status: 'fail',
      code: 'tls_on_starttls_port',
      detail: expect.stringContaining('ERR_SSL_WRONG_VERSION_NUMBER'),
      advice: expect.stringContaining('Use smtp:// in SMTP_URL for port 587'),
    });
  });

  test('reports smtp:// on a port that starts with TLS', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseWith(gmail, {
      smtp: `smtp://localhost:${gmail.tlsPort}`,
      network: { limitMs: 300 },
    });
    expect(checkOf(report, 'ehlo')).toMatchObject({
      status: 'fail',
      code: 'no_greeting',
      advice: expect.stringContaining('Use smtps:// in SMTP_URL for port 465'),
    });
    expect(checkOf(report, 'tls')).toMatchObject({ status: 'skip' });
  });

  test.each([
    ['smtps:', 'tlsPort'],
    ['smtp:', 'starttlsPort'],
  ] as const)('reports intercepted TLS on %s, and its issuer', async (scheme, port) => {
    await using gmail = await startSimulator();
    gmail.setCertificate('intercepted');
    const report = await diagnoseWith(gmail, { smtp: `${scheme}//localhost:${gmail[port]}` });
    expect(checkOf(report, 'tls')).toMatchObject({
      status: 'fail',
      code: 'tls_intercepted',
      detail: expect.stringMatching(/SELF_SIGNED_CERT_IN_CHAIN.*issued by Corporate Proxy CA/),
      advice: expect.stringContaining('NODE_EXTRA_CA_CERTS'),
    });
    expect(checkOf(report, 'auth')).toMatchObject({ status: 'skip' });
    expect(gmail.counters).toMatchObject({ logins: 0, failedLogins: 0 });
  });

  test('names the issuer of an intercepted connection without sending SMTP over it', async () => {
    await using server = await startTlsServer(createCertificate(['localhost']));
    const report = await diagnose({ smtp: `smtps://localhost:${server.port}` });
    expect(checkOf(report, 'tls')).toMatchObject({
      code: 'tls_intercepted',
      detail: expect.stringContaining('Outtray simulator CA'),
    });
    expect(server.received).toEqual([]);
  });

  test.each([
    [
      -10,
      -1,
      'fail',
      'certificate_expired',
      /CERT_HAS_EXPIRED.*issued by Short-lived CA, valid until \d{4}-/,
    ],
    [1, 10, 'fail', 'clock_wrong', /CERT_NOT_YET_VALID/],
    [-1, 5.5, 'warn', 'certificate_ends_soon', /expires in 5 days/],
    [-1, 1.5, 'warn', 'certificate_ends_soon', /expires in one day/],
    [-1, 20.5, 'pass', null, /issued by Short-lived CA, and expires in 20 days/],
  ] as const)(
    'reports a certificate valid from day %d to day %d: %s',
    async (from, until, status, code, detail) => {
      const certificate = certificateFor(from, until);
      await using server = await startTlsServer(certificate);
      const report = await diagnose({
        smtp: `smtps://localhost:${server.port}`,
        network: { ca: certificate.ca, limitMs: 500 },
      });
      expect(checkOf(report, 'tls')).toMatchObject({ status, code, detail: expect.stringMatching(detail) });
    },
  );

  test('reports a certificate for another name', async () => {
    await using gmail = await startSimulator();
    gmail.setCertificate('wrong-name');
    const report = await diagnoseWith(gmail, { smtp: `smtps://localhost:${gmail.tlsPort}` });
    expect(checkOf(report, 'tls')).toMatchObject({
      status: 'fail',
      code: 'wrong_name',
      advice: expect.stringContaining('the name in the certificate'),
    });
  });

  test('reports stripped STARTTLS, and does not log in without it', async () => {
    await using gmail = await startSimulator();
    gmail.offerStarttls(false);
    const report = await diagnoseWith(gmail, { smtp: `smtp://localhost:${gmail.starttlsPort}` });
    expect(checkOf(report, 'tls')).toMatchObject({ status: 'fail', code: 'starttls_missing' });
    expect(gmail.counters).toMatchObject({ logins: 0, failedLogins: 0 });
  });

  test('reports a refused STARTTLS', async () => {
    await using server = await startRawSmtp(async (io) => {
      await io.greet('STARTTLS');
      await io.expect(/^STARTTLS$/);
      io.send('454 4.7.0 TLS not available\r\n');
    });
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}` });
    expect(checkOf(report, 'tls')).toMatchObject({ status: 'fail', code: 'tls_failed' });
  });

  test('reports plain text injected before the TLS handshake', async () => {
    await using server = await startRawSmtp(async (io) => {
      await io.greet('STARTTLS');
      await io.expect(/^STARTTLS$/);
      io.send('220 2.0.0 Ready\r\n250 slipped in\r\n');
    });
    const report = await diagnose({ smtp: `smtp://127.0.0.1:${server.port}` });
    expect(checkOf(report, 'tls')).toMatchObject({
      status: 'fail',
      code: 'smtp_protocol_error',
      detail: expect.stringContaining('slipped in'),
    });
  });

  test('reports a TLS handshake that does not start', async () => {
    await using server = await startRawSmtp(async () => {});
    const report = await diagnose({ smtp: `smtps://127.0.0.1:${server.port}`, network: { limitMs: 300 } });
    expect(checkOf(report, 'tls')).toMatchObject({
      status: 'fail',
      code: 'connect_timeout',
      detail: expect.stringContaining('no TLS within'),
    });
  });

  test('fails if TLS of the first server fails, since the service then does not use the second one', async () => {
    await using gmail = await startSimulator();
    await using server = await startTlsServer(createCertificate(['localhost']));
    const report = await diagnoseWith(gmail, { smtp: `smtps://localhost:${server.port},${gmail.url}` });
    expect(checkOf(report, 'tls', new RegExp(`:${server.port}$`))).toMatchObject({ status: 'fail' });
    expect(checkOf(report, 'auth')).toMatchObject({ status: 'pass' });
    expect(report.ok).toBe(false);
    const reversed = await diagnoseWith(gmail, { smtp: `${gmail.url},smtps://localhost:${server.port}` });
    expect(checkOf(reversed, 'tls', new RegExp(`:${server.port}$`))).toMatchObject({
      status: 'warn',
      code: 'tls_intercepted',
    });
    expect(reversed.ok).toBe(true);
  });
});
