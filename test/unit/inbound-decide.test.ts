import { describe, expect, test } from 'vitest';
import { bounceClassOf } from '../../src/core/inbound/bounce-class.ts';
import { ADA_FAILED, AT, decide, MESSAGE, statusOf } from '../helpers/inbound-decision.ts';
import { aReply, aReport, OUR_ID } from '../helpers/inbound-mail.ts';

const TO_ADA = { ...MESSAGE, recipients: ['ada@example.com'] };
const BOB_WAITS = ['Final-Recipient: rfc822; bob@example.net', 'Action: delayed', 'Status: 4.4.1'];

describe('classifies', () => {
  test.each([
    ...['5.1.1', '5.1.2', '5.1.3', '5.1.6', '5.1.10', '5.01.001'].map((code) => [code, 'hard'] as const),
    ...[
      '5.0.0',
      '5.1.0',
      '5.2.1',
      '5.2.2',
      '5.3.0',
      '5.4.1',
      '5.4.4',
      '5.5.0',
      '4.0.0',
      '4.2.2',
      '4.7.1',
      null,
    ].map((code) => [code, 'soft'] as const),
    ...['5.7.0', '5.7.1', '5.7.28', '5.7.511', '5.7.606', '5.7.708'].map(
      (code) => [code, 'blocked'] as const,
    ),
    ...[
      '5.7.26',
      '5.7.25',
      '5.7.27',
      '5.7.509',
      '5.7.515',
      '5.7.133',
      '5.1.8',
      '5.2.3',
      '5.3.4',
      '5.4.6',
      '5.5.4',
      '5.6.0',
    ].map((code) => [code, 'policy'] as const),
  ])('%s as %s', (code, expected) => {
    expect(bounceClassOf(code)).toBe(expected);
  });
});

