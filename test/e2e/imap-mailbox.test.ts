import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import type { Credentials } from '../../src/core/accounts/credentials.ts';
import type { ImapFault } from '../../src/simulator/mailbox/faults.ts';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { freePort } from '../helpers/free-port.ts';
import {
  type MailboxUnderTest,
  openSimulatorMailbox,
  openTestMailbox,
  passwordOf,
  writesOf,
} from '../helpers/imap/mailbox.ts';
import { mailOf, sendMail } from '../helpers/imap/simulator-mailbox.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { refreshTokenOf } from '../helpers/smtp/transport.ts';
import { startTokenEndpoint } from '../helpers/token-endpoint.ts';

const ID = '<msg_01k7m4q2@acme.test>';
const FOUND = { kind: 'found' };
const ABSENT = { kind: 'absent' };
const HOUR = 3_600_000;

const failedWith = (code: string, isRefusal: boolean, detail: RegExp) => ({
  kind: 'failed',
  fault: { code, isRefusal, detail: expect.stringMatching(detail) },
});

describe.concurrent('the search of Sent Mail', () => {
  test('finds a message in a folder with a localized name, and changes nothing', async () => {
    await using gmail = await startSimulator();
    gmail.imap.configure({ sentName: '[Gmail]/Отправленные' });
    await using mailbox = openSimulatorMailbox(gmail);
    await sendMail(gmail, ID);
    expect(await mailbox.findSent(ID)).toEqual(FOUND);
    expect(await mailbox.findSent('<msg_other@acme.test>')).toEqual(ABSENT);
    expect(writesOf(gmail)).toEqual([]);
    expect(gmail.imap.commands.map(({ text }) => text.split(' ')[0])).not.toContain('SELECT');
  });

  test('finds a recent message that the search index does not have yet', async () => {
    await using gmail = await startSimulator();
    gmail.imap.configure({ indexLagMs: HOUR });
    await using mailbox = openSimulatorMailbox(gmail);
    await sendMail(gmail, ID);
    expect(await mailbox.findSent(ID)).toEqual(FOUND);
  });

  test('finds a message that is filed after the first look, on the same connection', async () => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail);
    const since = Date.now();
    expect(await mailbox.findSent(ID, { since })).toEqual(ABSENT);
    gmail.imap.deliver(mailOf(ID), { folder: 'sent' });
    expect(await mailbox.findSent(ID, { since })).toEqual(FOUND);
    expect(gmail.imap.counters).toMatchObject({ connections: 1, logins: 1 });
  });

  test('asks the index for a message behind many later ones', async () => {
    await using gmail = await startSimulator({ retain: 20_000 });
    await using mailbox = openSimulatorMailbox(gmail);
    gmail.imap.deliver(mailOf(ID), { folder: 'sent' });
    for (let i = 0; i < 2500; i++) gmail.imap.deliver(mailOf(`<other-${i}@acme.test>`), { folder: 'sent' });
    expect(await mailbox.findSent(ID)).toEqual(FOUND);
    expect(gmail.imap.commands.at(-1)?.text).toContain('X-GM-RAW');
  });

  test('reads a bounded number of 10,000 unrelated messages', async () => {
    await using gmail = await startSimulator({ retain: 20_000 });
    await using mailbox = openSimulatorMailbox(gmail);
    for (let i = 0; i < 10_000; i++) gmail.imap.deliver(mailOf(`<other-${i}@acme.test>`), { folder: 'sent' });
    expect(await mailbox.findSent(ID)).toEqual(ABSENT);
    const fetches = gmail.imap.commands.filter(({ text }) => text.startsWith('FETCH'));
    expect(fetches.length).toBeLessThanOrEqual(10);
    gmail.imap.deliver(mailOf(ID), { folder: 'sent' });
    expect(await mailbox.findSent(ID)).toEqual(FOUND);
  });

  test('reads no messages that were filed long before the attempt', async () => {
    await using gmail = await startSimulator({ retain: 20_000 });
    await using mailbox = openSimulatorMailbox(gmail);
    const receivedAt = Date.now() - 24 * HOUR;
    for (let i = 0; i < 1000; i++)
      gmail.imap.deliver(mailOf(`<old-${i}@acme.test>`), { folder: 'sent', receivedAt });
    expect(await mailbox.findSent(ID)).toEqual(ABSENT);
    expect(gmail.imap.commands.filter(({ text }) => text.startsWith('FETCH'))).toHaveLength(1);
  });

  test('finds a message after its folder got another UIDVALIDITY', async () => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail);
    await sendMail(gmail, ID);
    expect(await mailbox.findSent(ID)).toEqual(FOUND);
    gmail.imap.changeUidValidity();
    expect(await mailbox.findSent(ID)).toEqual(FOUND);
  });

  test('takes looks one after the other, on one connection', async () => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail);
    await sendMail(gmail, ID);
    expect(await Promise.all([mailbox.findSent(ID), mailbox.findSent('<a@b.test>')])).toEqual([
      FOUND,
      ABSENT,
    ]);
    expect(gmail.imap.counters.connections).toBe(1);
  });
});

