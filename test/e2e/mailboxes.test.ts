import { describe, expect, test } from 'vitest';
import { startService } from '../helpers/service.ts';
import { startWithGmail } from '../helpers/smtp/gmail.ts';
import { parseRawMail } from '../helpers/smtp/raw-mail.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };

describe('same mailbox in upper and lower case', () => {
  test('is one recipient across to, cc and bcc, in its first spelling', async () => {
    await using app = await startWithGmail();
    const { body } = await app.service.send(
      {
        ...HELLO,
        to: ['Ada@Example.com', 'ada@example.com', 'zoe@Bücher.example'],
        cc: [{ email: 'ADA@EXAMPLE.COM', name: 'Ada' }, 'bob@example.com'],
        bcc: ['Bob@example.com', 'ZOE@xn--bcher-kva.example'],
      },
      { wait: 20 },
    );
    const recipients = ['Ada@example.com', 'zoe@xn--bcher-kva.example', 'bob@example.com'];
    expect(body).toMatchObject({
      status: 'sent',
      recipients: recipients.map((email) => ({ email, status: 'accepted' })),
    });
    expect(app.gmail.messages.map((message) => message.recipients)).toEqual([
      ['Ada@example.com', 'zoe@bücher.example', 'bob@example.com'],
    ]);
    const found = await app.service.request('/messages?to=aDa@EXAMPLE.com');
    expect(found.body).toMatchObject({ messages: [{ id: body.id }] });
  });

  test('is suppressed in every field', async () => {
    await using app = await startWithGmail();
    await app.service.request('/suppressions/ADA@example.com', { method: 'PUT' });
    const { status, body } = await app.service.send({
      ...HELLO,
      to: ['Ada@example.com', 'ada@example.com'],
      cc: 'aDa@example.com',
    });
    expect([status, body.errors?.map(({ pointer }) => pointer)]).toEqual([422, ['/to/0', '/to/1', '/cc/0']]);
  });

  test('is listed once if all mail is redirected', async () => {
    await using app = await startWithGmail({ env: { REDIRECT_ALL_TO: 'qa@example.com' } });
    await app.service.send(
      { ...HELLO, to: ['Ada@example.com', 'ada@example.com'], cc: 'Bob@example.com' },
      { wait: 20 },
    );
    const { headers } = parseRawMail(app.gmail.messages[0]?.raw ?? '');
    expect(headers).toContainEqual({ name: 'x-original-to', value: 'Ada@example.com, Bob@example.com' });
  });
});

