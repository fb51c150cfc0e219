import { randomBytes } from 'node:crypto';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import fc from 'fast-check';
import PostalMime, { decodeWords } from 'postal-mime';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { compose as composeSlices } from '../../src/adapters/smtp/mime/compose.ts';
import { createComposer } from '../../src/adapters/smtp/mime/composer.ts';
import { deriveText } from '../../src/adapters/smtp/mime/derived-text.ts';
import { textOf } from '../../src/adapters/smtp/mime/text-of-html.ts';
import { openTransport } from '../../src/adapters/smtp/transport.ts';
import type { Job } from '../../src/core/delivery/outcome.ts';
import { type Content, type Envelope, recipientsOf } from '../../src/core/message/message.ts';
import { bytesOf } from '../helpers/bytes-of.ts';
import { cpuTimeOf } from '../helpers/cpu-time.ts';
import { aMessage } from '../helpers/delivery.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';

const ADA = { email: 'ada@example.com', name: 'Ada' };
const BOB = { email: 'bob@example.com', name: null };
const PNG = Buffer.from('89504e470d0a1a0a', 'hex');

function aJob(content: Partial<Content> = {}, envelope: Partial<Envelope> = {}): Job {
  const whole = {
    from: { email: 'bot@acme.com', name: 'Acme' },
    to: [ADA],
    cc: [],
    bcc: [],
    subject: 'Hello',
    ...envelope,
  };
  return {
    id: 'msg_0123456789abcdef0123456789abcdef',
    messageId: '<msg_0123456789abcdef0123456789abcdef@acme.com>',
    date: Date.UTC(2026, 10, 21, 9, 30),
    envelope: whole,
    content: { ...aMessage().content, ...content },
    recipients: recipientsOf(whole),
  };
}

const WITHOUT_LOGIN = { user: 'bot@acme.com', credentials: null, ehloName: 'client.test' };
const serverAt = (port: number) => ({ host: '127.0.0.1', port, tls: 'never' }) as const;

const compose = async (job: Job) => bytesOf((await composeSlices(job)).slices());
const parse = async (job: Job) => PostalMime.parse(await compose(job), { attachmentEncoding: 'arraybuffer' });

async function headersOf(job: Job) {
  const { headers } = await createComposer().compose(job);
  return headers;
}

async function header(job: Job, wanted: string) {
  return (await headersOf(job)).find(({ name }) => name === wanted)?.value;
}

