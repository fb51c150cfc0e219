import fc from 'fast-check';

/** Characters that would end a header, a command or an address. */
const BREAKS = ['\r\n', '\n', '\r', '\0', '\u0085', '\u2028', '\u2029', '\v', '\x7f', '\x1b', '\t', '\ud800'];
const INJECTIONS = [
  'Bcc: eve@evil.test',
  'RCPT TO:<eve@evil.test>',
  '.\r\nMAIL FROM:<eve@evil.test>',
  'X: y\r\n\r\n<b>',
];

/** Text with a line break and often an injection after it. Never valid in a header. */
const breaking = fc
  .tuple(
    fc.string({ maxLength: 12 }),
    fc.constantFrom(...BREAKS),
    fc.constantFrom('', ...INJECTIONS),
    fc.string({ maxLength: 12 }),
  )
  .map((parts) => parts.join(''));

/** Characters with a meaning in some syntax, and invisible ones. */
const TRICKY = [
  ...'"\\\'<>()[],;:@%=?#&/.-_|`$ ',
  // Invisible, bidirectional, full-width, combining
  ...'\u200b\u200d\u2060\ufeff\u00ad\u202e\u2066\u200f\u{e0041}\uff20\uff0e\u3002\uff1c\u0338\u0301\u00a0',
  ...['é', 'ß', 'ñ', '日本語', 'עברית', '😀', '👩‍👩‍👧', 'ﬁ', 'Ⅸ', 'ı', 'İ', '..', '   '],
  ...[
    '=?utf-8?q?eve=40evil.test?=',
    '=?utf-8?b?DQpCY2M6IGV2ZUBldmlsLnRlc3Q=?=',
    '%0d%0aBcc:',
    '\\r\\n',
    '&#13;&#10;',
  ],
  ...['eve@evil.test', '<eve@evil.test>', 'constructor', 'Bcc', 'undefined'],
  ...['a'.repeat(80), 'wide '.repeat(60), ' '.repeat(80), '"'.repeat(70), 'é'.repeat(60)],
];

const piece = fc.oneof(
  fc.constantFrom(...TRICKY),
  fc.string({ minLength: 1, maxLength: 8 }),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 4 }),
);

/** Unusual text of one line that is valid in a header. */
const oddText = fc
  .array(piece, { minLength: 1, maxLength: 8 })
  .map((pieces) => pieces.join('').replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/gu, '') || 'odd');

const local = fc.constantFrom(
  'ada',
  'bob.b',
  'carol+tag',
  'Dave',
  "o'hara",
  'eve=1',
  'jürgen',
  'a',
  'x'.repeat(64),
  '用户',
);
const domain = fc.constantFrom(
  'example.com',
  'Example.ORG',
  'sub.example.net',
  'bücher.example',
  'xn--bcher-kva.example',
  'münchen.example',
);
const goodEmail = fc.tuple(local, domain).map(([before, after]) => `${before}@${after}`);

const MISFITS = [
  ...['', '@', 'ada', 'ada@', '@example.com', 'ada..b@example.com', 'ada@example.com.'],
  ...['ada@localhost', 'ada@127.0.0.1', 'ada@[127.0.0.1]'],
  ...[
    'ada@example.com, eve@evil.test',
    'ada@example.com;eve@evil.test',
    'ada@example.com eve@evil.test',
    'team: eve@evil.test;',
  ],
  ...[
    '<eve@evil.test> ada@example.com',
    'ada@example.com <eve@evil.test>',
    '"ada@example.com" <eve@evil.test>',
  ],
  ...[
    'Ada <ada@example.com> <eve@evil.test>',
    '"eve@evil.test\\"@x"@example.com',
    'ada(eve@evil.test)@example.com',
  ],
  ...[
    'ada@example.com\r\nBcc: eve@evil.test',
    'ada@example.com> SIZE=1',
    'ada@exa\u200bmple.com',
    'ada\uff20example.com',
  ],
  ...[
    'ada@\uff45vil.test',
    'ada@evil\u3002test',
    'ada@evil.test\u2060',
    '\u202eada@example.com',
    `${'x'.repeat(65)}@example.com`,
  ],
  ...[`ada@${'x'.repeat(64)}.com`, `ada@${'x.'.repeat(130)}com`, `${'a'.repeat(20_000)}@example.com`],
];

/** An address with something invalid in it or around it. */
const badEmail = fc.oneof(
  fc.constantFrom(...MISFITS),
  fc.tuple(goodEmail, fc.nat(), fc.oneof(fc.constantFrom(...TRICKY), breaking)).map(([address, at, odd]) => {
    const where = at % (address.length + 1);
    return address.slice(0, where) + odd + address.slice(where);
  }),
);

const email = fc.oneof({ weight: 4, arbitrary: goodEmail }, { weight: 1, arbitrary: badEmail });

