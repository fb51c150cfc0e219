import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { z } from 'zod';
import { emailRequest } from '../../src/http/resend/schemas.ts';
import { sendRequest } from '../../src/http/schemas/send.ts';

const REQUESTS = Number(process.env.PARSED_REQUESTS ?? 2000);

/** Valid values are likely, so that many requests are valid as a whole. */
function mostly<Valid>(
  valid: fc.Arbitrary<Valid>,
  invalid: fc.Arbitrary<unknown> = odd,
): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 30, arbitrary: valid },
    { weight: 1, arbitrary: invalid },
    { weight: 1, arbitrary: odd },
  );
}

const odd = fc.constantFrom<unknown[]>(
  ...[null, '', 0, -1, 1e300, Number.NaN, true, false, [], {}, [null], [[]], { a: 1 }, 'x', '\0', '\ud800'],
);

const email = fc.constantFrom(
  ...[
    'ada@example.com',
    'Bob.Q+tag@Sub.Example.COM',
    'jürgen@exämple.de',
    '山田@例え.jp',
    'a..b@docomo.ne.jp',
  ],
  ...['x@xn--exmple-cua.de', `${'l'.repeat(64)}@example.org`, 'e\u0301@example.com'],
);
const notEmail = fc.constantFrom(
  ...['ada', 'ada@', '@example.com', 'a b@example.com', 'ada@localhost', 'ada@10.0.0.1', 'a@b.c, d@e.f'],
  ...[
    'ada@example..com',
    'ada@xn--a.com',
    'ada@ex\u00adample.com',
    '"a b"@example.com',
    'ada@-x.com',
    'ada\n@x.com',
  ],
);
const name = fc.oneof(
  fc.constantFrom('Ada', '', ' Ada ', 'Müller, Ada', '😀', '"Ada"'),
  fc.string({ maxLength: 20 }),
);
const text = mostly(
  fc.oneof(
    email,
    email.map((address) => ` ${address} `),
    fc.tuple(name, email).map(([shown, address]) => `${JSON.stringify(shown)} <${address}>`),
    email.map((address) => `Ada <${address}>`),
  ),
  fc.oneof(notEmail, fc.string()),
);
const mailbox = fc.oneof(
  text,
  fc.record(
    {
      email: mostly(email, notEmail),
      name: mostly(fc.oneof(name, fc.constant(null)), fc.string({ minLength: 250 })),
    },
    { requiredKeys: ['email'] },
  ),
);
const mailboxes = mostly(
  fc.oneof(mailbox, fc.array(mailbox, { minLength: 1, maxLength: 4 })),
  fc.oneof(
    mailbox.map((one) => Array.from({ length: 101 }, () => one)),
    fc.record({ name }),
  ),
);

const line = mostly(
  fc.oneof(fc.string({ minLength: 1 }), fc.string({ unit: 'grapheme' }), fc.constant('Your invoice')),
  fc.constantFrom('a\nb', 'a\u2028b', '\udc00', 'x'.repeat(999), '\u0085'),
);
const prose = mostly(fc.oneof(fc.constant('Hello\n'), fc.string({ unit: 'grapheme', minLength: 1 })));
const label = fc.oneof(fc.string({ maxLength: 10 }), fc.integer(), fc.double(), fc.boolean());
const key = fc.oneof(
  fc.string({ minLength: 1, maxLength: 8 }),
  fc.constantFrom('toString', '__proto__', 'flow'),
);
const labels = mostly(
  fc.dictionary(key, label, { maxKeys: 5, noNullPrototype: true }),
  fc.constantFrom(
    { '': 'x' },
    { flow: null },
    { flow: 2 ** 60 },
    { flow: 'x'.repeat(513) },
    { ['k'.repeat(65)]: 1 },
  ),
);
const headers = mostly(
  fc.dictionary(
    fc.constantFrom('X-Ref', 'x-a.b', 'Keywords', 'Precedence', 'X-1'),
    fc.constantFrom('42', 'bulk', 'é'),
    {
      noNullPrototype: true,
    },
  ),
  fc.constantFrom(
    ...[
      { From: 'x' },
      { 'X-A': '1', 'x-a': '2' },
      { 'X-A': 'a\nb' },
      { 'X-A': 1 },
      { precedence: 'é' },
      { 'X A': '1' },
    ],
    ...[{ 'List-Unsubscribe': '<https://acme.com/u>' }, { 'In-Reply-To': '<1@x.com>' }],
  ),
);
const time = mostly(
  fc.constantFrom(
    '2027-01-01T09:00:00Z',
    '2027-01-01T10:00:00.5+01:00',
    '2020-01-01T00:00:00Z',
    '2026-12-31T23:59Z',
  ),
  fc.constantFrom('2027-01-01', 'tomorrow', '2027-01-01T09:00:00', '2027-13-01T09:00:00Z', 1_798_000_000),
);
const messageId = mostly(
  fc.constantFrom('<1@example.com>', '1@example.com', ' <<a>> '),
  fc.constantFrom('a b', '<>', 'é'),
);
const attachment = mostly(
  fc.record(
    {
      filename: mostly(
        fc.constantFrom('a.pdf', 'ü.txt', 'x.exe.txt'),
        fc.constantFrom('a.exe', 'a/b.pdf', 'x\n.pdf'),
      ),
      content: mostly(
        fc.oneof(fc.base64String(), fc.uint8Array({ maxLength: 9 })),
        fc.constantFrom('a', 'data:text/plain;base64,YQ==', 'YQ=', 'Y Q=', 'Y-_='),
      ),
      content_type: mostly(
        fc.constantFrom('application/pdf', 'text/plain; charset=utf-8'),
        fc.constantFrom('pdf', 'multipart/mixed'),
      ),
      content_id: mostly(fc.constantFrom('logo', 'a@b'), fc.constantFrom('<logo>', 'a b')),
    },
    { requiredKeys: ['filename', 'content'] },
  ),
);
const invitation = (method: string) => `BEGIN:VCALENDAR\nMETHOD:${method}\nEND:VCALENDAR`;

