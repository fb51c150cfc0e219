import { describe, expect, test } from 'vitest';
import type { LoginFault } from '../../src/simulator/auth/authenticator.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import {
  ACCEPTED,
  base64,
  connectTo,
  deliver,
  GO_AHEAD,
  lines,
  logInTo,
  normalize,
  normalizeReply,
  OK,
  RECIPIENT_OK,
  SENDER_OK,
  startSimulator,
} from '../helpers/smtp/simulator-session.ts';

const EXTENSIONS = ['250-ENHANCEDSTATUSCODES', '250-PIPELINING', '250-CHUNKING', '250 SMTPUTF8'];
const AUTH = '250-AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH';
const GREETING = '220 smtp.gmail.com ESMTP <id> - gsmtp\r\n';
const EHLO = ['250-smtp.gmail.com at your service, [127.0.0.1]', '250-SIZE 35882577', '250-8BITMIME'];
const BAD_CREDENTIALS = lines(
  '535-5.7.8 Username and Password not accepted. For more information, go to',
  '535 5.7.8  https://support.google.com/mail/?p=BadCredentials <id> - gsmtp',
);
const STARTTLS_FIRST = lines(
  '530-5.7.0 Must issue a STARTTLS command first. For more information, go to',
  '530-5.7.0  https://support.google.com/a/answer/3221692 and review RFC 3207',
  '530 5.7.0 specifications. <id> - gsmtp',
);

