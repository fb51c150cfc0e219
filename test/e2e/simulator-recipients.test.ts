import { describe, expect, test } from 'vitest';
import {
  ACCEPTED,
  deliver,
  GO_AHEAD,
  lines,
  logInTo,
  normalize,
  normalizeReply,
  RECIPIENT_OK,
  SENDER_OK,
  startSimulator,
} from '../helpers/smtp/simulator-session.ts';

const DAILY_LIMIT = lines(
  '550-5.4.5 Daily user sending limit exceeded. For more information on Gmail',
  '550-5.4.5 sending limits go to',
  '550 5.4.5  https://support.google.com/a/answer/166852 <id> - gsmtp',
);

describe('scripted recipient', () => {
  test.each([
    [
      'no-such-user',
      [
        '550-5.1.1 The email account that you tried to reach does not exist. Please try',
        "550-5.1.1 double-checking the recipient's email address for typos or",
        '550-5.1.1 unnecessary spaces. For more information, go to',
        '550 5.1.1  https://support.google.com/mail/?p=NoSuchUser <id> - gsmtp',
      ],
    ],
    [
      'mailbox-full',
      [
        '552-5.2.2 The email account that you tried to reach is over quota. Please direct',
        '552-5.2.2 the recipient to',
        '552 5.2.2  https://support.google.com/mail/?p=OverQuotaPerm <id> - gsmtp',
      ],
    ],
  ])('%s is refused at RCPT each time, and other recipients are accepted', async (name, reply) => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    const recipients = [
      `${name}@simulator.test`,
      'ada@example.com',
      `${name.toUpperCase()}+7@simulator.test`,
      `${name}@example.com`,
    ];
    const refusal = lines(...reply);
    expect(await deliver(session, recipients)).toEqual([
      SENDER_OK,
      refusal,
      RECIPIENT_OK,
      refusal,
      RECIPIENT_OK,
      GO_AHEAD,
      ACCEPTED,
    ]);
    expect(simulator.messages).toMatchObject([{ recipients: ['ada@example.com', `${name}@example.com`] }]);
    expect(simulator.transactions[0]?.recipients.map(({ reply }) => normalize(`${reply}\r\n`))).toEqual([
      refusal,
      RECIPIENT_OK,
      refusal,
      RECIPIENT_OK,
    ]);
  });

  test('greylisted is refused once for each pair of sender and recipient', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    const attempt = async (from: string, to: string) => {
      await session.command('RSET');
      await session.command(`MAIL FROM:<${from}>`);
      return normalizeReply(session.command(`RCPT TO:<${to}>`));
    };
    const refusal = lines(
      '450-4.2.1 The user you are trying to contact is receiving mail at a rate that',
      '450-4.2.1 prevents additional messages from being delivered. Please resend your',
      '450-4.2.1 message at a later time. If the user is able to receive mail at that',
      '450-4.2.1 time, your message will be delivered. For more information, go to',
      '450 4.2.1  https://support.google.com/mail/?p=ReceivingRate <id> - gsmtp',
    );
    expect(await attempt('a@acme.test', 'greylisted@simulator.test')).toBe(refusal);
    expect(await attempt('a@acme.test', 'greylisted@simulator.test')).toBe(RECIPIENT_OK);
    expect(await attempt('a@acme.test', 'greylisted+2@simulator.test')).toBe(refusal);
    expect(await attempt('b@acme.test', 'greylisted@simulator.test')).toBe(refusal);
    expect(await attempt('b@acme.test', 'greylisted@simulator.test')).toBe(RECIPIENT_OK);
  });

  test('throttled gets 421 and a closed connection once for each pair of sender and recipient', async () => {
    await using simulator = await startSimulator();
    const recipient = 'throttled+1@simulator.test';
    using first = await logInTo(simulator);
    first.write(lines('MAIL FROM:<bot@acme.test>', `RCPT TO:<${recipient}>`, 'DATA'));
    await first.read();
    expect(await normalizeReply(first.read())).toBe(
      '421 4.7.0 Try again later, closing connection. <id> - gsmtp\r\n',
    );
    await first.closed;
    using second = await logInTo(simulator);
    expect((await deliver(second, [recipient])).at(-1)).toBe(ACCEPTED);
    expect(simulator.transactions).toMatchObject([
      { recipients: [{ email: recipient, reply: expect.stringMatching(/^421 /) }] },
      {},
    ]);
  });

  test.each([
    ['few-recipients', 3, '452-4.5.3 Your message has too many recipients.'],
    ['few-recipients+2', 2, '452-4.5.3 Your message has too many recipients.'],
    [
      'separate-transaction',
      1,
      '452-4.5.3 Domain policy size per transaction exceeded, please try this recipient\r\n',
    ],
  ])('%s refuses all but the first %i recipients, at any position', async (name, limit, reply) => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    const scripted = `${name}@simulator.test`;
    const otherRecipients = ['a@example.com', 'b@example.com', 'c@example.com', 'd@example.com'];
    const replies = await deliver(session, [scripted, ...otherRecipients]);
    expect(replies.slice(1, 1 + limit)).toEqual(Array(limit).fill(RECIPIENT_OK));
    for (const refused of replies.slice(1 + limit, 6)) expect(refused.startsWith(reply)).toBe(true);
    expect(replies.at(-1)).toBe(ACCEPTED);
    expect(simulator.messages[0]?.recipients).toEqual([scripted, ...otherRecipients].slice(0, limit));
    // Other scripts of the transaction apply, too.
    expect(
      (
        await deliver(session, [`${name.split('+')[0]}+9@simulator.test`, 'blocked-content@simulator.test'])
      ).at(-1),
    ).toMatch(/^552/);
    // Recipients before it are already accepted: it is refused itself, and so are later ones.
    const late = await deliver(session, [...otherRecipients, scripted, 'e@example.com']);
    expect(late.slice(5, 7).map((refused) => refused.slice(0, 9))).toEqual(['452-4.5.3', '452-4.5.3']);
    expect(late.at(-1)).toBe(ACCEPTED);
  });

  test('recipients-limit refuses the message at DATA if it has more recipients', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    const send = async (...recipients: string[]) => (await deliver(session, recipients)).at(-1);
    const refusal = lines(
      '550-5.5.3 Too many recipients for this sender. For more information, go to',
      '550 5.5.3  https://support.google.com/a/answer/3221692 <id> - gsmtp',
    );
    expect(await send('recipients-limit@simulator.test', 'a@example.com')).toBe(ACCEPTED);
    expect(await send('recipients-limit@simulator.test', 'a@example.com', 'b@example.com')).toBe(refusal);
    expect(await send('recipients-limit+1@simulator.test', 'a@example.com')).toBe(refusal);
    expect(await send('a@example.com', 'b@example.com', 'recipients-limit+3@simulator.test')).toBe(ACCEPTED);
    expect(simulator.counters).toMatchObject({ transactions: 4, accepted: 2 });
  });

  test('daily-limit refuses the message at DATA, and keeps the session', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    expect(await deliver(session, ['ada@example.com', 'daily-limit@simulator.test'])).toEqual([
      SENDER_OK,
      RECIPIENT_OK,
      RECIPIENT_OK,
      DAILY_LIMIT,
    ]);
    expect(simulator.transactions).toMatchObject([{ reply: expect.stringMatching(/^550-5\.4\.5 /) }]);
    expect((await deliver(session, ['ada@example.com'])).at(-1)).toBe(ACCEPTED);
  });

  test.each([
    [
      'blocked-content',
      [
        '552-5.7.0 This message was blocked because its content presents a potential',
        '552-5.7.0 security issue. Please visit',
        '552-5.7.0  https://support.google.com/mail/?p=BlockedMessage to review our',
        '552 5.7.0 message content and attachment content guidelines. <id> - gsmtp',
      ],
    ],
    [
      'too-large',
      [
        "552-5.3.4 Your message exceeded Google's message size limits. Please visit",
        '552-5.3.4  https://support.google.com/mail/?p=MaxSizeError to view our size',
        '552 5.3.4 guidelines. <id> - gsmtp',
      ],
    ],
  ])('%s refuses the message after its dot', async (name, reply) => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    const replies = await deliver(session, ['ada@example.com', `${name}+1@simulator.test`]);
    expect(replies).toEqual([SENDER_OK, RECIPIENT_OK, RECIPIENT_OK, GO_AHEAD, lines(...reply)]);
    expect(simulator.messages).toEqual([]);
    expect(simulator.counters).toMatchObject({ transactions: 1, accepted: 0 });
  });

  test('drop-in-body cuts the connection at the start of the message, every time, and stores nothing', async () => {
    await using simulator = await startSimulator();
    for (const _ of [1, 2]) {
      using session = await logInTo(simulator);
      session.write(lines('MAIL FROM:<bot@acme.test>', 'RCPT TO:<drop-in-body@simulator.test>', 'DATA'));
      expect([await session.read(), await session.read(), await session.read()].map(normalize)).toEqual([
        SENDER_OK,
        RECIPIENT_OK,
        GO_AHEAD,
      ]);
      session.write('Subject: a message without an end\r\n');
      await session.closed;
    }
    expect(simulator.messages).toEqual([]);
    expect(simulator.transactions).toMatchObject([{ reply: null }, { reply: null }]);
  });

  test('drop-after-dot stores the message without a reply once, and accepts it the next time', async () => {
    await using simulator = await startSimulator();
    const message = (id: string) => `Message-ID: <${id}@acme.test>\r\nSubject: x\r\n\r\nx\r\n`;
    const send = async (id: string) => {
      using session = await logInTo(simulator);
      return (await deliver(session, ['drop-after-dot@simulator.test'], message(id))).at(-1);
    };
    await expect(send('1')).rejects.toThrow();
    await expect(send('2')).rejects.toThrow();
    expect(await send('1')).toBe(ACCEPTED);
    expect(simulator.messages.map(({ raw, answered }) => ({ raw, answered }))).toEqual([
      { raw: message('1'), answered: false },
      { raw: message('2'), answered: false },
      { raw: message('1'), answered: true },
    ]);
    expect(simulator.counters.accepted).toBe(1);
  });

  test('slow delays the reply by the time in its detail', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    const startedAt = performance.now();
    expect((await deliver(session, ['slow+200ms@simulator.test'])).at(-1)).toBe(ACCEPTED);
    // Timers use whole milliseconds, so they may fire slightly early by this clock.
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeGreaterThan(195);
    expect(tookMs).toBeLessThan(3_000);
  });

  test('slow stores a message whose sender has disconnected as not answered', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    session.write(lines('MAIL FROM:<bot@acme.test>', 'RCPT TO:<slow+300ms@simulator.test>', 'DATA'));
    for (const _ of [1, 2, 3]) await session.read();
    session.write('Subject: x\r\n\r\nx\r\n.\r\n');
    session.end();
    await simulator.waitFor(({ messages }) => messages.length === 1);
    expect(simulator.messages).toMatchObject([{ answered: false }]);
    expect(simulator.transactions).toMatchObject([{ reply: null }]);
  });

  test('garbage-reply stores the message, replies with a line that is not SMTP, and keeps the session', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    expect((await deliver(session, ['garbage-reply@simulator.test'])).at(-1)).toBe(
      '<html><title>This network asks you to sign in</title></html>\r\n',
    );
    expect((await deliver(session, ['ada@example.com'])).at(-1)).toBe(ACCEPTED);
    expect(simulator.messages).toMatchObject([{ answered: false }, { answered: true }]);
  });
});
