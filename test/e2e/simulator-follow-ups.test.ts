import PostalMime from 'postal-mime';
import { describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { mailOf, openRawImap } from '../helpers/imap/simulator-mailbox.ts';
import { ACCEPTED, deliver, logInTo, startSimulator } from '../helpers/smtp/simulator-session.ts';

const ID = '<0123456789abcdef@acme.test>';

/** Sends a message, and returns the mails in INBOX once there are `count`. */
async function mailsAfter(simulator: Simulator, recipients: string[], count: number, message = mailOf(ID)) {
  using session = await logInTo(simulator);
  expect((await deliver(session, recipients, message)).at(-1)).toBe(ACCEPTED);
  await simulator.waitFor(({ imap }) => imap.mails('inbox').length === count);
  const mails = simulator.imap.mails('inbox');
  return Promise.all(mails.map(({ content }) => PostalMime.parse(Buffer.from(content, 'latin1'))));
}

type Parsed = Awaited<ReturnType<typeof mailsAfter>>[number];

function header(mail: Parsed | undefined, name: string): string | undefined {
  return mail?.headers.find(({ key }) => key === name)?.value;
}

function part(mail: Parsed | undefined, type: string): string | undefined {
  const found = mail?.attachments.find(({ mimeType }) => mimeType === type);
  return found && new TextDecoder().decode(found.content as ArrayBuffer);
}

describe('recipient whose message bounces', () => {
  test.each([
    ['bounces-later', '5.1.1', '550-5.1.1 The email account that you tried to reach does not exist'],
    ['bounces-blocked', '5.7.1', '550-5.7.1 [192.0.2.1] Gmail has detected'],
    ['bounces-unauthenticated', '5.7.26', '550-5.7.26 Your email has been blocked'],
  ])('%s is accepted, and gets a report of Gmail with %s', async (name, code, reply) => {
    await using simulator = await startSimulator();
    const recipient = `${name}+5ms@simulator.test`;
    const [mail] = await mailsAfter(simulator, [recipient], 1);
    expect(mail?.from).toMatchObject({ address: 'mailer-daemon@googlemail.com' });
    expect(header(mail, 'content-type')).toMatch(/^multipart\/report;.*report-type=delivery-status/);
    expect(header(mail, 'x-failed-recipients')).toBe(recipient);
    expect(header(mail, 'in-reply-to')).toBe(ID);
    expect(header(mail, 'authentication-results')).toMatch(
      /^mx\.google\.com;.*dkim=pass header\.i=@googlemail\.com.*dmarc=pass .*header\.from=googlemail\.com$/s,
    );
    const status = part(mail, 'message/delivery-status');
    expect(status).toContain(`X-Original-Message-ID: ${ID}\n`);
    expect(status).toContain(`\n\nFinal-Recipient: rfc822; ${recipient}\nAction: failed\nStatus: ${code}\n`);
    expect(status).toContain(`Diagnostic-Code: smtp; ${reply}`);
    expect(JSON.stringify(mail)).toContain(recipient);
    expect(simulator.imap.mails('inbox')[0]?.content).toContain(`\r\nMessage-ID: ${ID}\r\nSubject: Hi\r\n`);
  });

  test('bounces-soft gets a report of the delay first', async () => {
    await using simulator = await startSimulator();
    const mails = await mailsAfter(simulator, ['bounces-soft+5ms@simulator.test'], 2);
    const statuses = mails.map((mail) => part(mail, 'message/delivery-status'));
    expect(statuses[0]).toMatch(/Action: delayed\nStatus: 4\.2\.2\n[\s\S]*Will-Retry-Until: /);
    expect(statuses[1]).toMatch(/Action: failed\nStatus: 4\.2\.2\n/);
    expect(mails.map((mail) => header(mail, 'x-failed-recipients'))).toEqual([
      undefined,
      'bounces-soft+5ms@simulator.test',
    ]);
  });

  test('bounces-policy gets a report with an empty status', async () => {
    await using simulator = await startSimulator();
    const [mail] = await mailsAfter(simulator, ['bounces-policy+5ms@simulator.test'], 1);
    expect(part(mail, 'message/delivery-status')?.trim()).toBe('');
    expect(header(mail, 'in-reply-to')).toBe(ID);
  });

  test('gets a report of its own beside other recipients', async () => {
    await using simulator = await startSimulator();
    const recipients = [
      'bounces-later+5ms@simulator.test',
      'ada@example.com',
      'Bounces-Blocked+5ms@simulator.test',
      'slow+1ms@simulator.test',
    ];
    const mails = await mailsAfter(simulator, recipients, 2);
    expect(mails.map((mail) => header(mail, 'x-failed-recipients'))).toEqual([recipients[0], recipients[2]]);
  });

  test.each([
    ['de', '** Nachricht nicht zugestellt **'],
    ['ja', '** メールは配信されませんでした **'],
  ] as const)('gets the text in the language %s', async (language, title) => {
    await using simulator = await startSimulator();
    simulator.imap.configure({ language });
    const [mail] = await mailsAfter(simulator, ['bounces-later+5ms@simulator.test'], 1);
    expect(mail?.text).toContain(title);
    expect(mail?.html).toContain(title.replaceAll('*', '').trim());
  });

  test('gets the beginning of a long message only', async () => {
    await using simulator = await startSimulator();
    const long = `${mailOf(ID)}${'x'.repeat(70)}\r\n`.padEnd(100_000, `${'y'.repeat(70)}\r\n`);
    await mailsAfter(simulator, ['bounces-later+5ms@simulator.test'], 1, `${long}\r\n`);
    const [mail] = simulator.imap.mails('inbox');
    expect(mail?.content).toContain('----- Message truncated -----');
    expect(mail?.content.length).toBeLessThan(12_000);
  });

  test('gets nothing from the relay, whose mailbox is not that of an account', async () => {
    await using simulator = await startSimulator();
    simulator.setRelay({ domains: ['acme.test'], allowed: true });
    await mailsAfter(simulator, ['bounces-later+0ms@simulator.test'], 0);
    expect(simulator.imap.mails('all')).toEqual([]);
  });
});

test('delayed gets a report of the delay alone', async () => {
  await using simulator = await startSimulator();
  const [mail] = await mailsAfter(simulator, ['delayed+5ms@simulator.test'], 1);
  expect(mail?.subject).toBe('Delivery Status Notification (Delay)');
  expect(part(mail, 'message/delivery-status')).toContain('Action: delayed\n');
});

test.each([
  ['replies', 'Re: Hi', undefined],
  ['auto-replies', 'Automatic reply: Hi', 'auto-replied'],
])('%s responds from its own address', async (name, subject, autoSubmitted) => {
  await using simulator = await startSimulator();
  const recipient = `${name}+5ms@simulator.test`;
  const [mail] = await mailsAfter(simulator, [recipient], 1);
  expect(mail).toMatchObject({ subject, from: { address: recipient }, inReplyTo: ID, references: ID });
  expect(header(mail, 'auto-submitted')).toBe(autoSubmitted);
  expect(header(mail, 'authentication-results')).toContain('header.from=simulator.test');
});

test('a refused message has no bounce', async () => {
  await using simulator = await startSimulator();
  using session = await logInTo(simulator);
  const recipients = ['bounces-later+0ms@simulator.test', 'too-large@simulator.test'];
  expect((await deliver(session, recipients)).at(-1)).toMatch(/^552-5\.3\.4 /);
  expect(simulator.imap.mails('all')).toEqual([]);
});

test('at most as many mails wait as the message log keeps messages', async () => {
  await using simulator = await startSimulator({ retain: 2 });
  for (const delayMs of [20, 40, 60]) simulator.imap.deliver(mailOf(`<${delayMs}@acme.test>`), { delayMs });
  await simulator.waitFor(({ imap }) => imap.mails('inbox').at(-1)?.content.includes('<60@') ?? false);
  using client = await openRawImap(simulator);
  expect(await client.command('STATUS INBOX (UIDNEXT)')).toContain('(UIDNEXT 3)');
});

describe('message to its own sender', () => {
  test('comes into INBOX with the results of authentication', async () => {
    await using simulator = await startSimulator({ user: 'Bot@acme.test' });
    const [mail] = await mailsAfter(simulator, ['bot+check@Acme.test'], 1, mailOf(ID, 'ceo@acme.test'));
    expect(header(mail, 'authentication-results')).toMatch(/^mx\.google\.com;.*header\.i=@acme\.test /s);
    expect(mail).toMatchObject({ from: { address: 'Bot@acme.test' }, messageId: ID });
    expect(header(mail, 'x-google-original-from')).toBe('ceo@acme.test');
    expect(simulator.imap.mails('sent')).toHaveLength(1);
  });

  test('is signed by the domain that is set', async () => {
    await using simulator = await startSimulator();
    simulator.imap.configure({ signingDomain: 'acme-test.20230601.gappssmtp.com' });
    const [mail] = await mailsAfter(simulator, [simulator.user], 1);
    expect(header(mail, 'dkim-signature')).toContain('d=acme-test.20230601.gappssmtp.com;');
  });
});