/** The fields that both APIs have. */
const FIELDS = {
  from: mostly(mailbox, fc.constant('a@example.com, b@example.com')),
  to: mailboxes,
  cc: mailboxes,
  bcc: mailboxes,
  reply_to: mailboxes,
  subject: line,
  html: prose,
  text: prose,
  attachments: mostly(fc.array(attachment, { maxLength: 3 })),
  headers,
  in_reply_to: messageId,
  references: mostly(fc.oneof(fc.array(messageId, { maxLength: 3 }), fc.constant('<1@x.com>\r\n <2@x.com>'))),
  unsubscribe: mostly(
    fc.record(
      {
        url: mostly(
          fc.constantFrom('https://acme.com/u?a=ü', 'HTTPS://ACME.COM'),
          fc.constantFrom('http://acme.com', 'https://'),
        ),
        email: mostly(fc.constantFrom('leave@acme.com?subject=leave', 'mailto:leave%2Bx@acme.com'), notEmail),
        one_click: mostly(fc.boolean()),
      },
      { requiredKeys: ['url'] },
    ),
  ),
  scheduled_at: time,
};
const SEND_FIELDS = {
  ...FIELDS,
  template: mostly(
    fc.record({
      id: fc.constantFrom('welcome', '_x', ''),
      variables: fc.constantFrom({}, [], { a: [1] }, null),
    }),
  ),
  calendar: mostly(
    fc.record({
      method: fc.constantFrom('REQUEST', 'CANCEL', 'PUBLISH'),
      content: mostly(
        fc.constantFrom(invitation('REQUEST'), invitation('CANCEL')),
        fc.constant('BEGIN:VCALENDAR'),
      ),
    }),
  ),
  tags: labels,
  metadata: labels,
  expires_at: time,
  priority: mostly(fc.constantFrom('high', 'normal')),
  dry_run: mostly(fc.boolean()),
};
const EMAIL_FIELDS = {
  ...FIELDS,
  template: SEND_FIELDS.template,
  attachments: mostly(
    fc.array(
      fc
        .tuple(attachment, mostly(fc.constant({}), fc.constant({ path: 'https://acme.com/a.pdf' })))
        .map(([file, path]) => ({
          ...(file as object),
          ...(path as object),
        })),
      { maxLength: 2 },
    ),
  ),
  tags: mostly(fc.array(fc.record({ name: mostly(key), value: mostly(label) }), { maxLength: 3 })),
  topic_id: mostly(fc.constantFrom(null, ''), fc.constant('news')),
};

/** Requests with a few of the fields, most of them with those of a usual one, in any order. */
function requests(fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<unknown> {
  const names = Object.keys(fields);
  const usual = fc.constantFrom(
    ['to', 'subject', 'text'],
    ['from', 'to', 'subject', 'html', 'text'],
    ['to', 'template'],
  );
  const extra = fc.uniqueArray(fc.constantFrom(...names, 'unknown', '__proto__'), { maxLength: 4 });
  const chosen = fc.oneof({ weight: 9, arbitrary: usual }, { weight: 1, arbitrary: fc.constant([]) });
  const request = fc.tuple(chosen, extra).chain(([first, more]) => {
    const own = [...new Set([...first, ...more])];
    return (
      fc
        .tuple(
          ...own.map(
            (field) => (Object.hasOwn(fields, field) ? fields[field] : undefined) ?? fc.constant('x'),
          ),
        )
        // As JSON.parse would, so that "__proto__" becomes a field of its own.
        .map((values) => Object.fromEntries(own.map((field, i) => [field, values[i]])))
    );
  });
  return fc.oneof({ weight: 60, arbitrary: request }, { weight: 1, arbitrary: odd });
}

/** zod parses asynchronously without the compiled schema. */
async function expectSameResult(schema: z.ZodType, request: unknown): Promise<boolean> {
  const compiled = schema.safeParse(request, { reportInput: true });
  const plain = await schema.safeParseAsync(request, { reportInput: true });
  expect(compiled.data).toStrictEqual(plain.data);
  expect(JSON.stringify(compiled.data)).toBe(JSON.stringify(plain.data));
  expect(compiled.error?.issues).toStrictEqual(plain.error?.issues);
  return plain.success;
}

test.each([
  ['POST /send', sendRequest, SEND_FIELDS],
  ['POST /emails', emailRequest, EMAIL_FIELDS],
] as const)(
  'the compiled schema of %s parses and refuses what the schema does',
  async (_route, schema, fields) => {
    let valid = 0;
    await fc.assert(
      fc.asyncProperty(requests(fields), async (request) => {
        if (await expectSameResult(schema, request)) valid += 1;
      }),
      { numRuns: REQUESTS },
    );
    expect(valid).toBeGreaterThan(REQUESTS / 5);
    expect(valid).toBeLessThan((REQUESTS * 4) / 5);
  },
);
