import { describe, expect, test } from 'vitest';
import { type AppUnderTest, CRM, MAIL, startApp } from '../helpers/app.ts';

interface FieldError {
  readonly pointer: string;
  readonly code: string;
  readonly detail: string;
}

async function refusal(
  app: AppUnderTest,
  body: unknown,
): Promise<{ code: string; detail: string; errors: FieldError[] }> {
  const answer = await app.send(body);
  expect(answer.statusCode).toBe(422);
  return answer.json();
}

const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();

describe('what POST /send refuses', () => {
  test.each([
    ['a body that is not an object', [MAIL], '', 'invalid_type', 'Must be an object, not a list.'],
    ['a missing recipient', { ...MAIL, to: undefined }, '/to', 'required', 'required'],
    ['an empty list of recipients', { ...MAIL, to: [] }, '/to', 'too_few', 'at least one recipient'],
    [
      'recipients only in cc',
      { ...MAIL, to: [], cc: 'ada@example.com' },
      '/to',
      'too_few',
      'at least one recipient',
    ],
    ['a recipient of a wrong type', { ...MAIL, to: 5 }, '/to', 'invalid_type', 'or a list of these'],
    ['null as recipient', { ...MAIL, to: null }, '/to', 'invalid_type', 'Must be an address'],
    [
      'an invalid recipient in a list',
      { ...MAIL, to: ['ada@example.com', 5] },
      '/to/1',
      'invalid_type',
      'Must be one address',
    ],
    [
      'a list in a list',
      { ...MAIL, to: [['ada@example.com']] },
      '/to/0',
      'invalid_type',
      'Must be one address',
    ],
    ['an address without an @', { ...MAIL, to: 'ada' }, '/to', 'invalid_address', '@'],
    [
      'two addresses in one string',
      { ...MAIL, to: 'a@example.com, b@example.com' },
      '/to',
      'invalid_address',
      'one address per item',
    ],
    [
      'a name in place of a bare address',
      { ...MAIL, to: { email: 'A <a@example.com>' } },
      '/to/email',
      'invalid_address',
      'bracket',
    ],
    [
      'an address object without its address',
      { ...MAIL, to: { name: 'Ada' } },
      '/to/email',
      'required',
      'required',
    ],
    [
      'a number as address',
      { ...MAIL, to: [{ email: 5 }] },
      '/to/0/email',
      'invalid_type',
      'Must be a string, not a number.',
    ],
    [
      'a line break in a name',
      { ...MAIL, to: { email: 'a@example.com', name: 'A\r\nBcc: x@evil.example' } },
      '/to/name',
      'invalid_address',
      'control',
    ],
    [
      'a line break in an address',
      { ...MAIL, cc: 'a@example.com\r\nRCPT TO:<x@evil.example>' },
      '/cc',
      'invalid_address',
      'control',
    ],
    ['several senders', { ...MAIL, from: ['a@acme.com'] }, '/from', 'invalid_type', 'Must be one address'],
    ['a missing subject', { ...MAIL, subject: undefined }, '/subject', 'required', 'required'],
    ['an empty subject', { ...MAIL, subject: '' }, '/subject', 'too_short', 'Must not be empty'],
    [
      'a subject too long for a header',
      { ...MAIL, subject: 'x'.repeat(999) },
      '/subject',
      'too_long',
      'at most 998 characters',
    ],
    [
      'a line break in the subject',
      { ...MAIL, subject: 'a\nBcc: x@evil.example' },
      '/subject',
      'control_character',
      'line break',
    ],
    [
      'half a character in the subject',
      { ...MAIL, subject: 'a\ud83d' },
      '/subject',
      'control_character',
      'surrogate',
    ],
    [
      'half a character in the text',
      '{"to":"a@example.com","subject":"x","text":"\\ud83d"}',
      '/text',
      'invalid_unicode',
      'surrogate',
    ],
    [
      'neither html nor text',
      { ...MAIL, text: undefined },
      '',
      'required',
      'Set html, text or both; or a template.',
    ],
    [
      'an unknown priority',
      { ...MAIL, priority: 'low' },
      '/priority',
      'invalid_value',
      'Must be "high" or "normal".',
    ],
    [
      'a string in place of a boolean',
      { ...MAIL, dry_run: 'yes' },
      '/dry_run',
      'invalid_type',
      'Must be true or false, not a string.',
    ],
    [
      'two Message-IDs in one string',
      { ...MAIL, references: ['<a@b> <c@d>'] },
      '/references/0',
      'invalid_format',
      'angle brackets',
    ],
    [
      'a line break in a Message-ID',
      { ...MAIL, references: ['<a@b>\r\nX: y'] },
      '/references/0',
      'invalid_format',
      'angle brackets',
    ],
    [
      'an empty unsubscribe',
      { ...MAIL, unsubscribe: {} },
      '/unsubscribe',
      'required',
      'Set url, email or both.',
    ],
    [
      'an unsubscribe link without TLS',
      { ...MAIL, unsubscribe: { url: 'http://a.example/' } },
      '/unsubscribe/url',
      'invalid_url',
      'https',
    ],
    [
      'an unsubscribe link that is too long for a header line once it is encoded',
      { ...MAIL, unsubscribe: { url: `https://a.example/${'ü'.repeat(170)}` } },
      '/unsubscribe/url',
      'too_long',
      'at most 994 characters once it is percent-encoded',
    ],
    [
      'one-click without a link',
      { ...MAIL, unsubscribe: { email: 'u@a.example', one_click: true } },
      '/unsubscribe/one_click',
      'required',
      'url',
    ],
    [
      'a calendar that is no iCalendar object',
      { ...MAIL, calendar: { method: 'REQUEST', content: 'Come at noon\nMETHOD:REQUEST' } },
      '/calendar/content',
      'invalid_format',
      'BEGIN:VCALENDAR',
    ],
    [
      'a calendar with another method',
      { ...MAIL, calendar: { method: 'CANCEL', content: 'BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR' } },
      '/calendar/content',
      'conflict',
      'METHOD:CANCEL',
    ],
    [
      'a calendar without a method in it',
      { ...MAIL, calendar: { method: 'REPLY', content: 'BEGIN:VCALENDAR\r\nEND:VCALENDAR' } },
      '/calendar/content',
      'conflict',
      'add the line METHOD:REPLY',
    ],
    [
      'an unknown calendar method',
      { ...MAIL, calendar: { method: 'PUBLISH', content: 'BEGIN:VCALENDAR\nMETHOD:PUBLISH\nEND:VCALENDAR' } },
      '/calendar/method',
      'invalid_value',
      'REQUEST',
    ],
    [
      'a tag that is not a string',
      { ...MAIL, tags: { a: null } },
      '/tags/a',
      'invalid_type',
      'Must be a string, not null.',
    ],
    [
      'a tag whose name is too long',
      { ...MAIL, tags: { ['k'.repeat(65)]: 'v' } },
      `/tags/${'k'.repeat(65)}`,
      'too_long',
      'at most 64 characters',
    ],
    [
      'metadata that is too long',
      { ...MAIL, metadata: { a: 'v'.repeat(513) } },
      '/metadata/a',
      'too_long',
      'at most 512 characters',
    ],
    [
      'a time without an offset',
      { ...MAIL, scheduled_at: '2027-01-01T09:00:00' },
      '/scheduled_at',
      'invalid_format',
      'offset',
    ],
    [
      'a day that does not exist',
      { ...MAIL, expires_at: '2027-02-30T09:00:00Z' },
      '/expires_at',
      'invalid_format',
      'date and time',
    ],
    [
      'a schedule years ahead',
      { ...MAIL, scheduled_at: '2999-01-01T00:00:00Z' },
      '/scheduled_at',
      'out_of_range',
      'a year ahead',
    ],
    [
      'an expiry in the past',
      { ...MAIL, expires_at: '2020-01-01T00:00:00Z' },
      '/expires_at',
      'out_of_range',
      'in the future',
    ],
    [
      'an expiry before the schedule',
      { ...MAIL, scheduled_at: inHours(2), expires_at: inHours(1) },
      '/expires_at',
      'out_of_range',
      'later than scheduled_at',
    ],
  ])('%s', async (_, body, pointer, code, words) => {
    await using app = await startApp();
    const { errors } = await refusal(app, body);
    expect(errors).toEqual([{ pointer, code, detail: expect.stringContaining(words) }]);
    expect(app.accepted).toEqual([]);
  });

  test.each([
    ['a header behind a line break', 'leave@acme.com?subject=x\r\nBcc: eve@evil.test'],
    ['an encoded line break', 'mailto:leave%0d%0a@acme.com'],
    ['a broken encoding', 'mailto:%zz@acme.com'],
    ['a query alone', 'mailto:?to=leave@acme.com'],
    ['two addresses', 'mailto:a@acme.com,b@acme.com?subject=x'],
    ['a query too long for one line', `leave@acme.com?subject=${'ü'.repeat(200)}`],
    ['a megabyte', `${'x'.repeat(1_000_000)}?`],
  ])('an invalid unsubscribe address: %s', async (_, email) => {
    await using app = await startApp();
    const { errors } = await refusal(app, { ...MAIL, unsubscribe: { email } });
    expect(errors).toMatchObject([{ pointer: '/unsubscribe/email', code: 'invalid_address' }]);
  });

  test.each([
    ['half a character', '\ud800', 'invalid_unicode'],
    ['half a character inside', 'a\udc00b', 'invalid_unicode'],
    ['NUL', 'a\0b', 'control_character'],
  ])('%s in text, html, tags and metadata, in names and values', async (_, text, code) => {
    await using app = await startApp();
    const { errors } = await refusal(app, {
      ...MAIL,
      text,
      html: text,
      tags: { a: text, [text]: 'v' },
      metadata: { a: text, [text]: 'v' },
    });
    expect(errors.map((error) => [error.pointer, error.code])).toEqual(
      ['/html', '/text', '/tags/a', `/tags/${text}`, '/metadata/a', `/metadata/${text}`].map((pointer) => [
        pointer,
        code,
      ]),
    );
    const resend = { ...MAIL, from: 'no-reply@acme.com', tags: [{ name: text, value: text }] };
    const answer = await app.inject({ method: 'POST', url: '/emails', headers: CRM, body: resend });
    expect([answer.statusCode, answer.json().errors.map(({ pointer }: FieldError) => pointer)]).toEqual([
      422,
      ['/tags/0/name', '/tags/0/value'],
    ]);
  });

  test('no other character of text and tags', async () => {
    await using app = await startApp();
    const odd = 'a\n\t\x01\u2028\ufffe😀';
    expect(
      (await app.send({ ...MAIL, text: odd, tags: { [odd]: odd }, metadata: { [odd]: odd } })).statusCode,
    ).toBe(202);
  });

  test('more than 50 entries in a map', async () => {
    await using app = await startApp();
    const map = Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`X-${i}`, 'v']));
    const { errors } = await refusal(app, { ...MAIL, tags: map, metadata: map, headers: map });
    expect(errors.map(({ pointer, code }) => [pointer, code])).toEqual([
      ['/headers', 'too_many'],
      ['/tags', 'too_many'],
      ['/metadata', 'too_many'],
    ]);
  });

  test('more than 100 recipients in total', async () => {
    await using app = await startApp();
    const list = (count: number) => Array.from({ length: count }, (_, i) => `a${i}@example.com`);
    const { errors } = await refusal(app, { ...MAIL, to: list(50), cc: list(50), bcc: 'one@example.com' });
    expect(errors).toEqual([
      { pointer: '/to', code: 'too_many', detail: expect.stringContaining('101 recipients') },
    ]);
    expect((await app.send({ ...MAIL, to: list(50), cc: list(50) })).statusCode).toBe(202);
  });

  test.each([
    ['subjct', 'subject'],
    ['replyTo', 'reply_to'],
    ['Attachment', 'attachments'],
    ['scheduledat', 'scheduled_at'],
  ])('the unknown field %s, with the nearest name %s', async (field, nearest) => {
    await using app = await startApp();
    const { errors } = await refusal(app, { ...MAIL, [field]: 'x' });
    expect(errors).toEqual([
      {
        pointer: `/${field}`,
        code: 'unknown_field',
        detail: `There is no such field. Did you mean "${nearest}"?`,
      },
    ]);
  });

  test('an unknown field far from every name, with a list of the fields', async () => {
    await using app = await startApp();
    const { errors } = await refusal(app, { ...MAIL, zzzzzz: 1 });
    expect(errors[0]?.detail).toContain('The fields are: from, to, cc, bcc, reply_to, subject,');
  });

  test('unknown nested fields', async () => {
    await using app = await startApp();
    const { errors } = await refusal(app, {
      ...MAIL,
      to: [{ email: 'ada@example.com', nam: 'Ada' }],
      unsubscribe: { url: 'https://a.example/', oneClick: true },
      attachments: [{ filename: 'a.pdf', content: '', contentType: 'text/plain', path: '/etc/passwd' }],
    });
    expect(errors.map(({ pointer, detail }) => [pointer, /"(.+)"|The fields are/.exec(detail)?.[0]])).toEqual(
      [
        ['/to/0/nam', '"name"'],
        ['/attachments/0/contentType', '"content_type"'],
        ['/attachments/0/path', 'The fields are'],
        ['/unsubscribe/oneClick', '"one_click"'],
      ],
    );
  });

  test('every error at once, each with a pointer', async () => {
    await using app = await startApp();
    const problem = await refusal(app, {
      to: ['ada', 'bob@example.com', { email: 'carol' }],
      tags: { 'a/b~c': [] },
      expires_at: '2020-01-01T00:00:00Z',
      scheduled_at: '2999-01-01T00:00:00Z',
      subjct: 'x',
    });
    expect(problem.code).toBe('validation_failed');
    expect(problem.detail).toMatch(/^\/to\/0: .* \(and \d more, see errors\)$/);
    expect(problem.errors.map(({ pointer }) => pointer)).toEqual([
      '/to/0',
      '/to/2/email',
      '/tags/a~1b~0c',
      '/subjct',
      '',
      '/subject',
      '/expires_at',
      '/scheduled_at',
      '/expires_at',
    ]);
  });

  test('no error has a default text of zod', async () => {
    await using app = await startApp();
    const odd = [null, 5, 'x', true, [], {}, [null], [5], { x: 1 }];
    const fields = [
      'from',
      'to',
      'cc',
      'bcc',
      'reply_to',
      'subject',
      'html',
      'text',
      'attachments',
      'headers',
      'in_reply_to',
      'references',
    ].concat(['unsubscribe', 'tags', 'metadata', 'scheduled_at', 'expires_at', 'priority', 'dry_run']);
    for (const field of fields) {
      for (const value of odd) {
        const answer = await app.send({ ...MAIL, [field]: value });
        for (const { detail } of (answer.json().errors ?? []) as FieldError[]) {
          expect(detail).toMatch(/^[A-Z].*[.?]$/);
          expect(detail).not.toMatch(/invalid input|expected|received|zod|undefined/i);
        }
      }
    }
  });

  test('at most a hundred errors are listed', async () => {
    await using app = await startApp();
    const { errors } = await refusal(app, {
      ...MAIL,
      ...Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`x${i}`, i])),
    });
    expect(errors).toHaveLength(100);
  });

  test('an error does not quote a huge key', async () => {
    await using app = await startApp();
    const answer = await app.send({ ...MAIL, ['k'.repeat(1_000_000)]: 1 });
    expect(answer.statusCode).toBe(422);
    expect(answer.body.length).toBeLessThan(2000);
  });
});

