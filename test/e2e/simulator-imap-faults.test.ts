import { describe, expect, test, vi } from 'vitest';
import { mailOf, openImapFlow, openRawImap } from '../helpers/imap/simulator-mailbox.ts';
import { control, startSimulator } from '../helpers/smtp/simulator-session.ts';

const GREETING = '* OK Gimap ready for requests from 127.0.0.1\r\n';

describe('refused login', () => {
  test.each([
    ['bad-credentials', 'NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)'],
    ['web-login', 'NO [ALERT] Please log in via your web browser: '],
    ['app-password-required', 'NO [ALERT] Application-specific password required: '],
    ['imap-off', 'NO [ALERT] Your account is not enabled for IMAP use. '],
    ['imap-off-by-admin', 'NO [ALERT] IMAP access is disabled for your domain. '],
    ['too-many-connections', 'NO [ALERT] Too many simultaneous connections. (Failure)'],
    ['bandwidth-limit', 'NO [ALERT] Account exceeded command or bandwidth limits. (Failure)'],
    ['system-error', 'NO [UNAVAILABLE] Temporary System Error (Failure)'],
  ] as const)('%s has the text of Gmail, for a number of logins', async (fault, text) => {
    await using simulator = await startSimulator();
    simulator.imap.setLoginFault(fault, 1);
    using client = await openRawImap(simulator, { login: false });
    const login = `LOGIN ${simulator.user} ${simulator.password}`;
    expect(await client.command(login)).toContain(text);
    expect(await client.command(login)).toMatch(/OK .*\r\n$/);
    expect(simulator.imap.counters).toMatchObject({ logins: 1, failedLogins: 1 });
  });

  test.each([
    ['app-password-required', 'NO [ALERT] Application-specific password required: '],
    ['browser-sign-in', 'NO [ALERT] Please log in via your web browser: '],
  ])('of %s@simulator.test has the text of Gmail', async (name, text) => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator, { login: false });
    expect(await client.command(`LOGIN ${name}@simulator.test ${simulator.password}`)).toContain(text);
  });

  test('does not concern SMTP, nor a fault of SMTP the login to IMAP', async () => {
    await using simulator = await startSimulator();
    simulator.setLoginFault('bad-credentials');
    await using client = await openImapFlow(simulator);
    expect(client.usable).toBe(true);
  });

  test('of an account whose IMAP is off ends with it, and leaves other accounts alone', async () => {
    await using simulator = await startSimulator();
    await control(simulator, '/imap-access', { enabled: false });
    await expect(openImapFlow(simulator)).rejects.toMatchObject({
      response: expect.stringContaining('Your account is not enabled for IMAP use.'),
    });
    await using _other = await openImapFlow(simulator, { user: 'other@acme.test', pass: simulator.password });
    await control(simulator, '/imap-access', { enabled: true });
    await using _client = await openImapFlow(simulator);
  });

  test('of a changed password is that of Gmail', async () => {
    await using simulator = await startSimulator();
    simulator.setPassword('another');
    await expect(openImapFlow(simulator, { user: simulator.user, pass: 'old' })).rejects.toMatchObject({
      serverResponseCode: 'AUTHENTICATIONFAILED',
    });
  });
});

describe('fault of replies', () => {
  test('slow delays the replies to one command only', async () => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator);
    simulator.imap.setFault({ kind: 'slow', ms: 150, command: 'EXAMINE' });
    const startedAt = performance.now();
    await client.command('NOOP');
    const between = performance.now();
    await client.command('EXAMINE INBOX');
    expect(between - startedAt).toBeLessThan(performance.now() - between);
    expect(performance.now() - between).toBeGreaterThan(145);
  });

  test('garbage replaces the greeting, or the replies to a command', async () => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator);
    await control(simulator, '/imap-fault', { fault: { kind: 'garbage', command: 'list' } });
    client.write('a LIST "" "*"\r\nb NOOP\r\n');
    const text = await client.readTo(/^b .*\r\n/m);
    expect(text).toContain('<html>');
    expect(text).not.toMatch(/^\* LIST|^a /m);
    simulator.imap.setFault({ kind: 'garbage' });
    using other = await openRawImap(simulator, { login: false });
    await other.readTo(/^<html>/);
  });

  test.each([0, 1, 17, GREETING.length])('cut closes the connection after %i bytes', async (afterBytes) => {
    await using simulator = await startSimulator();
    simulator.imap.setFault({ kind: 'cut', afterBytes });
    using client = await openRawImap(simulator, { login: false });
    expect(await client.rest).toBe(GREETING.slice(0, afterBytes));
    await simulator.waitFor(({ imap }) => imap.sessions === 0);
  });

  test('cut can hit the middle of a fetched mail, or IDLE', async () => {
    await using simulator = await startSimulator();
    simulator.imap.deliver(mailOf('<1@acme.test>'));
    using client = await openRawImap(simulator);
    await client.command('EXAMINE INBOX');
    const fault = { kind: 'cut', after_bytes: 30, command: 'FETCH' };
    expect(await control(simulator, '/imap-fault', { fault })).toEqual({ fault });
    client.write('a FETCH 1 BODY.PEEK[]\r\n');
    expect(await client.rest).toHaveLength(30);
    simulator.imap.setFault({ kind: 'cut', afterBytes: 0, command: 'IDLE' });
    using next = await openRawImap(simulator);
    next.write('a IDLE\r\n');
    expect(await next.rest).toBe('');
  });

  test('refuse responds NO with the text', async () => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator);
    await client.command('EXAMINE INBOX');
    simulator.imap.setFault({ kind: 'refuse', text: '[OVERQUOTA] Later', command: 'SEARCH' });
    expect(await client.command('UID SEARCH ALL')).toBe('NO [OVERQUOTA] Later\r\n');
    simulator.imap.setFault(null);
    expect(await client.command('UID SEARCH ALL')).toContain('OK');
  });

  test('a disconnection ends every session in IDLE', async () => {
    await using simulator = await startSimulator();
    const client = await openImapFlow(simulator);
    await client.mailboxOpen('INBOX', { readOnly: true });
    const closed = vi.fn();
    client.on('close', closed);
    client.idle().catch(() => {});
    await simulator.waitFor(({ imap }) => imap.idleSessions === 1);
    await control(simulator, '/imap-disconnection', {});
    await vi.waitFor(() => expect(closed).toHaveBeenCalled());
  });
});