describe('local part with consecutive or trailing dots', () => {
  test('is quoted in SMTP, and unquoted in the API', async () => {
    const commands: string[] = [];
    let data = '';
    await using server = await startRawSmtp(async (io) => {
      await io.greet();
      for (const command of [/^MAIL/, /^RCPT/, /^RCPT/, /^RCPT/, /^DATA/])
        commands.push(await io.expect(command));
      io.send('250 2.1.0 OK\r\n250 2.1.5 OK\r\n550 5.1.1 Unknown user\r\n250 2.1.5 OK\r\n354 Go\r\n');
      data = await io.readUntilDot();
      io.send('250 2.0.0 OK\r\n');
    });
    await using service = await startService({
      smtp: `smtp://127.0.0.1:${server.port}?tls=never`,
      env: { GMAIL_APP_PASSWORD: '' },
    });
    const { body } = await service.send(
      { ...HELLO, to: ['a..b@docomo.ne.jp', 'Abc <abc.@ezweb.ne.jp>'], cc: 'bob@example.com' },
      { wait: 20 },
    );
    expect(commands.slice(1, 4)).toEqual([
      'RCPT TO:<"a..b"@docomo.ne.jp>',
      'RCPT TO:<"abc."@ezweb.ne.jp>',
      'RCPT TO:<bob@example.com>',
    ]);
    expect(body).toMatchObject({
      status: 'partially_sent',
      to: [{ email: 'a..b@docomo.ne.jp' }, { email: 'abc.@ezweb.ne.jp', name: 'Abc' }],
      recipients: [
        { email: 'a..b@docomo.ne.jp', status: 'accepted' },
        { email: 'abc.@ezweb.ne.jp', status: 'rejected', smtp: { code: 550 } },
        { email: 'bob@example.com', status: 'accepted' },
      ],
    });
    const to = parseRawMail(data).headers.find(({ name }) => name === 'to')?.value;
    expect(to).toBe('<"a..b"@docomo.ne.jp>, Abc <"abc."@ezweb.ne.jp>');
  });

  test('is found and suppressed in either form', async () => {
    await using app = await startWithGmail();
    const { body } = await app.service.send(
      { ...HELLO, to: '"a..b"@docomo.ne.jp', bcc: 'A..b@docomo.ne.jp' },
      { wait: 20 },
    );
    expect(body).toMatchObject({
      status: 'sent',
      recipients: [{ email: 'a..b@docomo.ne.jp', status: 'accepted' }],
    });
    for (const to of ['a..b@docomo.ne.jp', '"A..B"@docomo.ne.jp']) {
      const found = await app.service.request(`/messages?to=${encodeURIComponent(to)}`);
      expect(found.body).toMatchObject({ messages: [{ id: body.id }] });
    }
    await app.service.request('/suppressions/a..b@docomo.ne.jp', { method: 'PUT' });
    expect((await app.service.send({ ...HELLO, to: '"a..b"@docomo.ne.jp' })).body.code).toBe(
      'recipient_suppressed',
    );
  });
});

describe('thread started by other programs', () => {
  test('is kept verbatim in the headers, on lines of at most 998 bytes', async () => {
    await using app = await startWithGmail();
    const odd = [
      '<no-at-sign>',
      '<a@>',
      '<a@b@c>',
      '<[x]@[10.0.0.1]>',
      '<a<b>c@d>',
      '<a\\b@c>',
      '<a,b@c>',
      '<=?utf-8?q?a?=@b>',
      '<(c)@d>',
    ];
    const references = [
      ...odd,
      ...Array.from({ length: 90 }, (_, i) => `<${'x'.repeat(i * 10)}@example.com>`),
      `<${'y'.repeat(995)}>`,
    ];
    for (const in_reply_to of references.slice(0, odd.length).concat(references.slice(-1))) {
      await app.service.send({ ...HELLO, in_reply_to, references }, { wait: 20 });
      const { headers } = parseRawMail(app.gmail.messages.at(-1)?.raw ?? '');
      const values = Object.fromEntries(headers.map(({ name, value }) => [name, value.trim()]));
      expect(values['in-reply-to']).toBe(in_reply_to);
      expect(values.references?.split(' ')).toEqual(references);
    }
  });
});

test('an unsubscribe address may have a query, as in a mailto URL', async () => {
  await using app = await startWithGmail();
  const headerOf = async (email: string) => {
    const { status } = await app.service.send({ ...HELLO, unsubscribe: { email } }, { wait: 20 });
    const { headers } = parseRawMail(app.gmail.messages.at(-1)?.raw ?? '');
    return [status, headers.find(({ name }) => name === 'list-unsubscribe')?.value.trim()];
  };
  expect(await headerOf('leave@acme.com?subject=unsubscribe')).toEqual([
    200,
    '<mailto:leave@acme.com?subject=unsubscribe>',
  ]);
  expect(await headerOf('mailto:leave@acme.com?subject=Bitte%20lösche mich&body=42')).toEqual([
    200,
    '<mailto:leave@acme.com?subject=Bitte%20l%C3%B6sche%20mich&body=42>',
  ]);
  expect(await headerOf('MAILTO:leave%2Bnow@acme.com')).toEqual([200, '<mailto:leave+now@acme.com>']);
  expect(await headerOf(`leave@acme.com?subject=${'x'.repeat(870)}`)).toEqual([
    200,
    `<mailto:leave@acme.com?subject=${'x'.repeat(870)}>`,
  ]);
});