describe('compose', () => {
  test('keeps every field of the message', async () => {
    const mail = await parse(
      aJob(
        {
          html: '<p>Grüße</p>',
          text: 'Grüße',
          replyTo: [{ email: 'help@acme.com', name: null }],
          headers: { 'X-Entity-Ref': '42' },
          inReplyTo: '<first@acme.com>',
          references: ['<zero@acme.com>', '<first@acme.com>'],
        },
        { to: [ADA, BOB], cc: [{ email: 'cy@example.com', name: null }], subject: 'Ihre Rechnung für März' },
      ),
    );
    expect(mail).toMatchObject({
      subject: 'Ihre Rechnung für März',
      from: { name: 'Acme', address: 'bot@acme.com' },
      to: [{ name: 'Ada', address: 'ada@example.com' }, { address: 'bob@example.com' }],
      cc: [{ address: 'cy@example.com' }],
      replyTo: [{ address: 'help@acme.com' }],
      messageId: '<msg_0123456789abcdef0123456789abcdef@acme.com>',
      inReplyTo: '<first@acme.com>',
      references: '<zero@acme.com> <first@acme.com>',
      date: '2026-11-21T09:30:00.000Z',
      html: '<p>Grüße</p>\n',
      text: 'Grüße\n',
    });
  });

  test.each([0, 1, 56, 57, 58, 116_735, 116_736, 116_737, 400_000])(
    'writes a file of %d bytes in lines of 76 characters, in slices that stay until the second next',
    async (length) => {
      const file = randomBytes(length);
      const attached = attachment('a.bin', { content: file });
      const { slices } = await composeSlices(aJob({ attachments: [attached] }));
      const read: Buffer[] = [];
      let last: Buffer = Buffer.alloc(0);
      // As the SMTP client reads them, which needs to know the last one.
      for (const slice of slices()) {
        read.push(Buffer.from(last));
        last = slice;
      }
      const encoded = file.toString('base64').replace(/.{76}(?=.)/g, '$&\r\n');
      expect(Buffer.concat([...read, last]).toString('latin1')).toContain(`\r\n\r\n${encoded}\r\n--`);
    },
  );

  test('composes the same bytes at any time', async () => {
    const job = aJob({
      html: '<p>Hi <img src="cid:logo"></p>',
      attachments: [attachment('logo.png', { contentId: 'logo' })],
    });
    const first = await compose(job);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 86_400_000 });
    onTestFinished(() => void vi.useRealTimers());
    expect(await compose(structuredClone(job))).toEqual(first);
  });

  test('writes only the requested and the required headers', async () => {
    const bare = await headersOf(aJob());
    expect(bare.map(({ name }) => name).toSorted()).toEqual(
      [
        'Content-Transfer-Encoding',
        'Content-Type',
        'Date',
        'From',
        'MIME-Version',
        'Message-ID',
        'Subject',
        'To',
      ].toSorted(),
    );
    const full = await headersOf(
      aJob(
        {
          html: '<p>Hi</p>',
          replyTo: [BOB],
          headers: { 'X-One': '1', 'X-Two': '2' },
          inReplyTo: '<a@b.test>',
          references: ['<a@b.test>'],
          unsubscribe: { url: 'https://acme.com/u', email: null, oneClick: true },
        },
        { cc: [BOB], bcc: [{ email: 'hidden@example.com', name: 'Hidden' }] },
      ),
    );
    expect(full.map(({ name }) => name).toSorted()).toEqual(
      [
        ...[
          'Cc',
          'Content-Type',
          'Date',
          'From',
          'In-Reply-To',
          'List-Unsubscribe',
          'List-Unsubscribe-Post',
          'MIME-Version',
        ],
        ...['Message-ID', 'References', 'Reply-To', 'Subject', 'To', 'X-One', 'X-Two'],
      ].toSorted(),
    );
  });

  test('writes no Bcc recipients into the message', async () => {
    const job = aJob({}, { bcc: [{ email: 'hidden@example.com', name: 'Hidden' }] });
    expect(String(await compose(job))).not.toMatch(/hidden|bcc/i);
  });
});

describe('text', () => {
  test.each([
    ['not ASCII', 'Žluťoučký kůň 😀\r\nsecond line'],
    ['one long line', 'word '.repeat(2000).trim()],
    ['one long word', 'w'.repeat(5000)],
    ['lines that start with a dot', '.\r\n..\r\n.hidden\r\n.'],
    ['lines that look like a boundary', '--_NmP-msg_0123456789abcdef0123456789abcdef-Part_1\r\nFrom me'],
  ])('survives unchanged: %s', async (_, text) => {
    const mail = await parse(aJob({ text, html: '<p>x</p>' }));
    expect(mail.text?.trimEnd().replaceAll('\r\n', '\n')).toBe(text.replaceAll('\r\n', '\n'));
    const longest = Math.max(
      ...String(await compose(aJob({ text })))
        .split('\r\n')
        .map((line) => line.length),
    );
    expect(longest).toBeLessThanOrEqual(78);
  });

  test('has only CRLF line endings', async () => {
    const bytes = String(await compose(aJob({ text: 'a\nb\rc\r\nd', html: '<p>\n</p>' })));
    expect(bytes).toContain('a\r\nb\r\nc\r\nd');
    expect(bytes.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/);
  });
});