/** One address in any of the accepted notations. */
const mailbox = fc.oneof(
  email,
  fc.tuple(oddText, email).map(([name, address]) => `"${name.replace(/["\\]/g, '\\$&')}" <${address}>`),
  fc
    .tuple(fc.constantFrom('Ada', 'Ada L.', 'Дарья', ''), email)
    .map(([name, address]) => `${name} <${address}>`),
  fc.record({ email, name: fc.oneof({ weight: 5, arbitrary: oddText }, { weight: 1, arbitrary: breaking }) }),
);

const displayName = oddText.map((name) => [...name].slice(0, 100).join(''));
const goodMailbox = fc.oneof(goodEmail, fc.record({ email: goodEmail, name: displayName }));

export type Item = string | { email: string; name: string };

/** The fields of POST /send that become headers and addresses. */
export interface Request {
  from?: Item;
  to: Item[];
  cc?: Item[];
  bcc?: Item[];
  reply_to?: Item[];
  subject: string;
  text: string;
  html?: string;
  headers?: Record<string, string>;
  attachments?: { filename: string; content: string; content_id?: string }[];
  in_reply_to?: string;
  references?: string[];
  unsubscribe?: { url?: string; email?: string };
  tags?: Record<string, string>;
}

/** Must never appear in a mail. */
export const TAG = 'a-tag-that-stays-here';

const few = <T>(item: fc.Arbitrary<T>, minLength = 0) => fc.array(item, { minLength, maxLength: 3 });
const messageId = fc.constantFrom('<first@acme.com>', '<a.b+c=d@[x]>', `<${'x'.repeat(200)}@acme.com>`);
const headerName = fc.constantFrom(
  'X-Entity-Ref',
  'x-lower',
  'X-Bcc',
  'Organization',
  'Comments',
  `X-${'y'.repeat(74)}`,
);
const filename = oddText.map((name) => `${[...name.replace(/[/\\]/g, '-')].slice(0, 100).join('')}.txt`);
const content = fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes).toString('base64'));
const text = fc
  .array(
    fc.oneof(
      oddText,
      fc.constantFrom('.', '..', '.\r\n', '', 'From me', '--', 'word '.repeat(300), 'w'.repeat(3000)),
    ),
    {
      maxLength: 6,
    },
  )
  .map((lines) => `Hello.\n${lines.join('\n')}\nBye.`);

/** A valid request with unusual text in every field. */
export const goodRequest: fc.Arbitrary<Request> = fc.record(
  {
    from: goodMailbox,
    to: few(goodMailbox, 1),
    cc: few(goodMailbox),
    bcc: few(goodMailbox),
    reply_to: few(goodMailbox),
    subject: oddText,
    text,
    html: fc.constantFrom('<p>Hello</p>', '<p>é</p>'.repeat(200)),
    headers: fc.dictionary(headerName, oddText, { maxKeys: 3 }),
    attachments: few(fc.record({ filename, content })),
    in_reply_to: messageId,
    references: few(messageId),
    unsubscribe: fc.constantFrom(
      { url: 'https://acme.com/u?a=b,c' },
      { email: 'unsubscribe@acme.com' },
      { url: 'https://acme.com/"<>é' },
    ),
    tags: fc.constant({ flow: TAG }),
  },
  { requiredKeys: ['to', 'subject', 'text'] },
);

const line = fc.oneof(breaking, oddText);
const badHeaderName = fc.oneof(
  fc.constantFrom('Bcc', 'To', 'X-A: b', 'X A', 'X-A\r\nBcc', 'Content-Type'),
  line,
);

/** One field that must be refused or be harmless. */
export const hostilePatch: fc.Arbitrary<Partial<Request>> = fc.oneof(
  fc.record({ from: mailbox }),
  fc.record({ to: few(mailbox, 1) }),
  fc.record({ cc: few(mailbox, 1) }),
  fc.record({ bcc: few(mailbox, 1) }),
  fc.record({ reply_to: few(mailbox, 1) }),
  fc.record({ subject: line }),
  fc.record({
    headers: fc.dictionary(fc.oneof(headerName, badHeaderName), line, { minKeys: 1, maxKeys: 2 }),
  }),
  fc.record({
    attachments: few(fc.record({ filename: line, content_id: line, content: fc.constant('aGk=') }), 1),
  }),
  fc.record({
    in_reply_to: fc.oneof(
      line,
      line.map((odd) => `<first${odd}@acme.com>`),
    ),
  }),
  fc.record({
    references: few(
      fc.oneof(
        line,
        line.map((odd) => `<first@acme.com> ${odd}`),
      ),
      1,
    ),
  }),
  fc.record({
    unsubscribe: fc.oneof(
      fc.record({ url: line.map((odd) => `https://acme.com/${odd}`) }),
      fc.record({ email }),
    ),
  }),
);