describe.concurrent('the connection', () => {
  test('is not made before the first look', async () => {
    await using gmail = await startSimulator();
    await using _mailbox = openSimulatorMailbox(gmail);
    expect(gmail.imap.counters.connections).toBe(0);
  });

  test('is closed once it is idle, and made again', async () => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail, { deadlines: { idleMs: 50 } });
    await mailbox.findSent(ID);
    await vi.waitFor(() => expect(gmail.imap.sessions).toBe(0));
    expect(await mailbox.findSent(ID)).toEqual(ABSENT);
    expect(gmail.imap.counters.connections).toBe(2);
  });

  test('is replaced if the server has closed it meanwhile', async () => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail);
    await mailbox.findSent(ID);
    gmail.imap.closeConnections();
    expect(await mailbox.findSent(ID)).toEqual(ABSENT);
  });

  test.each<[string, (mailbox: MailboxUnderTest, controller: AbortController) => unknown]>([
    ['the mailbox', (mailbox) => mailbox.close()],
    ['the signal of a look', (_, controller) => controller.abort()],
  ])('ends with %s, during a look', async (_, end) => {
    const isConnected = Promise.withResolvers<void>();
    const isClosed = Promise.withResolvers<void>();
    const certificate = createCertificate(['localhost']);
    await using server = await startRawSmtp(async (io) => {
      io.send('* OK Gimap ready\r\n');
      await io.expect(/CAPABILITY$/);
      isConnected.resolve();
      await io.readToEnd();
      isClosed.resolve();
    }, certificate);
    await using mailbox = openTestMailbox({
      url: `imaps://localhost:${server.port}`,
      ca: certificate.ca,
      credentials: passwordOf('abcdefghijklmnop'),
    });
    const controller = new AbortController();
    const look = mailbox.findSent(ID, { signal: controller.signal });
    await isConnected.promise;
    await end(mailbox, controller);
    expect(await look).toEqual(failedWith('imap_unavailable', false, /^The search was stopped\.$/));
    await isClosed.promise;
  });

  test('is not made after the mailbox is closed', async () => {
    await using gmail = await startSimulator();
    const mailbox = openSimulatorMailbox(gmail);
    await mailbox.close();
    expect(await mailbox.findSent(ID)).toMatchObject({ kind: 'failed' });
    expect(gmail.imap.counters.connections).toBe(0);
  });
});