describe('text derived from html', () => {
  const derived = async (html: string) => (await parse(aJob({ html, text: null }))).text?.trimEnd();

  test('keeps the text, links and alt texts of images', async () => {
    const html = `<html><head><title>No</title><style>p { color: red }</style></head><body>
      <h1>Your invoice</h1><p>See <a href="https://acme.com/i/42">the invoice</a> or <a href="https://acme.com">https://acme.com</a>.</p>
      <table><tr><th>Item</th><th>Price</th></tr><tr><td>Pen</td><td>3 €</td></tr></table>
      <img src="cid:logo" alt="Acme"><script>alert(1)</script></body></html>`;
    expect(await derived(html)).toBe(
      'Your invoice\n\nSee the invoice [https://acme.com/i/42] or https://acme.com.\n\nItem Price\nPen 3 €\n\nAcme',
    );
  });

  test('has no title and no consecutive blank lines', async () => {
    expect(await derived('<title>No</title><p>Yes</p>')).toBe('Yes');
    const layout = '<table><tr><td><table><tr><td><p>one</p></td></tr></table></td></tr></table>';
    expect(await derived(`${layout}<p>two</p>`)).toBe('one\n\ntwo');
  });

  test('keeps the link of an image, as that of a text', async () => {
    const logo = '<a href="https://acme.com"><img src="cid:logo" alt="Acme"></a>';
    expect(await derived(`<p>From ${logo}</p>`)).toBe('From Acme [https://acme.com]');
    expect(await derived('<a href="https://acme.com"><img src="cid:logo"></a>')).toBe('https://acme.com');
  });

  test.each([
    ['an element that is not displayed', '<div style="color:red;display:none">No</div><p>Yes</p>', 'Yes'],
    [
      'an element that is not displayed, in upper case',
      '<DIV STYLE="DISPLAY: NONE">No</DIV><p>Yes</p>',
      'Yes',
    ],
    ['an invisible element', '<span style="visibility: hidden">No</span><p>Yes</p>', 'Yes'],
    ['a hidden element', '<p hidden>No</p><p>Yes</p>', 'Yes'],
    ['preheader padding', `<p>Sale${'&#847;&zwnj;&nbsp;'.repeat(80)}</p><p>Yes</p>`, 'Sale\n\nYes'],
  ])('leaves out %s', async (_, html, text) => {
    expect(await derived(html)).toBe(text);
  });

  test('keeps a single joiner, which can belong to a word', async () => {
    expect(await derived('<p>می\u200cخواهم 👩\u200d🚀</p>')).toBe('می\u200cخواهم 👩\u200d🚀');
  });

  test('removes script and data links', async () => {
    expect(
      await derived('<p><a href="javascript:alert(1)">one</a> <a href="data:text/html,x">two</a></p>'),
    ).toBe('one two');
  });

  test('does not replace a given text', async () => {
    expect((await parse(aJob({ html: '<p>Hi</p>', text: 'Ho' }))).text?.trim()).toBe('Ho');
  });

  test.each([
    ['deep nesting', '<b>'.repeat(350_000)],
    ['deep quotes', `${'<blockquote>'.repeat(64)}${'a<br>'.repeat(200_000)}`],
    ['deep lists', '<ol><li>a'.repeat(110_000)],
    ['an open tag', `<a ${'x '.repeat(500_000)}`],
    ['blanks', `<pre>${' '.repeat(1_000_000)}x</pre>`],
  ])('converts a megabyte of %s in bounded time', async (_, html) => {
    let text = '';
    const tookMs = cpuTimeOf(() => {
      text = textOf(html);
    });
    expect(tookMs).toBeLessThan(10_000);
    expect(text.length).toBeLessThan(300_000);
  });

  test('is the same whether a worker thread makes it or not, and does not block the event loop', async () => {
    const html = '<blockquote>'.repeat(64) + '<p>word</p>'.repeat(8000);
    const pauses = monitorEventLoopDelay({ resolution: 1 });
    pauses.enable();
    const made = await deriveText(html);
    pauses.disable();
    expect(made).toBe(textOf(html));
    expect(pauses.max / 1e6).toBeLessThan(cpuTimeOf(() => textOf(html)));
  });

  test('ends with an ellipsis if it was cut', async () => {
    expect(await derived(`<p>${'word '.repeat(30_000)}</p>`)).toMatch(/ wo\n…$/);
  });
});

