import { describe, expect, test, vi } from 'vitest';
import { openImapFlow, openRawImap } from '../helpers/imap/simulator-mailbox.ts';
import { base64, startSimulator } from '../helpers/smtp/simulator-session.ts';

const CAPABILITY = /^\* CAPABILITY .*\r\n/;

describe('login', () => {
  test.each([
    ['LOGIN', 'LOGIN demo@simulator.test abcdefghijklmnop'],
    ['a quoted LOGIN', 'LOGIN "demo@simulator.test" "abcdefghijklmnop"'],
    ['a LOGIN of literals', 'LOGIN {19+}\r\ndemo@simulator.test {16+}\r\nabcdefghijklmnop'],
    ['PLAIN', `AUTHENTICATE PLAIN ${base64('\0demo@simulator.test\0abcdefghijklmnop')}`],
    [
      'XOAUTH2',
      `AUTHENTICATE XOAUTH2 ${base64('user=demo@simulator.test\x01auth=Bearer abcdefghijklmnop\x01\x01')}`,
    ],
    [
      'OAUTHBEARER',
      `AUTHENTICATE OAUTHBEARER ${base64('n,a=demo@simulator.test,\x01auth=Bearer abcdefghijklmnop\x01\x01')}`,
    ],
  ])('accepts %s', async (_name, command) => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator, { login: false });
    expect(await client.command(command)).toMatch(/OK demo@simulator\.test authenticated \(Success\)\r\n$/);
    expect(await client.command('CAPABILITY')).toContain(' SPECIAL-USE');
    expect(simulator.imap.counters).toEqual({ connections: 1, logins: 1, failedLogins: 0 });
  });

  test('waits for a literal and for the response of PLAIN', async () => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator, { login: false });
    client.write('a LOGIN {19}\r\n');
    await client.readTo(/^\+ go ahead\r\n/m);
    client.write('demo@simulator.test wrong\r\n');
    expect(await client.readTo(/^a .*\r\n/m)).toBe(
      'a NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)\r\n',
    );
    client.write('b AUTHENTICATE PLAIN\r\n');
    await client.readTo(/^\+ \r\n/m);
    client.write(`${base64('\0demo@simulator.test\0abcdefghijklmnop')}\r\n`);
    expect(await client.readTo(/^b .*\r\n/m)).toMatch(CAPABILITY);
  });

  test('refuses a token of another scope as Gmail does, after an error in a challenge', async () => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator, { login: false });
    const response = base64('user=demo@simulator.test\x01auth=Bearer ya29.other\x01\x01');
    client.write(`a AUTHENTICATE XOAUTH2 ${response}\r\n`);
    const challenge = await client.readTo(/^\+ .*\r\n/m);
    const [, encoded = ''] = /^\+ (\S+)\r\n/m.exec(challenge) ?? [];
    expect(JSON.parse(Buffer.from(encoded, 'base64').toString())).toEqual({
      status: '400',
      schemes: 'Bearer',
      scope: 'https://mail.google.com/',
    });
    client.write('\r\n');
    expect(await client.readTo(/^a .*\r\n/m)).toBe(
      'a NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)\r\n',
    );
  });

  test('never records a password or token', async () => {
    await using simulator = await startSimulator();
    await using _client = await openImapFlow(simulator);
    using raw = await openRawImap(simulator);
    await raw.command('NOOP');
    const text = JSON.stringify(simulator.imap.commands);
    expect(text).toContain('"LOGIN"');
    expect(text).not.toContain(simulator.password);
    expect(text).not.toContain(base64(`\0${simulator.user}\0${simulator.password}`));
  });

  test('ends the session with its access token, also in IDLE', async () => {
    await using simulator = await startSimulator();
    const { tokenUrl, clientId, clientSecret, refreshToken } = simulator.oauth;
    const form = { client_id: clientId, client_secret: clientSecret, refresh_token: refreshToken };
    const response = await fetch(tokenUrl, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'refresh_token', ...form }),
    });
    const { access_token: accessToken } = Object(await response.json());
    const client = await openImapFlow(simulator, { user: simulator.user, accessToken });
    await client.mailboxOpen('INBOX', { readOnly: true });
    const closed = vi.fn();
    client.on('close', closed);
    client.idle().catch(() => {});
    await simulator.waitFor(({ imap }) => imap.idleSessions === 1);
    simulator.oauth.revoke();
    await vi.waitFor(() => expect(closed).toHaveBeenCalled());
    await simulator.waitFor(({ imap }) => imap.sessions === 0);
  });

  test('refuses the sixteenth connection of an account', async () => {
    await using simulator = await startSimulator();
    const clients = await Promise.all(Array.from({ length: 15 }, () => openRawImap(simulator)));
    using client = await openRawImap(simulator, { login: false });
    expect(await client.command(`LOGIN ${simulator.user} ${simulator.password}`)).toContain(
      'NO [ALERT] Too many simultaneous connections. (Failure)',
    );
    expect(await client.command(`LOGIN other@acme.test ${simulator.password}`)).toContain('OK');
    for (const each of clients) each[Symbol.dispose]();
  });
});
