import fc from 'fast-check';
import type { Job } from '../../src/core/delivery/outcome.ts';
import { parseEmail } from '../../src/core/message/address.ts';
import { type Content, type Envelope, recipientsOf } from '../../src/core/message/message.ts';

const ID = 'msg_0123456789abcdef0123456789abcdef';

/** Scripts with their own letters, marks and directions; emoji of several code points. */
const WORDS = [
  ...['Grüße', 'Žluťoučký', 'счёт', 'Ελληνικά', 'İstanbul', 'e\u0301tude', 'Z\u0351\u036b\u0343algo'],
  ...['العربية', 'עברית', 'ภาษาไทย', 'हिन्दी', 'நன்றி', '請求書', '한국어', 'にほんご'],
  ...[
    '😀',
    '👩‍👩‍👧',
    '👍🏽',
    '🏳️‍🌈',
    '🇩🇪',
    '\u202eabc\u202c',
    'co\u00adop',
    'a\u00a0b',
    '\u{1d54f}',
    '\u{e0041}',
  ],
];
/** Text with a meaning in a header, in a parameter or in an encoded word. */
const SPECIALS = [
  ...['"', '\\', '\\"', ',', ';', ':', '(x)', '<a@b.c>', '[1]', '%41', "utf-8''x", '*0', '=', '?', '_', "'"],
  ...['=?utf-8?q?x?=', '=?x?=', '=?', '?=', 'name=x', 'Bcc: eve@evil.test', '  ', ' '.repeat(90)],
  ...['word', 'Re:', 'w'.repeat(60), 'w'.repeat(90), 'ü'.repeat(90), '請'.repeat(40), '"'.repeat(70)],
];

/** Trims and cuts a text to one that is valid in a header. */
const toLine = (maxLength: number) => (text: string) =>
  text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/gu, '')
    .slice(0, maxLength)
    .toWellFormed()
    .replaceAll('\ufffd', '')
    .trim();

/** One line of text; it can be empty. */
const line = (maxLength: number) =>
  fc
    .oneof(
      fc.string({ unit: 'grapheme', maxLength }),
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.string({ maxLength }),
      fc.string({ unit: fc.constantFrom('w', 'ü', '請', '😀'), maxLength }),
      fc
        .array(fc.constantFrom(...WORDS, ...SPECIALS), { maxLength: 12 })
        .chain((words) => fc.constantFrom('', ' ', '  ').map((separator) => words.join(separator))),
    )
    .map(toLine(maxLength));

export const aBody = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 400 }),
    fc
      .array(
        fc.constantFrom(
          ...['\r\n', '\n', '\r', '.', '..', ' ', '\t', '=', 'From x', '--', `--=_${ID}_1`, '--=_'],
          ...['word '.repeat(40), 'w'.repeat(1200), '\u0000', '\u007f', '\u2028', ...WORDS],
        ),
        { maxLength: 60 },
      )
      .map((pieces) => pieces.join('')),
  )
  .map((text) => text.toWellFormed());

const email = fc
  .constantFrom(
    ...[
      'ada@example.com',
      "o'hara+tag@example.com",
      'x_y=z@xn--bcher-kva.example',
      '!#$%&*+/?^`{|}~@a.example',
    ],
    ...[
      'a..b@docomo.ne.jp',
      'abc.@ezweb.ne.jp',
      `${'l'.repeat(64)}@${'d'.repeat(63)}.${'e'.repeat(63)}.example`,
    ],
    ...[
      'χρήστης@παράδειγμα.gr',
      'jürgen@bücher.example',
      '用户@例子.测试',
      'ada@مثال.إختبار',
      'ada@παράδειγμα.gr',
    ],
  )
  .map(parseEmail);

const mailbox = fc.record({ email, name: fc.option(line(255)) }).map(({ email, name }) => ({
  email,
  name: name === '' ? null : name,
}));