function attachment(filename: string, rest: Partial<Content['attachments'][number]> = {}) {
  return { filename, content: PNG, contentType: null, contentId: null, ...rest };
}

describe('an attachment', () => {
  const attached = async (...attachments: Content['attachments']) =>
    (await parse(aJob({ html: '<p>Hi</p>', attachments }))).attachments;

  test('keeps its name, bytes and type', async () => {
    const content = Uint8Array.from({ length: 1000 }, (_, index) => index % 256);
    const [file] = await attached(attachment('data.bin', { content, contentType: 'application/x-thing' }));
    expect(file).toMatchObject({
      filename: 'data.bin',
      mimeType: 'application/x-thing',
      disposition: 'attachment',
    });
    expect(new Uint8Array(file?.content as ArrayBuffer)).toEqual(content);
  });

  test.each([1, 57 * 256, 57 * 256 + 1, 300_000])(
    'of %i bytes arrives unchanged, in the same message at each attempt',
    async (length) => {
      const content = randomBytes(length);
      const job = aJob({
        attachments: [attachment('film.mp4', { content }), attachment('rows.csv', { content })],
      });
      const bytes = await compose(job);
      expect(Buffer.compare(await compose(job), bytes)).toBe(0);
      expect((await createComposer().compose(job)).size).toBe(bytes.length);
      for (const file of (await PostalMime.parse(bytes, { attachmentEncoding: 'arraybuffer' })).attachments) {
        expect(Buffer.compare(Buffer.from(file.content as ArrayBuffer), content)).toBe(0);
      }
    },
  );

  test('gets its media type from the extension of its name', async () => {
    const files = await attached(attachment('a.pdf'), attachment('b.png'), attachment('c.unheard-of'));
    expect(files.map(({ mimeType }) => mimeType)).toEqual([
      'application/pdf',
      'image/png',
      'application/octet-stream',
    ]);
  });

  test('with a content id is inline and related to the html', async () => {
    const job = aJob({
      html: '<img src="cid:logo">',
      attachments: [attachment('logo.png', { contentId: 'logo' }), attachment('a.pdf')],
    });
    const [logo, pdf] = (await parse(job)).attachments;
    expect(logo).toMatchObject({
      contentId: '<logo>',
      disposition: 'inline',
      related: true,
      mimeType: 'image/png',
    });
    expect(pdf).toMatchObject({ disposition: 'attachment' });
    expect(pdf?.contentId).toBeUndefined();
  });

  test.each(['message/rfc822', 'multipart/mixed', ' Message/partial'])(
    'of type %s is sent as application/octet-stream, since that type cannot be encoded',
    async (contentType) => {
      const content = Buffer.from('Subject: x\n\n\u0000\u00ff\rno line end');
      const [file] = await attached(attachment('mail.eml', { content, contentType }));
      expect(file).toMatchObject({ filename: 'mail.eml', mimeType: 'application/octet-stream' });
      expect(Buffer.from(file?.content as ArrayBuffer)).toEqual(content);
      expect((await attached(attachment('mail.eml', { content })))[0]?.mimeType).toBe(
        'application/octet-stream',
      );
    },
  );

  test.each(['name=other.bin', 'name="other; name.bin"', "Name*=utf-8''other.bin", 'name*0=o;name*1=ther'])(
    'has one name in its Content-Type, whatever its type names: %s',
    async (parameter) => {
      const contentType = `application/x-thing; ${parameter} ; charset=utf-8`;
      const job = aJob({ attachments: [attachment('a.bin', { contentType })] });
      expect(String(await compose(job))).toContain(
        'Content-Type: application/x-thing; charset=utf-8; name=a.bin',
      );
    },
  );

  test.each([
    ['quotes', 'the "final" version\\.pdf', 'the "final" version_.pdf'],
    ['a path', '../../etc/passwd', '.._.._etc_passwd'],
    ['international letters', 'Счёт — 請求書 😀.pdf', 'Счёт — 請求書 😀.pdf'],
    ['a parameter', 'x.pdf; name=evil.exe', 'x.pdf; name=evil.exe'],
    ['many characters', `${'ä'.repeat(200)}.pdf`, `${'ä'.repeat(200)}.pdf`],
  ])('may have %s in its name', async (_, filename, expected) => {
    const [file] = await attached(attachment(filename));
    expect(file?.filename).toBe(expected);
  });
});