describe.concurrent('a failed look', () => {
  test.each([
    ['bad-credentials', 'imap_login_refused', true, /Invalid credentials/],
    ['app-password-required', 'imap_login_refused', true, /Application-specific password required/],
    ['web-login', 'imap_login_refused', true, /Please log in via your web browser/],
    ['imap-off', 'imap_disabled', true, /not enabled for IMAP use/],
    ['imap-off-by-admin', 'imap_disabled', true, /disabled for your domain/],
    ['too-many-connections', 'imap_unavailable', false, /Too many simultaneous connections/],
    ['bandwidth-limit', 'imap_unavailable', false, /exceeded command or bandwidth limits/],
    ['system-error', 'imap_unavailable', false, /Temporary System Error/],
  ] as const)('with %s is %s, and the next one succeeds', async (fault, code, isRefusal, detail) => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail);
    gmail.imap.setLoginFault(fault, 1);
    expect(await mailbox.findSent(ID)).toEqual(failedWith(code, isRefusal, detail));
    expect(gmail.imap.counters).toMatchObject({ logins: 0, failedLogins: 1 });
    expect(await mailbox.findSent(ID)).toEqual(ABSENT);
  });

  test.each<[string, ImapFault]>([
    ['garbage in place of the greeting', { kind: 'garbage', command: 'GREETING' }],
    ['garbage in place of a reply', { kind: 'garbage' }],
    ['garbage in place of messages', { kind: 'garbage', command: 'FETCH' }],
    ['a connection cut at once', { kind: 'cut', afterBytes: 0 }],
    ['a connection cut in a reply', { kind: 'cut', afterBytes: 30, command: 'FETCH' }],
    ['a connection cut in the login', { kind: 'cut', afterBytes: 0, command: 'AUTHENTICATE' }],
    ['a refused folder', { kind: 'refuse', text: '[SERVERBUG] Folder cannot be opened', command: 'EXAMINE' }],
    ['a refused list', { kind: 'refuse', text: 'System Error (Failure)', command: 'LIST' }],
    ['a slow reply', { kind: 'slow', ms: 60_000, command: 'FETCH' }],
    ['a slow login', { kind: 'slow', ms: 60_000, command: 'AUTHENTICATE' }],
  ])('by %s is imap_unavailable in time, and the next one succeeds', async (_, fault) => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail, { deadlines: { lookMs: 1500, greetingMs: 1000 } });
    await sendMail(gmail, ID);
    gmail.imap.setFault(fault);
    expect(await mailbox.findSent(ID)).toEqual(failedWith('imap_unavailable', false, /./));
    gmail.imap.setFault(null);
    await using next = openSimulatorMailbox(gmail);
    expect(await next.findSent(ID)).toEqual(FOUND);
    expect(await mailbox.findSent(ID)).toEqual(FOUND);
  });

  test('by a flood of lines before the login ends at once, since it would slow sending', async () => {
    const certificate = createCertificate(['localhost']);
    await using server = await startRawSmtp(async (io) => {
      io.send('* OK Gimap ready\r\n');
      const isEnded = io.readToEnd().then(() => true);
      const pause = () => nextTurn().then(() => false);
      while (!(await Promise.race([isEnded, pause()]))) io.send('* OK Still here\r\n'.repeat(1000));
    }, certificate);
    await using mailbox = openTestMailbox({
      url: `imaps://localhost:${server.port}`,
      ca: certificate.ca,
      credentials: passwordOf('abcdefghijklmnop'),
      deadlines: { lookMs: 60_000 },
    });
    expect(await mailbox.findSent(ID)).toEqual(failedWith('imap_unavailable', false, /./));
  });

  test('because of time names the limit', async () => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail, { deadlines: { lookMs: 1500 } });
    gmail.imap.setFault({ kind: 'slow', ms: 60_000, command: 'LIST' });
    expect(await mailbox.findSent(ID)).toEqual(failedWith('imap_unavailable', false, /within 1\.5 s\.$/));
  });

  test.each([
    [
      'an unknown certificate',
      'localhost',
      undefined,
      /certificate is not trusted \(.*\)\. Check .* NODE_EXTRA_CA_CERTS\.$/,
    ],
    ['the certificate of another host', 'imap.other.test', 'own', /ERR_TLS_CERT_ALTNAME_INVALID/],
  ])('by %s sends no password', async (_, name, trust, detail) => {
    const certificate = createCertificate([name]);
    const received: string[] = [];
    await using server = await startRawSmtp(async (io) => {
      io.send('* OK Gimap ready\r\n');
      received.push(await io.readToEnd());
    }, certificate);
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail, {
      url: `imaps://localhost:${server.port}`,
      ...(trust ? { ca: certificate.ca } : {}),
    });
    expect(await mailbox.findSent(ID)).toEqual(failedWith('imap_unavailable', false, detail));
    expect(received.join('')).toBe('');
  });

  test.each([
    ['does not offer STARTTLS', 'IMAP4rev1 AUTH=PLAIN', /STARTTLS/],
    ['greets as if it had logged in', null, /PREAUTH|STARTTLS/],
  ])('of a server that %s sends no password', async (_, capabilities, detail) => {
    const received: string[] = [];
    await using server = await startRawSmtp(async (io) => {
      io.send(capabilities ? '* OK ready\r\n' : '* PREAUTH welcome\r\n');
      const line = await io.expect(/CAPABILITY$/);
      io.send(`* CAPABILITY ${capabilities ?? 'IMAP4rev1 STARTTLS'}\r\n${line.split(' ')[0]} OK done\r\n`);
      received.push(await io.readToEnd());
    });
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail, { url: `imap://localhost:${server.port}` });
    expect(await mailbox.findSent(ID)).toEqual(failedWith('imap_unavailable', false, detail));
    expect(received.join('')).not.toMatch(/LOGIN|AUTHENTICATE/);
  });

  test('without a server is imap_unavailable', async () => {
    await using gmail = await startSimulator();
    const port = await freePort();
    await using mailbox = openSimulatorMailbox(gmail, { url: `imaps://localhost:${port}` });
    expect(await mailbox.findSent(ID)).toEqual(failedWith('imap_unavailable', false, /ECONNREFUSED/));
  });

  test.each([
    ['refuses it', 'NO', /refused the login: you sent \[redacted\] and \[redacted\]\.$/],
    ['closes the connection', 'BYE', /reported: you sent \[redacted\] and \[redacted\]\.$/],
  ])('never contains the password, if the server repeats it and %s', async (_, response, detail) => {
    const certificate = createCertificate(['localhost']);
    const repeated = `you sent secretsecretsec1 and ${Buffer.alloc(40, 'secretsec').toString('base64')}`;
    await using server = await startRawSmtp(async (io) => {
      io.send('* OK ready\r\n');
      const [tag] = (await io.expect(/ CAPABILITY$/)).split(' ');
      io.send(`* CAPABILITY IMAP4rev1\r\n${tag} OK done\r\n`);
      const [login] = (await io.expect(/ LOGIN /)).split(' ');
      io.send(`${response === 'NO' ? login : '*'} ${response} ${repeated}\r\n`);
    }, certificate);
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail, {
      url: `imaps://localhost:${server.port}`,
      ca: certificate.ca,
      credentials: passwordOf('secretsecretsec1'),
    });
    expect(await mailbox.findSent(ID)).toMatchObject({ fault: { detail: expect.stringMatching(detail) } });
  });
});