describe('IMAP port', () => {
  test('blocked as refused closes open sessions, accepts none, and reopens', async () => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator);
    await control(simulator, '/port-fault', { port: 'imap', fault: 'refused' });
    await client.rest;
    await expect(openImapFlow(simulator)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await simulator.blockPort('imap', null);
    await using _next = await openImapFlow(simulator);
  });

  test('blocked as silent lets the handshake wait, and reopens', async () => {
    await using simulator = await startSimulator();
    await simulator.blockPort('imap', 'silent');
    using client = await openRawImap(simulator, { login: false });
    await simulator.waitFor(({ imap }) => imap.counters.connections === 1);
    await simulator.blockPort('imap', null);
    await expect(client.rest).rejects.toThrow('disconnected before secure TLS connection was established');
    await using _next = await openImapFlow(simulator);
  });

  test('has the certificate of the other ports', async () => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator);
    simulator.setCertificate('expired');
    await client.rest;
    await expect(openImapFlow(simulator)).rejects.toMatchObject({ code: 'CERT_HAS_EXPIRED' });
  });

  test('is free once the simulator is closed, also with mails that would be filed later', async () => {
    const simulator = await startSimulator();
    const client = await openRawImap(simulator);
    simulator.imap.deliver(mailOf('<1@acme.test>'), { delayMs: 60_000 });
    await Promise.all([simulator.close(), client.rest]);
    await using next = await startSimulator({ imapPort: simulator.imap.port });
    expect(next.imap.url).toBe(`imaps://localhost:${simulator.imap.port}`);
  });
});

describe('control API', () => {
  test('shows, adds and removes mails', async () => {
    await using simulator = await startSimulator();
    const mailbox = async (query: string) =>
      Object(await (await fetch(`${simulator.httpUrl}/mailbox${query}`)).json());
    await control(simulator, '/mailbox', { raw: 'Subject: é\n\nHi\n' });
    await control(simulator, '/mailbox', { raw: 'x', folder: 'drafts', user: 'other@acme.test' });
    expect(await mailbox('')).toEqual({
      mails: [{ receivedAt: expect.any(Number), flags: [], raw: 'Subject: é\r\n\r\nHi\r\n' }],
    });
    expect((await mailbox('?folder=all&user=Other@acme.test')).mails).toMatchObject([{ raw: 'x' }]);
    expect(await mailbox('?folder=archive')).toEqual({ error: expect.stringContaining('folder is one of') });
    expect((await fetch(`${simulator.httpUrl}/mailbox`, { method: 'DELETE' })).status).toBe(204);
    expect((await mailbox('')).mails).toEqual([]);
  });

  test('changes settings, UIDVALIDITY and login faults, and shows the commands', async () => {
    await using simulator = await startSimulator();
    const settings = { filing_delay_seconds: 60, index_lag_seconds: 60, sent_name: '[Gmail]/Gesendet' };
    expect(await control(simulator, '/imap-settings', settings)).toEqual(settings);
    await control(simulator, '/imap-uid-validity', {});
    await control(simulator, '/imap-login-fault', { fault: 'imap-off', times: 1 });
    using client = await openRawImap(simulator);
    await client.command(`LOGIN ${simulator.user} ${simulator.password}`);
    expect(await client.command('STATUS "[Gmail]/Gesendet" (UIDVALIDITY MESSAGES)')).toContain(
      '* STATUS "[Gmail]/Gesendet" (UIDVALIDITY 2 MESSAGES 0)',
    );
    const shown = await (await fetch(`${simulator.httpUrl}/imap-commands`)).json();
    expect(shown).toMatchObject({
      connections: 1,
      logins: 1,
      failedLogins: 1,
      commands: [{ user: simulator.user, writes: false }, {}, {}],
    });
  });
});