describe('hostile text in headers', () => {
  test.each([
    ['quotes and a comma', 'Doe, "Joe" <boss@evil.com>'],
    ['international letters', 'Ünïcødé 山田 😀'],
    ['an encoded word', '=?utf-8?q?x?='],
    ['a group', 'Friends: ada@evil.com;'],
    ['many characters', 'Ü'.repeat(150)],
  ])('stays text in a display name with %s', async (_, name) => {
    const mail = await parse(
      aJob({}, { from: { email: 'bot@acme.com', name }, to: [{ email: 'ada@example.com', name }] }),
    );
    expect(mail.from?.address).toBe('bot@acme.com');
    expect(mail.to?.map(({ address }) => address)).toEqual(['ada@example.com']);
    if (!name.startsWith('=?')) expect(mail.from?.name).toBe(name);
  });

  test.each([
    ['900 characters that are not ASCII', '請'.repeat(900)],
    ['900 blanks', `a${' '.repeat(900)}b`],
    ['blanks at its end, where the line is full', `${'w'.repeat(64)}          `],
    ['one word of 900 characters', 'w'.repeat(900)],
  ])('stays text in a subject of %s', async (_, subject) => {
    const job = aJob({ headers: { 'X-Copy': subject } }, { subject });
    const head = String(await compose(job)).split('\r\n\r\n')[0] ?? '';
    const lines = head.split('\r\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(998);
    expect(lines.filter((line) => line.trim() === '')).toEqual([]);
    expect((await parse(job)).subject?.replace(/ +/g, ' ')).toBe(subject.trim().replace(/ +/g, ' '));
  });

  const printable = fc
    .string({ unit: 'grapheme', maxLength: 120 })
    .map((text) => text.replace(/\p{Cc}/gu, '').toWellFormed());

  test('never creates a header or a recipient', async () => {
    const expected = await headersOf(aJob({ headers: { 'X-Ref': 'x' } }, { cc: [BOB] }));
    await fc.assert(
      fc.asyncProperty(printable, printable, printable, async (name, subject, value) => {
        const job = aJob(
          { headers: { 'X-Ref': `x${value}` } },
          { to: [{ ...ADA, name }], cc: [{ ...BOB, name }], subject: `x${subject}` },
        );
        const names = (await headersOf(job)).map((field) => field.name);
        expect(names).toEqual(expected.map((field) => field.name));
        const mail = await parse(job);
        expect([...(mail.to ?? []), ...(mail.cc ?? [])].map(({ address }) => address)).toEqual([
          ADA.email,
          BOB.email,
        ]);
      }),
    );
  });
});

describe('unsubscribe', () => {
  test('writes both headers of RFC 8058 for one-click', async () => {
    const url = `https://acme.com/u/${'x'.repeat(100)}?id=42&list=news`;
    const job = aJob({ unsubscribe: { url, email: 'leave@acme.com', oneClick: true } });
    expect(await header(job, 'List-Unsubscribe')).toBe(`<${url}>, <mailto:leave@acme.com>`);
    expect(await header(job, 'List-Unsubscribe-Post')).toBe('List-Unsubscribe=One-Click');
    expect(String(await compose(job))).toContain(
      `List-Unsubscribe:\r\n <${url}>,\r\n <mailto:leave@acme.com>\r\n`,
    );
  });

  test('omits List-Unsubscribe-Post without one-click', async () => {
    const job = aJob({ unsubscribe: { url: 'https://acme.com/u', email: null, oneClick: false } });
    expect(await header(job, 'List-Unsubscribe')).toBe('<https://acme.com/u>');
    expect(await header(job, 'List-Unsubscribe-Post')).toBeUndefined();
  });

  test('keeps the query of an address in the mailto URL', async () => {
    const unsubscribe = { url: null, email: 'a?b@acme.com?subject=leave%20now&body=a@b', oneClick: false };
    expect(await header(aJob({ unsubscribe }), 'List-Unsubscribe')).toBe(
      '<mailto:a%3Fb@acme.com?subject=leave%20now&body=a@b>',
    );
    const dotted = { ...unsubscribe, email: 'a..b@docomo.ne.jp?subject=leave' };
    expect(await header(aJob({ unsubscribe: dotted }), 'List-Unsubscribe')).toBe(
      '<mailto:%22a..b%22@docomo.ne.jp?subject=leave>',
    );
  });

  test('encodes characters that would end the brackets', async () => {
    const job = aJob({
      unsubscribe: {
        url: 'https://acme.com/ü>,<https://evil.com/',
        email: 'a?b&c%20d@acme.com',
        oneClick: false,
      },
    });
    expect(await header(job, 'List-Unsubscribe')).toBe(
      '<https://acme.com/%C3%BC%3E,%3Chttps://evil.com/>, <mailto:a%3Fb%26c%2520d@acme.com>',
    );
  });
});

describe('an invitation', () => {
  const content = 'BEGIN:VCALENDAR\nVERSION:2.0\nMETHOD:REQUEST\nSUMMARY:Grüße\nEND:VCALENDAR\n';
  const invited = (rest: Partial<Content> = {}) =>
    aJob({ calendar: { method: 'REQUEST', content }, ...rest });

  test('is the last alternative, with its method, and the file invite.ics', async () => {
    const bytes = String(await compose(invited({ html: '<p>Come!</p>', text: 'Come!' })));
    expect(bytes).toMatch(
      /multipart\/mixed;.*multipart\/alternative;.*text\/plain;.*text\/html;.*text\/calendar; charset=utf-8; method=REQUEST/s,
    );
    const { attachments, html, text } = await PostalMime.parse(bytes, { attachmentEncoding: 'arraybuffer' });
    expect([html?.trim(), text?.trim()]).toEqual(['<p>Come!</p>', 'Come!']);
    const files = attachments.map(({ filename, mimeType, content: data }) => [
      filename,
      mimeType,
      String(Buffer.from(data as ArrayBuffer)).replaceAll('\r\n', '\n'),
    ]);
    expect(files).toContainEqual(['invite.ics', 'application/ics', content]);
  });

  test('stands beside attachments and inline images', async () => {
    const job = invited({
      html: '<img src="cid:logo">',
      attachments: [attachment('logo.png', { contentId: 'logo' }), attachment('a.pdf')],
    });
    const names = (await parse(job)).attachments.map(({ filename }) => filename);
    expect(names).toEqual(expect.arrayContaining(['logo.png', 'a.pdf', 'invite.ics']));
  });
});

describe('header fields', () => {
  const ENCODED = '=?utf-8?q?x?=';

  test.each([
    ['a subject', {}, { subject: ENCODED }, [ENCODED]],
    ['a name', {}, { to: [{ email: 'ada@example.com', name: ENCODED }] }, [ENCODED]],
    ['a free header', { headers: { 'X-Ref': ENCODED } }, {}, []],
    ['a filename', { attachments: [attachment(`${ENCODED}.pdf`)] }, {}, []],
  ])(
    'encode %s that looks like an encoded word, so that it reads as it was written',
    async (_, content, envelope, readBack) => {
      const job = aJob(content, envelope);
      expect(String(await compose(job))).not.toContain(ENCODED);
      const { subject, to } = await parse(job);
      expect([subject, to?.[0]?.name].filter((text) => text?.startsWith('='))).toEqual(readBack);
    },
  );

  test('never have a line over 998 octets, whatever is longest in them', async () => {
    const job = aJob(
      {
        headers: {
          'X-Long': 'w'.repeat(900),
          'X-Longest': `${'w'.repeat(1200)} end`,
          'List-ID': '<list.acme.com>',
        },
        inReplyTo: `<${'i'.repeat(990)}@b>`,
        references: [`<${'r'.repeat(990)}@b>`, '<c@d>'],
        unsubscribe: { url: `https://acme.com/${'u'.repeat(970)}`, email: 'leave@acme.com', oneClick: true },
      },
      { subject: 'w'.repeat(1500), to: [{ email: 'ada@example.com', name: 'n'.repeat(255) }] },
    );
    const [head = ''] = (await compose(job)).toString('latin1').split('\r\n\r\n');
    expect(Math.max(...head.split('\r\n').map((line) => line.length))).toBeLessThanOrEqual(998);
    expect((await parse(job)).subject).toBe('w'.repeat(1500));
    expect(await header(job, 'References')).toBe(`<${'r'.repeat(990)}@b> <c@d>`);
  });

  test('have at most 76 characters in a line with an encoded word (RFC 2047, section 2)', async () => {
    const headers = {
      'X-Long': 'w'.repeat(70),
      'X-Mixed': `Nachrichten${' '.repeat(50)}für alle Kunden und Freunde des Hauses in Köln und Umgebung seit 1900`,
      [`X-${'n'.repeat(60)}`]: 'ü'.repeat(20),
    };
    const job = aJob({ headers }, { subject: 'ü'.repeat(200) });
    const [head = ''] = String(await compose(job)).split('\r\n\r\n');
    const encoded = head.split('\r\n').filter((line) => line.includes('=?'));
    expect(encoded.length).toBeGreaterThan(5);
    expect(Math.max(...encoded.map(({ length }) => length))).toBeLessThanOrEqual(76);
    expect(decodeWords((await header(job, 'X-Mixed')) ?? '')).toBe(headers['X-Mixed']);
  });

  test('keep words that need no encoding readable', async () => {
    const job = aJob({ headers: { 'List-ID': 'Nachrichten für Kunden <list.acme.com>' } });
    expect(await header(job, 'List-ID')).toMatch(/^Nachrichten =\?UTF-8\?.*\?= Kunden <list\.acme\.com>$/);
  });

  test.each([
    [
      'a recipient in To who is not in the envelope any more',
      { to: [ADA, { email: 'jürgen@example.com', name: null }] },
      ['ada@example.com'],
      true,
    ],
    [
      'a recipient in the envelope',
      { bcc: [{ email: 'jürgen@example.com', name: null }] },
      ['jürgen@example.com'],
      true,
    ],
    [
      'only names that are not ASCII',
      { to: [{ email: 'ada@example.com', name: 'Jürgen' }] },
      ['ada@example.com'],
      false,
    ],
  ])('request SMTPUTF8 for %s', async (_, envelope, recipients, expected) => {
    let mail = '';
    await using server = await startRawSmtp(async (io) => {
      await io.greet();
      mail = await io.expect(/^MAIL/);
      io.drop();
    });
    const transport = openTransport({ ...WITHOUT_LOGIN, servers: [serverAt(server.port)] });
    await transport.send({ ...aJob({}, envelope), recipients });
    await transport.close();
    expect(mail.includes(' SMTPUTF8')).toBe(expected);
  });
});

describe('sending', () => {
  test('names exactly the recipients of the job, and sends the measured bytes', async () => {
    const commands: string[] = [];
    let data = '';
    await using server = await startRawSmtp(async (io) => {
      await io.greet();
      for (const command of [/^MAIL/, /^RCPT/, /^RCPT/, /^RCPT/, /^DATA/])
        commands.push(await io.expect(command));
      io.send('250 OK\r\n250 OK\r\n250 OK\r\n250 OK\r\n354 Go\r\n');
      data = await io.readUntilDot();
      io.send('250 2.0.0 OK\r\n');
    });
    const job = aJob(
      { text: 'Hello.\n.\n..dots\n.', headers: { 'X-Ref': '42' } },
      { to: [ADA, BOB], bcc: [{ email: 'hidden@example.com', name: null }] },
    );
    const transport = openTransport({ ...WITHOUT_LOGIN, servers: [serverAt(server.port)] });
    expect(await transport.send(job)).toMatchObject({ accepted: job.recipients, fault: null });
    await transport.close();
    expect(commands).toEqual([
      'MAIL FROM:<bot@acme.com>',
      'RCPT TO:<ada@example.com>',
      'RCPT TO:<bob@example.com>',
      'RCPT TO:<hidden@example.com>',
      'DATA',
    ]);
    const sent = `${data.replaceAll('\r\n..', '\r\n.')}\r\n`;
    expect(sent).toBe((await compose(job)).toString('latin1'));
    expect((await createComposer().compose(job)).size).toBe(sent.length);
  });
});

test.each(['Hello.\n', 'Hello.\r\n', 'Hello.\r', 'Hello.', 'Grüße.\n', 'Grüße.\r', 'Grüße.'])(
  'a message ends with one line end, whatever its text ends with: %j',
  async (text) => {
    const composed = (await compose(aJob({ text }))).toString('latin1');
    expect(composed).toMatch(/[^\r\n]\r\n$/);
  },
);

describe('the size of a message', () => {
  test.each([
    ['is told to a server that offers SIZE', ['SIZE 35882577'], (size: number) => ` SIZE=${size}`],
    ['is told together with SMTPUTF8', ['SIZE'], (size: number) => ` SIZE=${size} SMTPUTF8`],
    ['is not told to another server', [], () => ''],
  ])('%s', async (title, extensions, parametersOf) => {
    let mail = '';
    await using server = await startRawSmtp(async (io) => {
      await io.greet(...extensions);
      mail = await io.expect(/^MAIL/);
      io.send('552 5.3.4 Too large\r\n503 5.5.1 MAIL first\r\n503 5.5.1 MAIL first\r\n');
    });
    const to = title.includes('SMTPUTF8') ? [{ email: 'ü@example.com', name: null }] : [ADA];
    const job = aJob({ text: 'Grüße.\n..\n' }, { to });
    const transport = openTransport({ ...WITHOUT_LOGIN, servers: [serverAt(server.port)] });
    expect(await transport.send(job)).toMatchObject({ fault: { error: { code: 'message_too_large' } } });
    await transport.close();
    const { length } = await compose(job);
    expect(mail).toBe(`MAIL FROM:<bot@acme.com>${parametersOf(length)}`);
  });
});

describe('an address with control characters or angle brackets', () => {
  test.each([
    'ada@example.com>\r\nRCPT TO:<eve@evil.com',
    'ada@example.com\nDATA',
    'ada@example.com> SIZE=1',
  ])('is never written to a server: %j', async (email) => {
    const commands: string[] = [];
    await using server = await startRawSmtp(async (io) => {
      await io.greet();
      commands.push(await io.expect(/^/));
    });
    const transport = openTransport({ ...WITHOUT_LOGIN, servers: [serverAt(server.port)] });
    const outcome = await transport.send({ ...aJob(), recipients: [email] });
    expect(outcome).toMatchObject({ accepted: [], fault: { error: { code: 'internal_error' } } });
    await transport.close();
    expect(commands).toEqual([]);
  });
});