describe('headers', () => {
  test.each(['X-Campaign', 'x-campaign_2.b', 'List-ID', 'AUTO-SUBMITTED', 'Precedence', 'Feedback-ID'])(
    '%s can be set',
    async (name) => {
      await using app = await startApp();
      expect((await app.send({ ...MAIL, headers: { [name]: 'v' } })).statusCode).toBe(202);
      expect(app.accepted[0]?.draft.content.headers).toEqual({ [name]: 'v' });
    },
  );

  test.each([
    'From',
    'to',
    'CC',
    'Bcc',
    'Reply-To',
    'Sender',
    'Subject',
    'Date',
    'Message-ID',
    'In-Reply-To',
    'References',
    'Content-Type',
    'Content-Transfer-Encoding',
    'MIME-Version',
    'Received',
    'Return-Path',
    'DKIM-Signature',
    'ARC-Seal',
    'Authentication-Results',
    'List-Unsubscribe',
    'List-Unsubscribe-Post',
    'Resent-To',
    'Disposition-Notification-To',
    '',
    'X-',
    'X A',
    'X-A:',
    'X-A\r\nBcc',
    'X-Ä',
    'Foo',
    'constructor',
  ])('%j cannot be set', async (name) => {
    await using app = await startApp();
    const { errors } = await refusal(app, { ...MAIL, headers: { [name]: 'v' } });
    expect(errors).toEqual([
      {
        pointer: `/headers/${name}`,
        code: 'header_not_allowed',
        detail: expect.stringMatching(/use the field "\w+"|^Only X-… headers/),
      },
    ]);
  });

  test('a header with its own field is refused with the name of the field', async () => {
    await using app = await startApp();
    const { errors } = await refusal(app, {
      ...MAIL,
      headers: { 'Reply-To': 'a@example.com', 'List-Unsubscribe': '<x>' },
    });
    expect(errors.map(({ detail }) => /"(.+)"/.exec(detail)?.[1])).toEqual(['reply_to', 'unsubscribe']);
  });

  test.each([
    ['a line break', 'a\r\nBcc: x@evil.example', 'control_character'],
    ['an object', { prepared: true, value: 'x' }, 'invalid_type'],
    ['a list', ['a', 'b'], 'invalid_type'],
    ['a number', 5, 'invalid_type'],
    ['nothing', '', 'too_short'],
    ['more than a line', 'x'.repeat(901), 'too_long'],
  ])('%s is refused as value', async (_, value, code) => {
    await using app = await startApp();
    const { errors } = await refusal(app, { ...MAIL, headers: { 'X-A': value } });
    expect(errors).toMatchObject([{ pointer: '/headers/X-A', code }]);
  });

  test('the same header twice in different case is refused', async () => {
    await using app = await startApp();
    const { errors } = await refusal(app, { ...MAIL, headers: { 'X-A': '1', 'x-a': '2' } });
    expect(errors).toMatchObject([{ pointer: '/headers', code: 'duplicate_header' }]);
  });
});