describe('session', () => {
  test('has Gmail’s greeting, and offers STARTTLS before TLS and AUTH after it', async () => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'starttls');
    expect(normalize(session.greeting)).toBe(GREETING);
    expect(await session.command('EHLO client.test')).toBe(lines(...EHLO, '250-STARTTLS', ...EXTENSIONS));
    await session.startTls();
    expect(await session.command('EHLO client.test')).toBe(lines(...EHLO, AUTH, ...EXTENSIONS));
  });

  test('offers AUTH at once on the implicit TLS port', async () => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'implicit');
    expect(normalize(session.greeting)).toBe(GREETING);
    expect(await session.command('EHLO client.test')).toBe(lines(...EHLO, AUTH, ...EXTENSIONS));
    expect(await session.command('HELO client.test')).toBe('250 smtp.gmail.com at your service\r\n');
  });

  test('has Gmail’s replies from STARTTLS to QUIT', async () => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'starttls');
    await session.command('EHLO client.test');
    expect(await session.command('STARTTLS now')).toMatch(
      /^501 5\.7\.11 Syntax error \(no parameters allowed\)\. .* - gsmtp\r\n$/,
    );
    await session.startTls();
    await session.command('EHLO client.test');
    expect(await session.command(`AUTH PLAIN ${base64(`\0bot@acme.test\0${simulator.password}`)}`)).toBe(
      '235 2.7.0 Accepted\r\n',
    );
    expect(
      await normalizeReply(session.command('MAIL FROM:<bot@acme.test> SIZE=100 BODY=8BITMIME SMTPUTF8')),
    ).toBe(SENDER_OK);
    expect(await normalizeReply(session.command('RCPT TO:<ada@example.com>'))).toBe(RECIPIENT_OK);
    expect(await normalizeReply(session.command('DATA'))).toBe(GO_AHEAD);
    expect(await normalizeReply(session.command('Subject: x\r\n\r\nx\r\n.'))).toBe(ACCEPTED);
    expect(await normalizeReply(session.command('RSET'))).toBe('250 2.1.5 Flushed <id> - gsmtp\r\n');
    expect(await normalizeReply(session.command('NOOP'))).toBe(OK);
    expect(await normalizeReply(session.command('VRFY ada'))).toBe(
      "252 2.1.5 Send some mail, I'll try my best <id> - gsmtp\r\n",
    );
    expect(await normalizeReply(session.command('QUIT'))).toBe(
      '221 2.0.0 closing connection <id> - gsmtp\r\n',
    );
    await session.closed;
  });

  test('has one id per transaction, which is the id of the message', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    const idOf = (reply: string) => / (\S+) - gsmtp/.exec(reply)?.[1];
    const ids = [];
    for (const _ of [1, 2]) {
      const sender = idOf(await session.command('MAIL FROM:<bot@acme.test>'));
      await session.command('RCPT TO:<ada@example.com>');
      await session.command('DATA');
      const accepted = idOf(await session.command('Subject: x\r\n\r\nx\r\n.'));
      expect(accepted).toBe(sender);
      ids.push(accepted);
    }
    expect(new Set(ids).size).toBe(2);
    expect(simulator.messages.map((message) => message.id)).toEqual(ids);
  });

  test('refuses a login before TLS, and MAIL before a login', async () => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'starttls');
    await session.command('EHLO client.test');
    expect(await normalizeReply(session.command(`AUTH PLAIN ${base64(`\0u\0${simulator.password}`)}`))).toBe(
      STARTTLS_FIRST,
    );
    expect(await normalizeReply(session.command('MAIL FROM:<bot@acme.test>'))).toBe(STARTTLS_FIRST);
    await session.startTls();
    await session.command('EHLO client.test');
    expect(await normalizeReply(session.command('MAIL FROM:<bot@acme.test>'))).toBe(
      lines(
        '530-5.7.0 Authentication Required. For more information, go to',
        '530 5.7.0  https://support.google.com/mail/?p=WantAuthError <id> - gsmtp',
      ),
    );
    expect(simulator.counters).toMatchObject({ logins: 0, failedLogins: 0, transactions: 0 });
  });

  test('replies to pipelined commands in order, also after a message', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    const first = lines(
      'MAIL FROM:<a@acme.test>',
      'RCPT TO:<ada@example.com>',
      'RCPT TO:<no-such-user@simulator.test>',
      'DATA',
    );
    session.write(first);
    const replies = [await session.read(), await session.read(), await session.read(), await session.read()];
    expect(replies.map((reply) => reply.slice(0, 9))).toEqual([
      '250 2.1.0',
      '250 2.1.5',
      '550-5.1.1',
      '354  Go a',
    ]);
    session.write(
      `Subject: x\r\n\r\nx\r\n.\r\n${lines('MAIL FROM:<b@acme.test>', 'RCPT TO:<bob@example.com>', 'DATA')}`,
    );
    const next = [await session.read(), await session.read(), await session.read(), await session.read()];
    expect(next.map(normalize)).toEqual([ACCEPTED, SENDER_OK, RECIPIENT_OK, GO_AHEAD]);
  });

  test('accepts a message in chunks of any bytes', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    session.write(lines('MAIL FROM:<a@acme.test>', 'RCPT TO:<ada@example.com>'));
    await session.read();
    await session.read();
    const [head, body] = ['Subject: x\r\n\r\n', '.\r\nQUIT\r\n..dots\r\n'];
    session.write(`BDAT ${head.length}\r\n${head}BDAT ${body.length}\r\n${body}BDAT 0 LAST\r\nNOOP\r\n`);
    const replies = [await session.read(), await session.read(), await session.read(), await session.read()];
    expect(replies.map(normalize)).toEqual([OK, OK, ACCEPTED, OK]);
    expect(simulator.messages.map(({ raw }) => raw)).toEqual([head + body]);
  });

  test('reads a refused chunk to its end', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    session.write('BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n');
    expect(await session.read()).toMatch(/^503-5\.5\.1 RCPT first\. /);
    expect(await normalizeReply(session.read())).toBe(OK);
    session.write(
      lines('MAIL FROM:<a@acme.test>', 'RCPT TO:<daily-limit@simulator.test>', 'BDAT 6 LAST', 'QUIT', 'NOOP'),
    );
    expect([await session.read(), await session.read()].map(normalize)).toEqual([SENDER_OK, RECIPIENT_OK]);
    expect(await session.read()).toMatch(/^550-5\.4\.5 /);
    expect(await normalizeReply(session.read())).toBe(OK);
    session.write(lines('MAIL FROM:<a@acme.test>', 'RCPT TO:<ada@example.com>', 'BDAT 35882578 LAST'));
    expect([await session.read(), await session.read()].map(normalize)).toEqual([SENDER_OK, RECIPIENT_OK]);
    session.write(Buffer.alloc(35_882_578, 'x'));
    expect(await session.read()).toMatch(/^552-5\.3\.4 /);
    expect(simulator.messages).toEqual([]);
    session.write(lines('MAIL FROM:<a@acme.test>', 'RCPT TO:<ada@example.com>', 'BDAT 0 LAST'));
    expect([await session.read(), await session.read(), await session.read()].map(normalize)).toEqual([
      SENDER_OK,
      RECIPIENT_OK,
      ACCEPTED,
    ]);
  });

  test.each([
    ['FROBNICATE', /^502 5\.5\.1 Unrecognized command\. \S+ - gsmtp\r\n$/],
    ['XCLIENT NAME=a', /^502 5\.5\.1 Unrecognized command\. /],
    ['HELP', /^214 2\.0\.0 {2}https:\S+ \S+ - gsmtp\r\n$/],
    ['STARTTLS', /^454 5\.5\.1 STARTTLS may not be repeated\. \S+ - gsmtp\r\n$/],
    ['AUTH PLAIN x', /^503 5\.7\.0 No identity changes permitted\. /],
    [
      'RCPT TO:<ada@example.com>',
      /^503-5\.5\.1 MAIL first\. A mail transaction protocol command was issued out of\r\n503-5\.5\.1 sequence\. /,
    ],
    ['DATA', /^503-5\.5\.1 RCPT first\. A mail transaction /],
    ['BDAT 0 LAST', /^503-5\.5\.1 RCPT first\. A mail transaction /],
    [
      'MAIL FROM:<bot@acme.test> SIZE=35882578',
      /^552-5\.3\.4 Your message exceeded Google's message size limits\. /,
    ],
    [
      'MAIL FROM:<bot@@acme.test>',
      /^553-5\.1\.7 The sender address <bot@@acme\.test> is not a valid RFC 5321 address\. /,
    ],
    ['MAIL FROM:<bot@acme.test> SIZE=many', /^555-5\.5\.2 Syntax error, cannot decode response\. /],
  ])('replies to %s out of sequence as Gmail does', async (command, reply) => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    expect(await session.command(command)).toMatch(reply);
    expect(simulator.transactions).toEqual([]);
  });

  test('refuses a second MAIL, malformed recipients, and more than a hundred recipients', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    await session.command('MAIL FROM:<bot@acme.test>');
    expect(await session.command('MAIL FROM:<bot@acme.test>')).toMatch(
      /^503-5\.5\.1 Bad sequence of commands\. /,
    );
    expect(await session.command('RCPT TO:<a..b@example.com>')).toMatch(
      /^553-5\.1\.3 The recipient address <a\.\.b@example\.com> is not /,
    );
    for (let n = 1; n <= 100; n += 1)
      expect(await session.command(`RCPT TO:<r${n}@example.com>`)).toMatch(/^250 2\.1\.5/);
    expect(await session.command('RCPT TO:<r101@example.com>')).toMatch(
      /^452-4\.5\.3 Your message has too many recipients\. /,
    );
  });

  test('closes the connection at EHLO without a name', async () => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'implicit');
    expect(await normalizeReply(session.command('EHLO'))).toBe(
      lines(
        '501-5.5.4 Empty HELO/EHLO argument not allowed, closing connection.',
        '501 5.5.4  https://support.google.com/mail/?p=helo <id> - gsmtp',
      ),
    );
    await session.closed;
  });

  test.each([
    ['FROBNICATE', /^502 5\.5\.1 Too many unrecognized commands, goodbye\. \S+ - gsmtp\r\n$/],
    ['NOOP', /^554 5\.7\.0 Too Many Unauthenticated commands\. \S+ - gsmtp\r\n$/],
  ])('closes the connection after repeated %s before a login', async (command, finalReply) => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'implicit');
    expect(await session.command('MAIL FROM:<bot@acme.test>')).toMatch(/^503-5\.5\.1 EHLO\/HELO first\. /);
    let reply = '';
    for (let n = 0; n < 10 && !finalReply.test(reply); n += 1) reply = await session.command(command);
    expect(reply).toMatch(finalReply);
    await session.closed;
  });

  test('refuses a message above SIZE after its dot, and does not store it', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    const row = `${'x'.repeat(998)}\r\n`;
    const message = `Subject: x\r\n\r\n${row.repeat(Math.ceil(35_882_577 / row.length))}`;
    const replies = await deliver(session, ['ada@example.com'], message);
    expect(replies.at(-1)).toBe(
      lines(
        "552-5.3.4 Your message exceeded Google's message size limits. Please visit",
        '552-5.3.4  https://support.google.com/mail/?p=MaxSizeError to view our size',
        '552 5.3.4 guidelines. <id> - gsmtp',
      ),
    );
    expect(simulator.messages).toEqual([]);
    expect((await deliver(session, ['ada@example.com'])).at(-1)).toBe(ACCEPTED);
  });
});

