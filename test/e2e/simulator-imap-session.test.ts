import { execFile } from 'node:child_process';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { mailOf, openImapFlow, openRawImap, sendMail } from '../helpers/imap/simulator-mailbox.ts';
import { createSimulatorEnv } from '../helpers/smtp/simulator-env.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const SENT = 'EXAMINE "[Gmail]/Sent Mail"';

describe('search', () => {
  test('finds a mail by number, UID and date at once, but by its content only once it is indexed', async () => {
    await using simulator = await startSimulator();
    simulator.imap.configure({ indexLagMs: 300 });
    await sendMail(simulator, '<1@acme.test>');
    using client = await openRawImap(simulator);
    await client.command(SENT);
    const day = `${new Date().getUTCDate()}-${new Date().toUTCString().slice(8, 11)}-${new Date().getUTCFullYear()}`;
    const found = '* SEARCH 1\r\n';
    expect(await client.command('SEARCH 1:*')).toContain(found);
    expect(await client.command(`UID SEARCH UID 1 SINCE ${day}`)).toContain(found);
    const byContent = ['X-GM-RAW "rfc822msgid:1@acme.test"', 'HEADER Message-ID 1@acme.test', 'SUBJECT Hi'];
    for (const key of byContent) expect(await client.command(`SEARCH ${key}`)).toContain('* SEARCH\r\n');
    await vi.waitFor(async () => {
      for (const key of byContent) expect(await client.command(`SEARCH ${key}`)).toContain(found);
    });
  });

  test.each([
    ['ALL', '1 2 3'],
    ['2:*', '2 3'],
    ['NOT 1', '2 3'],
    ['OR 1 UID 3', '1 3'],
    ['(1:2) SUBJECT hi', '1 2'],
    ['BEFORE 2-Jan-2026', '1'],
    ['SINCE 02-Jan-2026', '2 3'],
    ['ON "2-Jan-2026"', '2'],
    ['SEEN', ''],
    ['UNSEEN LARGER 10', '1 2 3'],
    ['CHARSET UTF-8 FROM {12+}\r\nada@acme.tes', '2'],
    ['X-GM-RAW "from:ada@acme.test in:anywhere"', '2'],
    ['X-GM-RAW "after:2026/01/03"', '3'],
    ['BODY hi', '1 2 3'],
    ['TEXT example.com', '1 3'],
  ])('for %s finds %j', async (keys, expected) => {
    await using simulator = await startSimulator();
    for (const [index, from] of ['bob@example.com', 'ada@acme.test', 'eve@example.com'].entries())
      simulator.imap.deliver(mailOf(`<${index}@acme.test>`, from), {
        receivedAt: Date.UTC(2026, 0, index + 1, 12),
      });
    using client = await openRawImap(simulator);
    await client.command('EXAMINE INBOX');
    expect(await client.command(`SEARCH ${keys}`)).toContain(`* SEARCH${expected && ` ${expected}`}\r\n`);
  });

  test.each([
    '',
    'SINCE yesterday',
    'SINCE 31-Feb-2026',
    'FUZZY x',
    'X-GM-RAW label:x',
    'X-GM-RAW "(a b)"',
    'UID a',
    'UID 0',
    'LARGER x',
    '()',
    '(ALL',
    'NOT',
  ])('refuses %j with BAD', async (keys) => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator);
    await client.command('EXAMINE INBOX');
    expect(await client.command(`SEARCH ${keys}`)).toMatch(/^BAD /);
    expect(await client.command('NOOP')).toMatch(/^OK/);
  });
});