describe("Gmail's report", () => {
  test('bounces the recipient, and suppresses one that does not exist', async () => {
    expect(await decide(aReport())).toEqual({
      kind: 'bounced',
      at: AT,
      from: 'mailer-daemon@googlemail.com',
      mailId: '<63fc15e0.050a0220.58de0.183e.GMR@mx.google.com>',
      unverified: false,
      recipients: [
        {
          email: 'Ada@example.com',
          class: 'hard',
          smtp: {
            code: 550,
            enhanced: '5.1.1',
            response:
              "The email account that you tried to reach does not exist. Please try double-checking the recipient's email address.",
          },
          diagnostic: null,
          reportingMta: 'googlemail.com',
          suppress: true,
        },
      ],
    });
  });

  test('bounces each recipient that it names', async () => {
    const status = statusOf(
      ...ADA_FAILED,
      'Status: 5.2.2',
      '',
      'Final-Recipient: RFC822; <bob@example.net>',
      'Action: Failed (retries exhausted)',
      'Status: 5.1.1 (bad destination mailbox)',
      '',
      'Final-Recipient: rfc822; eve@example.org',
      'Action: failed',
      'Status: 5.1.1',
    );
    expect(await decide(aReport({ status }))).toMatchObject({
      recipients: [
        { email: 'Ada@example.com', class: 'soft', suppress: false },
        { email: 'bob@example.net', class: 'hard', suppress: true },
      ],
    });
  });

  test('reports a delay', async () => {
    const status = statusOf('Final-Recipient: rfc822; ada@example.com', 'Action: delayed', 'Status: 4.4.1');
    expect(await decide(aReport({ status }))).toMatchObject({
      kind: 'delayed',
      recipients: [{ email: 'Ada@example.com', suppress: false }],
      unverified: false,
    });
  });

  test('bounces those that failed, and reports a delay of those that wait', async () => {
    const status = statusOf(...BOB_WAITS, '', ...ADA_FAILED, 'Status: 5.1.1');
    const at = { at: AT, mailId: '<63fc15e0.050a0220.58de0.183e.GMR@mx.google.com>' };
    expect(await decide(aReport({ status }))).toMatchObject({
      decisions: [
        { ...at, kind: 'bounced', recipients: [{ email: 'Ada@example.com', suppress: true }] },
        { ...at, kind: 'delayed', recipients: [{ email: 'bob@example.net', class: 'soft' }] },
      ],
    });
  });

  test('reports a delay although a recipient of another message failed', async () => {
    const status = statusOf('Final-Recipient: rfc822; eve@example.org', 'Action: failed', '', ...BOB_WAITS);
    expect(await decide(aReport({ status }))).toMatchObject({
      kind: 'delayed',
      recipients: [{ email: 'bob@example.net' }],
    });
  });

  test('bounces a recipient that it reports as delayed too', async () => {
    const status = statusOf(...BOB_WAITS, '', ...BOB_WAITS.slice(0, 1), 'Action: failed', 'Status: 5.2.2');
    expect(await decide(aReport({ status }))).toMatchObject({
      kind: 'bounced',
      recipients: [{ email: 'bob@example.net', class: 'soft' }],
    });
  });

  test.each([
    ['named by X-Failed-Recipients', 'X-Failed-Recipients: ada@example.com\n', MESSAGE],
    ['of the message, if it is the only one', '', TO_ADA],
  ])('with an empty status part is a policy bounce of the recipient %s', async (_name, headers, message) => {
    const decision = await decide(aReport({ status: '\n', headers }), message);
    expect(decision).toMatchObject({
      kind: 'bounced',
      recipients: [{ class: 'policy', suppress: false }],
    });
  });

  test('without the name of a recipient is ignored if the message has several', async () => {
    expect(await decide(aReport({ status: '\n' }))).toEqual({ kind: 'ignored', reason: 'unknown_recipient' });
  });

  test('of success is ignored', async () => {
    const status = statusOf('Final-Recipient: rfc822; ada@example.com', 'Action: delivered', 'Status: 2.0.0');
    expect(await decide(aReport({ status }))).toEqual({ kind: 'ignored', reason: 'unrelated' });
  });

  test.each([
    [
      'the original recipient',
      ['Final-Recipient: rfc822; x@forwarded.example', 'Original-Recipient: rfc822;ada@example.com'],
    ],
    ['a recipient without a type', ['Final-Recipient: <ada@example.com>']],
    ['a recipient in UTF-8 (RFC 6533)', ['Final-Recipient: utf-8; \\x{61}da@example.com']],
    ['a folded field', ['Final-Recipient: rfc822;\n  ada@example.com']],
    ['a field name in capitals', ['FINAL-RECIPIENT : RFC822;ADA@EXAMPLE.COM']],
  ])('names %s', async (_name, fields) => {
    const status = statusOf(...fields, 'Action: failed', 'Status: 5.1.1');
    expect(await decide(aReport({ status }))).toMatchObject({ recipients: [{ email: 'Ada@example.com' }] });
  });

  test('bounces a recipient that forwards to an address that does not exist, and does not suppress it', async () => {
    const status = statusOf(
      'Final-Recipient: rfc822; x@forwarded.example',
      'Original-Recipient: rfc822; ada@example.com',
      'Action: failed',
      'Status: 5.1.1',
    );
    expect(await decide(aReport({ status }))).toMatchObject({
      kind: 'bounced',
      recipients: [{ email: 'Ada@example.com', class: 'hard', suppress: false }],
    });
  });

  test('about an address to which the recipient forwards is ignored if it does not name the recipient', async () => {
    const status = statusOf(
      'Final-Recipient: rfc822; x@forwarded.example',
      'Action: failed',
      'Status: 5.1.1',
    );
    expect(await decide(aReport({ status }), TO_ADA)).toEqual({
      kind: 'ignored',
      reason: 'unknown_recipient',
    });
  });

  test.each([
    ['in xtext', 'ada+2Bnews@example.com', 'ada+news@example.com'],
    ['that looks like xtext', 'ada+2Bnews@example.com', 'ada+2Bnews@example.com'],
    ['that is no xtext', 'ada+news+0A@example.com', 'ada+news+0a@example.com'],
  ])('names an original recipient %s', async (_name, written, email) => {
    const status = statusOf(`Original-Recipient: rfc822;${written}`, 'Action: failed', 'Status: 5.1.1');
    expect(
      await decide(aReport({ status }), { ...MESSAGE, recipients: [email, 'bob@example.net'] }),
    ).toMatchObject({
      recipients: [{ email }],
    });
  });

  test('names the recipient that is written so, rather than one in xtext', async () => {
    const status = statusOf('Original-Recipient: rfc822;ada+2Bnews@example.com', 'Action: failed');
    const recipients = ['ada+news@example.com', 'ada+2bnews@example.com'];
    expect(await decide(aReport({ status }), { ...MESSAGE, recipients })).toMatchObject({
      recipients: [{ email: 'ada+2bnews@example.com' }],
    });
  });

  test('has a status part of RFC 6533, or an encoded one', async () => {
    const status = statusOf('Final-Recipient: utf-8; jörg@bücher.example', 'Action: failed', 'Status: 5.1.1');
    const encoded = Buffer.from(status).toString('base64');
    for (const report of [
      aReport({ status }).replace('message/delivery-status', 'message/global-delivery-status'),
      aReport({ status: encoded }).replace(
        /message\/delivery-status\n/,
        '$&Content-Transfer-Encoding: base64\n',
      ),
    ])
      expect(
        await decide(report, { ...MESSAGE, recipients: ['jörg@xn--bcher-kva.example', 'bob@example.net'] }),
      ).toMatchObject({ recipients: [{ email: 'jörg@xn--bcher-kva.example', class: 'hard' }] });
  });

  test('states an action and a status after comments', async () => {
    const status = statusOf(...ADA_FAILED, 'Status: (bad mailbox) 5.1.1').replace('failed', '(x) failed');
    expect(await decide(aReport({ status }))).toMatchObject({ recipients: [{ class: 'hard' }] });
  });

  test('separates recipients without blank lines between them', async () => {
    const status = statusOf(
      'Original-Recipient: rfc822; eve@example.org',
      'Final-Recipient: rfc822; eve@example.org',
      'Action: failed',
      'Status: 5.1.1',
      'Original-Recipient: rfc822; ada@example.com',
      'Final-Recipient: rfc822; ada@elsewhere.example',
      'Action: failed',
      'Status: 5.2.2',
    );
    expect(await decide(aReport({ status }))).toMatchObject({
      recipients: [{ email: 'Ada@example.com', class: 'soft' }],
    });
  });

  test('with an action among the fields of the message is about the recipient that it names', async () => {
    const status = `Reporting-MTA: dns; mx.example.com\nAction: failed\n\nFinal-Recipient: rfc822; ada@example.com\nStatus: 4.7.0\n`;
    expect(await decide(aReport({ status }), TO_ADA)).toMatchObject({ kind: 'delayed' });
  });

  test('whose words are labelled as a status part too is read', async () => {
    const status = `The message failed.\n\n--report\nContent-Type: message/delivery-status\n\n${statusOf(...ADA_FAILED, 'Status: 5.1.1')}`;
    expect(await decide(aReport({ status }))).toMatchObject({ recipients: [{ class: 'hard' }] });
  });

  test.each([
    ['without a status', [], 'smtp; 550 5.1.1 Unknown', '5.1.1', 'hard'],
    [
      'with a status of its class alone',
      ['Status: 5.0.0'],
      'smtp; 550-5.7.26 No\n 550 5.7.26 DMARC',
      '5.7.26',
      'policy',
    ],
    ['with a hash sign', ['Status: 5.0.0'], 'smtp; 550 #5.1.1 Rejected', null, 'hard'],
    ['in its second line', ['Status: 5.0.0'], 'smtp; 550-No mail for\n 550 5.1.1 this user', '5.1.1', 'hard'],
    ['on the next line', ['Status: 5.0.0'], '\n smtp;\n 550 no such mailbox', null, 'soft'],
    ['in the form of qmail', ['Status: 5.0.0'], 'smtp; 550 no such mailbox (#5.1.1)', null, 'hard'],
    [
      'that Postfix quotes',
      ['Status: 5.0.0'],
      'X-Postfix; host mx.example.com[192.0.2.1] said: 550 5.1.1\n    <ada@example.com> unknown (in reply to RCPT TO)',
      '5.1.1',
      'hard',
    ],
    ['that contradicts the status', ['Status: 5.1.1'], 'smtp; 550 5.7.1 Blocked', '5.7.1', 'blocked'],
    ['that is permanent, unlike the status', ['Status: 4.0.0'], 'smtp; 550 5.1.1 Unknown', '5.1.1', 'soft'],
  ])('takes the code of a reply %s', async (_name, fields, diagnostic, enhanced, bounceClass) => {
    const status = statusOf(...ADA_FAILED, ...fields, `Diagnostic-Code: ${diagnostic}`);
    expect(await decide(aReport({ status }))).toMatchObject({
      recipients: [{ class: bounceClass, smtp: { code: 550, enhanced } }],
    });
  });

  test('keeps a reason that is no reply', async () => {
    const status = statusOf(...ADA_FAILED, 'Status: 4.0.0', 'Diagnostic-Code: smtp; DNS Error: NXDOMAIN');
    expect(await decide(aReport({ status }))).toMatchObject({
      recipients: [{ smtp: null, diagnostic: 'DNS Error: NXDOMAIN' }],
    });
  });
});