describe('login', () => {
  test.each([
    [
      'PLAIN in one line',
      ({ password }: Simulator) => [`AUTH PLAIN ${base64(`\0bot@acme.test\0${password}`)}`],
    ],
    ['PLAIN in two', ({ password }: Simulator) => ['AUTH PLAIN', base64(`\0bot@acme.test\0${password}`)]],
    ['LOGIN', ({ password }: Simulator) => ['AUTH LOGIN', base64('bot@acme.test'), base64(password)]],
    [
      'XOAUTH2',
      ({ password }: Simulator) => [
        `AUTH XOAUTH2 ${base64(`user=bot@acme.test\x01auth=Bearer ${password}\x01\x01`)}`,
      ],
    ],
  ])('by %s accepts any user name with the password', async (_mechanism, commands) => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'implicit');
    await session.command('EHLO client.test');
    const replies = [];
    for (const command of commands(simulator)) replies.push(await session.command(command));
    expect(replies.pop()).toBe('235 2.7.0 Accepted\r\n');
    for (const challenge of replies) expect(challenge).toMatch(/^334 /);
    await deliver(session, ['ada@example.com']);
    expect(simulator.messages).toMatchObject([
      { user: 'bot@acme.test', secure: true, authMethod: String(commands(simulator)[0]).split(' ')[1] },
    ]);
  });

  test('with a wrong password is refused and counted', async () => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'implicit');
    await session.command('EHLO client.test');
    const login = `AUTH PLAIN ${base64('\0bot@acme.test\0a new password')}`;
    expect(await normalizeReply(session.command(login))).toBe(BAD_CREDENTIALS);
    simulator.setPassword('a new password');
    expect(await session.command(login)).toBe('235 2.7.0 Accepted\r\n');
    expect(simulator.password).toBe('a new password');
    expect(simulator.counters).toMatchObject({ connections: 1, logins: 1, failedLogins: 1 });
  });

  test('with a wrong token gets a challenge first, then the refusal', async () => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'implicit');
    await session.command('EHLO client.test');
    const challenge = await session.command(
      `AUTH XOAUTH2 ${base64('user=bot@acme.test\x01auth=Bearer stale\x01\x01')}`,
    );
    expect(challenge).toBe(
      '334 eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==\r\n',
    );
    expect(await normalizeReply(session.command(''))).toBe(BAD_CREDENTIALS);
  });

  test('with an unsupported mechanism or undecodable data is refused', async () => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'implicit');
    await session.command('EHLO client.test');
    expect(await session.command('AUTH OAUTHBEARER x')).toMatch(
      /^504 5\.7\.4 Unrecognized Authentication Type\. /,
    );
    expect(await session.command('AUTH PLAIN !!!')).toMatch(
      /^501-5\.5\.2 Cannot Decode response\. For more information, go to\r\n/,
    );
  });

  const REFUSALS: [string, LoginFault, string][] = [
    [
      'app-password-required',
      'app-password-required',
      lines(
        '534-5.7.9 Application-specific password required. For more information, go to',
        '534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor <id> - gsmtp',
      ),
    ],
    [
      'browser-sign-in',
      'web-login',
      lines(
        '534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=AKg',
        '534-5.7.14 W5W> Please log',
        '534-5.7.14 in via your web browser and then try again.',
        '534-5.7.14  Learn more at',
        '534 5.7.14  https://support.google.com/mail/answer/78754 <id> - gsmtp',
      ),
    ],
    [
      'too-many-logins',
      'too-many-logins',
      '454 4.7.0 Too many login attempts, please try again later. <id> - gsmtp\r\n',
    ],
  ];

  test.each(REFUSALS)('as %s@simulator.test is always refused', async (name, _fault, reply) => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'implicit');
    await session.command('EHLO client.test');
    const login = (user: string) =>
      session.command(`AUTH PLAIN ${base64(`\0${user}\0${simulator.password}`)}`);
    expect(await normalizeReply(login(`${name}@simulator.test`))).toBe(reply);
    expect(await normalizeReply(login(`${name}+2@simulator.test`))).toBe(reply);
    expect(await login(`${name}@example.com`)).toBe('235 2.7.0 Accepted\r\n');
  });

  test.each([
    ['heals-after', 2],
    ['heals-after+3', 3],
  ])('as %s@simulator.test is refused %i times, then accepted', async (name, times) => {
    await using simulator = await startSimulator();
    for (let n = 0; n < times; n += 1)
      await expect(logInTo(simulator, `${name}@simulator.test`)).rejects.toThrow('535-5.7.8');
    using session = await logInTo(simulator, `${name}@simulator.test`);
    expect((await deliver(session, ['ada@example.com'])).at(-1)).toBe(ACCEPTED);
  });

  const FAULTS: [LoginFault, string][] = [
    ...REFUSALS.map(([, fault, reply]): [LoginFault, string] => [fault, reply]),
    ['bad-credentials', BAD_CREDENTIALS],
    [
      'authentication-required',
      lines(
        '530-5.7.0 Authentication Required. For more information, go to',
        '530 5.7.0  https://support.google.com/mail/?p=WantAuthError <id> - gsmtp',
      ),
    ],
    [
      'temporary-problem',
      lines(
        '454-4.7.0 Cannot authenticate due to temporary system problem. Try again later.',
        '454-4.7.0 For more information, go to',
        '454 4.7.0  https://support.google.com/a/answer/3221692 <id> - gsmtp',
      ),
    ],
    [
      'cannot-decode',
      lines(
        '501-5.5.2 Cannot Decode response. For more information, go to',
        '501-5.5.2  https://support.google.com/a/answer/3221692 and review RFC 4954',
        '501 5.5.2 specifications. <id> - gsmtp',
      ),
    ],
    ['unknown-mechanism', '504 5.7.4 Unrecognized Authentication Type. <id> - gsmtp\r\n'],
  ];

  test.each(FAULTS)('fails for every user with the fault %s', async (fault, reply) => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'implicit');
    await session.command('EHLO client.test');
    const login = `AUTH PLAIN ${base64(`\0bot@acme.test\0${simulator.password}`)}`;
    simulator.setLoginFault(fault);
    expect(await normalizeReply(session.command(login))).toBe(reply);
    simulator.setLoginFault(null);
    expect(await session.command(login)).toBe('235 2.7.0 Accepted\r\n');
  });
});