describe('mailbox', () => {
  test('is the same for Python’s imaplib', async () => {
    await using simulator = await startSimulator();
    simulator.imap.configure({ sentName: '[Gmail]/Gesendet' });
    await sendMail(simulator, '<1@acme.test>');
    await using trust = await createSimulatorEnv(simulator);
    const script = `
import imaplib, ssl, sys
port, user, password, ca = sys.argv[1:]
client = imaplib.IMAP4_SSL('localhost', int(port), ssl_context=ssl.create_default_context(cafile=ca))
client.login(user, password)
folders = client.list()[1]
sent = next(line for line in folders if b'\\\\Sent' in line).decode().split(' "/" ')[1]
print(sent, client.select(sent, readonly=True)[1])
print(client.uid('SEARCH', None, 'X-GM-RAW', '"rfc822msgid:1@acme.test"')[1])
print(client.fetch('1', '(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)] BODY.PEEK[TEXT]<0.2>)')[1])
print(client.logout()[0])
`;
    const args = [
      String(simulator.imap.port),
      simulator.user,
      simulator.password,
      trust.env.NODE_EXTRA_CA_CERTS,
    ];
    const { stdout } = await promisify(execFile)('python3', ['-c', script, ...args]);
    expect(stdout.split('\n')).toEqual([
      `"[Gmail]/Gesendet" [b'1']`,
      "[b'1']",
      `[(b'1 (UID 1 BODY[HEADER.FIELDS (MESSAGE-ID)] {29}', b'Message-ID: <1@acme.test>\\r\\n\\r\\n'), (b' BODY[TEXT]<0> {2}', b'Hi'), b')']`,
      'BYE',
      '',
    ]);
  });

  test('reports in IDLE what arrives, and shows it in All Mail too, without spam', async () => {
    await using simulator = await startSimulator();
    await using client = await openImapFlow(simulator);
    await client.mailboxOpen('INBOX', { readOnly: true });
    const exists = vi.fn();
    client.on('exists', exists);
    const idle = client.idle();
    await simulator.waitFor(({ imap }) => imap.idleSessions === 1);
    simulator.imap.deliver(mailOf('<1@acme.test>'));
    await vi.waitFor(() => expect(exists).toHaveBeenCalledTimes(1));
    simulator.imap.deliver(mailOf('<2@acme.test>'), { folder: 'spam' });
    await client.mailboxOpen('[Gmail]/All Mail', { readOnly: true });
    await idle;
    expect(client.mailbox).toMatchObject({ exists: 1 });
    expect(exists).toHaveBeenCalledTimes(1);
  });

  test.each([
    'EXAMINE INBOX|FETCH 1 (FLAGS BODY.PEEK[])',
    'EXAMINE INBOX|FETCH 1 BODY[]',
    'SELECT INBOX|FETCH 1 BODY.PEEK[HEADER]',
    'SELECT INBOX|SEARCH ALL',
    'SELECT INBOX|UNSELECT',
    'EXAMINE INBOX|CLOSE',
  ])('records no write for %s', async (commands) => {
    await using simulator = await startSimulator();
    simulator.imap.deliver(mailOf('<1@acme.test>'));
    using client = await openRawImap(simulator);
    for (const command of commands.split('|')) expect(await client.command(command)).toMatch(/^OK/m);
    expect(simulator.imap.commands.filter(({ writes }) => writes)).toEqual([]);
    expect(simulator.imap.mails('inbox')[0]?.flags.size).toBe(0);
  });

  test.each([
    'FETCH 1 BODY[]',
    'FETCH 1 (UID RFC822)',
    'STORE 1 +FLAGS (\\Seen)',
    'UID STORE 1 +FLAGS (\\Seen)',
    'EXPUNGE',
    'UID EXPUNGE 1',
    'UID MOVE 1 "[Gmail]/Trash"',
    'COPY 1 "[Gmail]/Spam"',
    'CREATE x',
    'APPEND INBOX {2+}\r\nHi',
    'CLOSE',
  ])('records %s after SELECT as a write', async (command) => {
    await using simulator = await startSimulator();
    simulator.imap.deliver(mailOf('<1@acme.test>'));
    using client = await openRawImap(simulator);
    await client.command('SELECT INBOX');
    await client.command(command);
    expect(simulator.imap.commands.filter(({ writes }) => writes)).toEqual([
      { user: simulator.user, text: command, writes: true },
    ]);
  });

  test('has other UIDs once UIDVALIDITY changes', async () => {
    await using simulator = await startSimulator();
    simulator.imap.deliver(mailOf('<1@acme.test>'));
    using client = await openRawImap(simulator);
    expect(await client.command('EXAMINE INBOX')).toMatch(/\[UIDVALIDITY 1\][\s\S]*\[UIDNEXT 2\]/);
    client.write('a IDLE\r\n');
    await client.readTo(/^\+ idling\r\n/m);
    simulator.imap.changeUidValidity();
    expect(await client.rest).toBe('');
    using next = await openRawImap(simulator);
    expect(await next.command('EXAMINE INBOX')).toMatch(/\[UIDVALIDITY 2\][\s\S]*\[UIDNEXT 3\]/);
    expect(await next.command('UID SEARCH ALL')).toContain('* SEARCH 2\r\n');
  });

  test.each([
    'LIST "" "*"',
    'FETCH 1 UID',
    'LOGIN a',
    'UID NOOP',
    'NOSUCH',
    'X-GM-NOSUCH',
    '(NOOP)',
    '',
    'EXAMINE "',
    'LOGIN (a',
    'LOGIN {99999999}',
  ])('responds BAD to %s before the login, and continues', async (command) => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator, { login: false });
    expect(await client.command(command)).toMatch(/BAD .+\r\n$/);
    expect(await client.command('NOOP')).toBe('OK Success\r\n');
  });

  test('closes the connection of a client that sends too much', async () => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator);
    client.write('a APPEND INBOX {99999999+}\r\n');
    expect(await client.rest).toBe('* BYE Command too long\r\n');
  });

  test.each(['', '\0a NOOP', '* NOOP', '+ NOOP', `${'a'.repeat(200)} NOOP`])(
    'responds with an untagged BAD to %j, which has no tag',
    async (line) => {
      await using simulator = await startSimulator();
      using client = await openRawImap(simulator);
      client.write(`${line}\r\nb NOOP\r\n`);
      expect(await client.readTo(/^b .*\r\n/m)).toBe('* BAD Could not parse command\r\nb OK Success\r\n');
    },
  );

  test('refuses a long message in APPEND before it is sent', async () => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator);
    expect(await client.command('APPEND INBOX {99999999}')).toMatch(/^NO \[CANNOT\]/);
    expect(await client.command('NOOP')).toBe('OK Success\r\n');
  });

  test.each([
    ['parentheses', `SEARCH ${'('.repeat(100_000)}`],
    ['keys', `SEARCH ${'NOT '.repeat(50_000)}ALL`],
    ['sections', `FETCH 1 ${'BODY['.repeat(40_000)}`],
  ])('responds BAD to many nested %s, and continues', async (_name, command) => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator);
    await client.command('EXAMINE INBOX');
    expect(await client.command(command)).toMatch(/^BAD /);
    expect(await client.command('NOOP')).toBe('OK Success\r\n');
  });

  test('lists folders for a pattern of many wildcards without delay', async () => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator);
    expect(await client.command(`LIST "" "${'*'.repeat(3000)}!"`)).toBe('OK Success\r\n');
    expect(await client.command('LIST "" "%*B%x"')).toContain('"/" "INBOX"\r\n');
    expect(await client.command('LIST (SPECIAL-USE) "" "%/%"')).not.toMatch(/INBOX|Noselect/);
    expect(await client.command('LIST (SUBSCRIBED) "" INBOX')).toContain('"/" "INBOX"\r\n');
    expect(await client.command('LIST "" "%"')).not.toContain('[Gmail]/');
  });

  test('never lets text of the client break a response', async () => {
    await using simulator = await startSimulator();
    using client = await openRawImap(simulator, { login: false });
    const user = '{9+}\r\na\r\n* BYE x';
    expect(await client.command(`LOGIN ${user} ${simulator.password}`)).toContain(
      'NO [AUTHENTICATIONFAILED]',
    );
    await client.command(`LOGIN ${simulator.user} ${simulator.password}`);
    expect(await client.command('STATUS INBOX ({9+}\r\na\r\n* BYE x)')).toMatch(/^BAD [ -~]*\r\n$/);
  });

  test('sends no more than a client reads', async () => {
    await using simulator = await startSimulator();
    simulator.imap.deliver(`${mailOf('<1@acme.test>')}${'x'.repeat(5_000_000)}`);
    const { port } = simulator.imap;
    const socket = connect({ host: '127.0.0.1', port, ca: simulator.ca, servername: 'localhost' });
    const commands = [`LOGIN ${simulator.user} ${simulator.password}`, 'EXAMINE INBOX'];
    for (let count = 0; count < 20; count++) commands.push('FETCH 1 BODY.PEEK[]');
    socket.write(commands.map((command) => `a ${command}\r\n`).join(''));
    const fetches = () => simulator.imap.commands.filter(({ text }) => text.startsWith('FETCH')).length;
    await simulator.waitFor(() => fetches() > 0);
    using other = await openRawImap(simulator);
    await other.command('NOOP');
    expect(fetches()).toBeLessThan(20);
    socket.resume();
    await simulator.waitFor(() => fetches() === 20);
    socket.destroy();
  });
});