describe('finds the message by', () => {
  const other = '<CAByYQsEaO0O4GgfWivReAX@mail.gmail.com>';
  const status = statusOf(...ADA_FAILED, 'Status: 5.1.1');
  const returned = `Message-ID: ${other}\n\nHello\n`;
  test.each([
    ['X-Original-Message-ID', { status: `X-Original-Message-ID: ${OUR_ID}\n\n${status}`, returned }],
    [
      'X-Original-Message-ID without brackets',
      { status: `X-Original-Message-ID: ${OUR_ID.slice(1, -1)}\n\n${status}`, returned },
    ],
    ['In-Reply-To', { status, returned, headers: `In-Reply-To: ${OUR_ID}\n` }],
    ['the last of References', { status, returned, headers: `References: ${other}\n ${OUR_ID}\n` }],
    ['the returned message', { status }],
    [
      'the id that Gmail has replaced',
      { status, returned: `Message-ID: ${other}\nX-Google-Original-Message-ID: ${OUR_ID}\n\n` },
    ],
    [
      'quoted headers',
      { status, returned: null, text: `Words\n\nReceived: by x\nMessage-Id:\n ${OUR_ID}\nTo: x\n\nHello` },
    ],
  ])('%s', async (_name, parts) => {
    expect(await decide(aReport(parts))).toMatchObject({ kind: 'bounced' });
  });

  test.each([
    [
      'another message, by X-Original-Message-ID',
      {
        status: `X-Original-Message-ID: ${other}\n\n${status}`,
        returned,
        headers: `References: ${OUR_ID}\n`,
      },
    ],
    [
      'an answer to our message, by References',
      { status, returned, headers: `References: ${OUR_ID} ${other}\n` },
    ],
    ['a message that quotes ours', { status, returned: `Message-ID: ${other}\n\nMessage-ID: ${OUR_ID}\n` }],
  ])('and ignores a report about %s', async (_name, parts) => {
    expect(await decide(aReport(parts))).toEqual({ kind: 'ignored', reason: 'no_reference' });
  });

  test('and ignores an unknown one', async () => {
    const unknown = { kind: 'ignored', reason: 'unknown_message' };
    expect(await decide(aReport(), null)).toEqual(unknown);
    expect(await decide(aReport(), { ...MESSAGE, messageId: OUR_ID.replace('0', '1') })).toEqual(unknown);
  });
});

describe('a mail that is no report', () => {
  test('replies', async () => {
    expect(await decide(aReply())).toEqual({
      kind: 'replied',
      at: AT,
      from: 'ada@example.com',
      mailId: '<reply@example.com>',
      recipients: [],
      unverified: false,
    });
  });

  test('replies to an earlier message of the thread, by References', async () => {
    const text = aReply(`References: ${OUR_ID} <other@example.com>\n`).replace(/^In-Reply-To: .*\n/m, '');
    expect(await decide(text)).toMatchObject({ kind: 'replied' });
  });

  test('is ignored if the account wrote it', async () => {
    const text = aReply().replace('Ada <ada@example.com>', 'Bot@acme.com');
    expect(await decide(text)).toEqual({ kind: 'ignored', reason: 'own_mail' });
    expect(await decide(text, { ...MESSAGE, recipients: ['bot@acme.com'] })).toMatchObject({
      kind: 'replied',
    });
  });

  test('has the same id each time, also without a Message-ID', async () => {
    const text = aReply().replace(/^Message-ID: .*\n/m, '');
    const [first, second] = [await decide(text), await decide(text)];
    expect(first).toMatchObject({ mailId: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) });
    expect(second).toEqual(first);
  });
});