/** Every kind of file: by extension, with and without a type, empty, with a strange name. */
const attachment = fc.record({
  filename: fc.oneof(
    fc.constantFrom(
      ...[
        'a.pdf',
        'a.zip',
        'invite.ics',
        'notes.txt',
        'mail.eml',
        'page.html',
        'photo.JPEG',
        'README',
        '.env',
      ],
      ...[
        'data.unheard-of',
        'Счёт — 請求書 😀.pdf',
        'a.tar.gz',
        `${'n'.repeat(250)}.pdf`,
        `${'ä'.repeat(250)}.pdf`,
      ],
      ...[
        '"quoted".pdf',
        "o'hara.pdf",
        'x.pdf; name=evil.pdf',
        '100%25.pdf',
        'a*0*.pdf',
        '=?utf-8?q?x?=.pdf',
      ],
    ),
    line(255).map((name) => name.replace(/[/\\]/g, '') || 'a'),
  ),
  content: fc.uint8Array({ maxLength: 300 }),
  contentType: fc.constantFrom(
    ...[null, null, null, 'application/pdf', 'image/png', 'text/plain', 'text/html', 'application/ics'],
    ...['text/csv; charset=utf-8', 'text/plain; charset="iso-8859-1"; format=flowed', 'message/rfc822'],
    ...[
      'application/x-thing; name=other.bin',
      'TEXT/Calendar;method=PUBLISH',
      `application/${'x'.repeat(240)}`,
    ],
  ),
  contentId: fc.constantFrom(null, null, 'logo@acme', 'a=b', 'c'.repeat(255)),
});

const header = fc.tuple(
  fc.constantFrom(
    'X-Ref',
    'X-Entity.Ref_1',
    `X-${'n'.repeat(50)}`,
    `X-${'n'.repeat(74)}`,
    'List-ID',
    'Comments',
  ),
  line(900).map((value) => value || 'x'),
);

const messageId = fc.constantFrom(
  '<a@b>',
  '<c,d@e>',
  '<no-at>',
  '<"q"@[127.0.0.1]>',
  `<${'r'.repeat(900)}@b>`,
);

const unsubscribe = fc.record({
  url: fc.constantFrom(null, 'https://acme.com/u?id=1&x=%C3%BC', `https://acme.com/${'u'.repeat(900)}`),
  email: fc.constantFrom('leave@acme.com?subject=leave%20now', 'a..b@docomo.ne.jp', 'jürgen@acme.com'),
  oneClick: fc.boolean(),
});

const calendar = fc.record({
  method: fc.constantFrom('REQUEST', 'CANCEL', 'REPLY'),
  content: fc.constantFrom(
    'BEGIN:VCALENDAR\nMETHOD:REQUEST\nSUMMARY:Grüße\nEND:VCALENDAR',
    'BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nSUMMARY:Hello\r\nEND:VCALENDAR\r\n',
  ),
});

const envelope: fc.Arbitrary<Envelope> = fc.record({
  from: mailbox,
  to: fc.array(mailbox, { maxLength: 5 }),
  cc: fc.array(mailbox, { maxLength: 2 }),
  bcc: fc.constant([]),
  subject: line(998),
});

const content: fc.Arbitrary<Content> = fc
  .record({
    replyTo: fc.array(mailbox, { maxLength: 2 }),
    text: fc.option(aBody),
    html: fc.option(aBody),
    attachments: fc.array(attachment, { maxLength: 3 }),
    calendar: fc.option(calendar, { freq: 2 }),
    headers: fc.array(header, { maxLength: 3 }).map((headers) => Object.fromEntries(headers)),
    inReplyTo: fc.option(messageId),
    references: fc.array(messageId, { maxLength: 40 }),
    unsubscribe: fc.option(unsubscribe, { freq: 2 }),
  })
  .map((all) => (all.text === null && all.html === null ? { ...all, text: '' } : all));

/** Messages as a client may ask for them, in every way that concerns how they are composed. */
export const aGeneratedJob: fc.Arbitrary<Job> = fc
  .record({ envelope, content })
  .map(({ envelope, content }) => ({
    id: ID,
    messageId: `<${ID}@acme.com>`,
    date: Date.UTC(2026, 10, 21, 9, 30),
    envelope,
    recipients: recipientsOf(envelope),
    content,
  }));
