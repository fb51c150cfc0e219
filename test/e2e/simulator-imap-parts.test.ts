import { describe, expect, test } from 'vitest';
import { openImapFlow, openRawImap } from '../helpers/imap/simulator-mailbox.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

describe('mail of several parts', () => {
  const MULTIPART = [
    'From: Ada <ada@example.com>',
    'To: Team: bob@example.com, "E, ve" <eve@example.com>; (all)',
    'Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=',
    'Date: Sun, 1 Nov 2026 23:00:00 -0800',
    'Content-Type: multipart/mixed; boundary="a+b"',
    '',
    'Preamble',
    '--a+b',
    'Content-Type: text/plain; charset=utf-8',
    '',
    'Two',
    'lines',
    '--a+b',
    'Content-Type: message/rfc822',
    'Content-Disposition: attachment; filename="in\\"ner.eml"',
    '',
    'Subject: Inner',
    '',
    'Inner text',
    '--a+b--',
    '',
  ].join('\r\n');

  async function openMultipart() {
    const simulator = await startSimulator();
    simulator.imap.deliver(MULTIPART);
    return simulator;
  }

  test('has its structure and its addresses for imapflow', async () => {
    await using simulator = await openMultipart();
    await using client = await openImapFlow(simulator);
    await client.mailboxOpen('INBOX', { readOnly: true });
    const mail = Object(await client.fetchOne('1', { bodyStructure: true, envelope: true }));
    expect(mail.bodyStructure).toMatchObject({
      type: 'multipart/mixed',
      parameters: { boundary: 'a+b' },
      childNodes: [
        { part: '1', type: 'text/plain', parameters: { charset: 'utf-8' }, size: 10, lineCount: 1 },
        {
          part: '2',
          type: 'message/rfc822',
          disposition: 'attachment',
          dispositionParameters: { filename: 'in"ner.eml' },
          envelope: { subject: 'Inner' },
          childNodes: [{ type: 'text/plain', size: 10 }],
        },
      ],
    });
    expect(mail.envelope.to).toEqual([
      expect.objectContaining({ name: 'Team' }),
      expect.objectContaining({ address: 'bob@example.com' }),
      expect.objectContaining({ address: 'eve@example.com', name: 'E, ve' }),
    ]);
  });

  test.each([
    ['1', 'Two\r\nlines'],
    ['1.MIME', 'Content-Type: text/plain; charset=utf-8\r\n\r\n'],
    ['2', 'Subject: Inner\r\n\r\nInner text'],
    ['2.HEADER', 'Subject: Inner\r\n\r\n'],
    ['2.HEADER.FIELDS (Subject)', 'Subject: Inner\r\n\r\n'],
    ['2.TEXT', 'Inner text'],
    ['2.1', 'Inner text'],
    ['3', ''],
    ['1.1', ''],
  ])('has the section %s', async (section, content) => {
    await using simulator = await openMultipart();
    using client = await openRawImap(simulator);
    await client.command('EXAMINE INBOX');
    expect(await client.command(`FETCH 1 BODY.PEEK[${section}]`)).toBe(
      `* 1 FETCH (BODY[${section.toUpperCase()}] {${content.length}}\r\n${content})\r\nOK Success\r\n`,
    );
  });

  test.each([
    ['CHARSET UTF-8 SUBJECT {6+}\r\ngr\xc3\xbc\xc3\x9f', '1'],
    ['SENTON 1-Nov-2026', '1'],
    ['SENTSINCE 2-Nov-2026', ''],
    ['SENTBEFORE 2-Nov-2026', '1'],
    ['UNDELETED UNANSWERED UNFLAGGED UNDRAFT OLD', '1'],
    ['OR (DELETED) KEYWORD x', ''],
    ['UNKEYWORD x', '1'],
    ['CC ada', ''],
    ['X-GM-MSGID 1800000000000000000', '1'],
    ['X-GM-LABELS "\\\\Inbox"', '1'],
    ['X-GM-RAW "in:inbox -from:bob before:2100/01/01"', '1'],
    ['X-GM-RAW "-from:ada"', ''],
  ])('is found by %j as %j', async (keys, expected) => {
    await using simulator = await openMultipart();
    using client = await openRawImap(simulator);
    await client.command('EXAMINE INBOX');
    expect(await client.command(`SEARCH ${keys}`)).toBe(
      `* SEARCH${expected && ` ${expected}`}\r\nOK SEARCH completed (Success)\r\n`,
    );
  });

  test('is fetched by BODY[] with the flag that this sets', async () => {
    await using simulator = await openMultipart();
    using client = await openRawImap(simulator);
    await client.command('SELECT "[Gmail]/All Mail"');
    const items = '(BODY[TEXT]<0.3> X-GM-LABELS)';
    const labels = 'X-GM-LABELS ("\\\\Inbox")';
    const text = 'BODY[TEXT]<0> {3}\r\nPre';
    expect(await client.command(`FETCH 1 ${items}`)).toContain(`(${labels} ${text} FLAGS (\\Seen))`);
    expect(await client.command(`FETCH 1 ${items}`)).toContain(`(${labels} ${text})`);
  });
});
