import { describe, expect, test, vi } from 'vitest';
import { mailOf, openImapFlow, openRawImap, sendMail } from '../helpers/imap/simulator-mailbox.ts';
import { deliver, logInTo, startSimulator } from '../helpers/smtp/simulator-session.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

/** Returns the Message-IDs in the folder with the attribute \Sent, newest last. */
async function sentIds(client: Awaited<ReturnType<typeof openImapFlow>>): Promise<(string | undefined)[]> {
  const sent = (await client.list()).find(({ specialUse }) => specialUse === '\\Sent');
  await client.mailboxOpen(sent?.path ?? '', { readOnly: true });
  const uids = await client.search({ since: new Date(Date.now() - DAY_MS) }, { uid: true });
  if (!uids || uids.length === 0) return [];
  const mails = await client.fetchAll(uids, { envelope: true }, { uid: true });
  return mails.map(({ envelope }) => envelope?.messageId);
}

describe('Sent Mail', () => {
  test('has a copy of each accepted message, for imapflow, under a localized name', async () => {
    await using simulator = await startSimulator();
    simulator.imap.configure({ sentName: '[Gmail]/Envoyés & archivés' });
    await sendMail(simulator, '<1@acme.test>');
    await sendMail(simulator, '<2@acme.test>');
    await sendMail(simulator, '<3@acme.test>', 'other@acme.test');
    await using client = await openImapFlow(simulator);
    expect(await sentIds(client)).toEqual(['<1@acme.test>', '<2@acme.test>']);
    expect(client.mailbox).toMatchObject({ path: '[Gmail]/Envoyés & archivés', readOnly: true });
    expect(await client.search({ gmraw: 'rfc822msgid:2@acme.test' }, { uid: true })).toEqual([2]);
    expect(await client.search({ header: { 'Message-ID': '<1@acme.test>' } }, { uid: true })).toEqual([1]);
    expect(await client.search({ gmraw: 'rfc822msgid:3@acme.test' }, { uid: true })).toEqual([]);
  });

  test('has the copy with its content, and the time of acceptance as INTERNALDATE', async () => {
    await using simulator = await startSimulator();
    await sendMail(simulator, '<1@acme.test>');
    await using client = await openImapFlow(simulator);
    await sentIds(client);
    const query = { source: true, internalDate: true, flags: true, headers: ['subject'], size: true };
    const mail = await client.fetchOne('1', query);
    const [accepted] = simulator.messages;
    expect(String(Object(mail).source)).toBe(accepted?.raw);
    expect(String(Object(mail).headers)).toBe('Subject: Hi\r\n\r\n');
    expect(mail).toMatchObject({ uid: 1, size: accepted?.bytes, flags: new Set(['\\Seen']) });
    expect(Object(mail).internalDate).toEqual(
      new Date(Math.floor((accepted?.acceptedAt ?? 0) / 1000) * 1000),
    );
  });

  test('has the copy after the delay that is set, also in an open session', async () => {
    await using simulator = await startSimulator();
    simulator.imap.configure({ filingDelayMs: 60 });
    await using client = await openImapFlow(simulator);
    expect(await sentIds(client)).toEqual([]);
    const exists = vi.fn();
    client.on('exists', exists);
    await sendMail(simulator, '<1@acme.test>');
    await simulator.waitFor(({ imap }) => imap.mails('sent').length === 1);
    await client.noop();
    expect(exists).toHaveBeenCalledWith(expect.objectContaining({ count: 1, prevCount: 0 }));
    expect(await client.search({ all: true }, { uid: true })).toEqual([1]);
  });

  test('has a message without a reply, and none of those refused or cut in the body', async () => {
    await using simulator = await startSimulator();
    for (const recipient of ['drop-after-dot', 'drop-in-body', 'blocked-content']) {
      using session = await logInTo(simulator);
      const sent = deliver(session, [`${recipient}@simulator.test`], mailOf(`<${recipient}@acme.test>`));
      await sent.catch(() => {});
    }
    await using client = await openImapFlow(simulator);
    expect(await sentIds(client)).toEqual(['<drop-after-dot@acme.test>']);
  });

  test('has the copy with the From that Gmail writes', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    await deliver(session, ['ada@example.com'], 'From: Boss <ceo@acme.test>\r\nSubject: x\r\n\r\nx\r\n');
    expect(simulator.imap.mails('sent')[0]?.content).toBe(
      `From: Boss <${simulator.user}>\r\nX-Google-Original-From: Boss <ceo@acme.test>\r\nSubject: x\r\n\r\nx\r\n`,
    );
  });

  test.each([
    [
      'octets that are not UTF-8',
      'Subject: x\r\n\r\nGr\xfc\xdfe\xff\r\n',
      'Subject: x\r\n\r\nGr\xfc\xdfe\xff\r\n',
    ],
    ['lines that end with LF', 'Subject: x\n\nOne\nTwo\r\n', 'Subject: x\r\n\r\nOne\r\nTwo\r\n'],
    ['no header', '\r\nOne\r\n\r\nTwo\r\n', '\r\nOne\r\n\r\nTwo\r\n'],
  ])('has the copy of a message with %s, without a From', async (_name, message, filed) => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    await deliver(session, ['ada@example.com', simulator.user], Buffer.from(message, 'latin1'));
    const content = `From: ${simulator.user}\r\n${filed}`;
    const [sent, own] = [simulator.imap.mails('sent')[0]?.content, simulator.imap.mails('inbox')[0]?.content];
    expect(sent).toBe(content);
    expect(own?.slice(-content.length)).toBe(content);
    using client = await openRawImap(simulator);
    await client.command('EXAMINE "[Gmail]/Sent Mail"');
    const header = `${content.slice(0, content.indexOf('\r\n\r\n'))}\r\n\r\n`;
    expect(await client.command('FETCH 1 (RFC822.SIZE RFC822.HEADER)')).toContain(
      `(RFC822.SIZE ${content.length} RFC822.HEADER {${header.length}}\r\n${header})`,
    );
  });

  test('has no copy of what the relay accepts', async () => {
    await using simulator = await startSimulator();
    simulator.setRelay({ domains: ['acme.test'], allowed: true });
    await sendMail(simulator, '<1@acme.test>');
    expect(simulator.messages).toHaveLength(1);
    expect(simulator.imap.mails('sent')).toEqual([]);
  });

  test('keeps as many mails as the message log, and reports the removed ones', async () => {
    await using simulator = await startSimulator({ retain: 2 });
    await sendMail(simulator, '<1@acme.test>');
    using client = await openRawImap(simulator);
    expect(await client.command('EXAMINE "[Gmail]/Sent Mail"')).toContain('* 1 EXISTS\r\n');
    for (const id of [2, 3, 4]) await sendMail(simulator, `<${id}@acme.test>`);
    expect(await client.command('SEARCH ALL')).toMatch(/^\* SEARCH 1\r\n\* 3 EXISTS\r\n/);
    expect(await client.command('NOOP')).toMatch(/^\* 1 EXPUNGE\r\n/);
    expect(await client.command('UID SEARCH ALL')).toContain('* SEARCH 3 4\r\n');
  });
});