describe.concurrent('the login', () => {
  test('reads the credentials again after a refusal', async () => {
    await using gmail = await startSimulator();
    let password = 'wrongwrongwrong1';
    await using mailbox = openSimulatorMailbox(gmail, {
      credentials: () => ({ kind: 'app_password', password }),
    });
    expect(await mailbox.findSent(ID)).toMatchObject({ fault: { code: 'imap_login_refused' } });
    password = gmail.password;
    expect(await mailbox.findSent(ID)).toEqual(ABSENT);
  });

  test('is repeated with replaced credentials', async () => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail);
    await mailbox.findSent(ID);
    mailbox.login.replace(passwordOf('wrongwrongwrong1'));
    expect(await mailbox.findSent(ID)).toMatchObject({ fault: { code: 'imap_login_refused' } });
  });

  test('uses an access token, and the same one on the next connection', async () => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail, { credentials: () => refreshTokenOf(gmail) });
    expect(await mailbox.findSent(ID)).toEqual(ABSENT);
    gmail.imap.closeConnections();
    expect(await mailbox.findSent(ID)).toEqual(ABSENT);
    expect(gmail.imap.counters.logins).toBe(2);
    expect(gmail.oauth.requests).toBe(1);
  });

  test('renews a revoked token within the look', async () => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail, { credentials: () => refreshTokenOf(gmail) });
    await mailbox.findSent(ID);
    gmail.oauth.revoke();
    gmail.imap.closeConnections();
    expect(await mailbox.findSent(ID)).toEqual(ABSENT);
    expect(gmail.oauth.requests).toBe(2);
  });

  test('makes no second login if a newly issued token is refused', async () => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail, {
      credentials: () => refreshTokenOf(gmail),
      user: 'other@simulator.test',
    });
    expect(await mailbox.findSent(ID)).toEqual(failedWith('imap_login_refused', true, /Invalid credentials/));
    expect(gmail.imap.counters.failedLogins).toBe(1);
  });

  test.each([
    ['https://www.googleapis.com/auth/gmail.send', 'imap_scope_missing'],
    ['https://mail.google.com/ openid', 'imap_login_refused'],
    [undefined, 'imap_login_refused'],
  ])('with a refused token of the scope %s is %s', async (scope, code) => {
    await using gmail = await startSimulator();
    await using issuer = await startTokenEndpoint({ access_token: 'a-token', expires_in: 3600, scope });
    await using mailbox = openSimulatorMailbox(gmail, {
      credentials: () => ({ ...refreshTokenOf(gmail), tokenUrl: issuer.url }),
    });
    expect(await mailbox.findSent(ID)).toEqual(failedWith(code, true, /./));
  });

  test.each<[string, (grant: Credentials & { kind: 'refresh_token' }) => Credentials, string, boolean]>([
    ['a revoked grant', (grant) => ({ ...grant, refreshToken: 'revoked' }), 'oauth_grant_revoked', true],
    [
      'no token endpoint',
      (grant) => ({ ...grant, tokenUrl: 'http://127.0.0.1:1/' }),
      'oauth_unreachable',
      false,
    ],
  ])('with %s makes no connection', async (_, change, code, isRefusal) => {
    await using gmail = await startSimulator();
    await using mailbox = openSimulatorMailbox(gmail, { credentials: () => change(refreshTokenOf(gmail)) });
    expect(await mailbox.findSent(ID)).toEqual(failedWith(code, isRefusal, /./));
    expect(gmail.imap.counters.connections).toBe(0);
  });
});
