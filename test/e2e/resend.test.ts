import PostalMime from 'postal-mime';
import { type CreateEmailOptions, Resend } from 'resend';
import { describe, expect, test } from 'vitest';
import { API_KEY } from '../helpers/service.ts';
import { startWithGmail, type WithGmail } from '../helpers/smtp/gmail.ts';

const FROM = 'Bot <bot@simulator.test>';
const HELLO = { from: FROM, to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };

/** The unmodified public SDK with this service as its base URL. */
function sdkOf({ service }: WithGmail, key = API_KEY): Resend {
  return new Resend(key, { baseUrl: service.url });
}

const inAnHour = (hours = 1) => new Date(Date.now() + hours * 3_600_000).toISOString();

/** Returns the id of an accepted email. Rejects with the error otherwise. */
async function idOf(answer: Promise<{ data: { id: string } | null; error: unknown }>): Promise<string> {
  const { data, error } = await answer;
  if (data === null) throw new Error(JSON.stringify(error));
  return data.id;
}

describe('the Resend SDK sends', () => {
  test('one email, which arrives as requested', async () => {
    await using app = await startWithGmail();
    const id = await idOf(
      sdkOf(app).emails.send({
        from: FROM,
        to: ['ada@example.com', 'Bob <bob@example.com>'],
        cc: 'carol@example.com',
        bcc: ['dave@example.com'],
        replyTo: 'help@simulator.test',
        subject: 'Your invoice',
        html: '<p>Here it is: <img src="cid:logo"></p>',
        attachments: [
          { filename: 'invoice.pdf', content: Buffer.from('%PDF-1.4'), contentType: 'application/pdf' },
          { filename: 'logo.png', content: Buffer.from('PNG').toString('base64'), contentId: 'logo' },
        ],
        headers: { 'X-Entity-Ref-ID': '42' },
        tags: [{ name: 'flow', value: 'invoice' }],
      }),
    );
    expect(await app.service.settled(id)).toMatchObject({ status: 'sent', tags: { flow: 'invoice' } });
    const [arrived] = app.gmail.messages;
    expect(arrived?.recipients).toEqual([
      'ada@example.com',
      'bob@example.com',
      'carol@example.com',
      'dave@example.com',
    ]);
    const mail = await PostalMime.parse(arrived?.raw ?? '');
    expect(mail).toMatchObject({
      from: { name: 'Bot', address: 'bot@simulator.test' },
      to: [{ address: 'ada@example.com' }, { name: 'Bob', address: 'bob@example.com' }],
      cc: [{ address: 'carol@example.com' }],
      replyTo: [{ address: 'help@simulator.test' }],
      subject: 'Your invoice',
      html: expect.stringContaining('<p>Here it is:'),
      text: expect.stringContaining('Here it is:'),
      messageId: `<${id}@simulator.test>`,
    });
    expect(mail).not.toHaveProperty('bcc');
    expect(mail.headers).toContainEqual(expect.objectContaining({ key: 'x-entity-ref-id', value: '42' }));
    const files = mail.attachments.map(({ filename, mimeType, contentId, content }) => [
      filename,
      mimeType,
      contentId,
      Buffer.from(content as ArrayBuffer).toString(),
    ]);
    expect(files).toEqual(
      expect.arrayContaining([
        ['invoice.pdf', 'application/pdf', undefined, '%PDF-1.4'],
        ['logo.png', 'image/png', '<logo>', 'PNG'],
      ]),
    );
    expect(files).toHaveLength(2);
  });

  test('with threading and unsubscribe headers, for which Resend has no fields', async () => {
    await using app = await startWithGmail();
    const id = await idOf(
      sdkOf(app).emails.send({
        ...HELLO,
        headers: {
          'In-Reply-To': '<2@example.com>',
          References: '<1@example.com> <2@example.com>',
          'List-Unsubscribe': '<https://acme.com/u/42>, <mailto:unsubscribe@acme.com?subject=unsubscribe>',
          'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
        },
      }),
    );
    await app.service.settled(id);
    const { headers } = await PostalMime.parse(app.gmail.messages[0]?.raw ?? '');
    expect(Object.fromEntries(headers.map(({ key, value }) => [key, value]))).toMatchObject({
      'in-reply-to': '<2@example.com>',
      references: '<1@example.com> <2@example.com>',
      'list-unsubscribe': '<https://acme.com/u/42>, <mailto:unsubscribe@acme.com?subject=unsubscribe>',
      'list-unsubscribe-post': 'List-Unsubscribe=One-Click',
    });
  });

  test('once per idempotency key, and gets an error when the key was used for another email', async () => {
    await using app = await startWithGmail();
    const { emails } = sdkOf(app);
    const options = { idempotencyKey: 'welcome/42' };
    const id = await idOf(emails.send(HELLO, options));
    const again = await emails.send(HELLO, options);
    expect(again.data).toEqual({ id });
    expect(again.headers).toMatchObject({ 'idempotency-replayed': 'true' });
    expect((await emails.send({ ...HELLO, subject: 'Another' }, options)).error).toMatchObject({
      name: 'invalid_idempotent_request',
      statusCode: 409,
      message: expect.stringContaining('Use a new Idempotency-Key'),
    });
    expect((await emails.send(HELLO, { idempotencyKey: 'two words' })).error).toMatchObject({
      name: 'invalid_idempotency_key',
      statusCode: 400,
    });
    await app.service.settled(id);
    expect(app.gmail.messages).toHaveLength(1);
  });
});

describe('the Resend SDK sends a batch', () => {
  const GOOD = [HELLO, { ...HELLO, to: ['bob@example.com'] }];
  const BAD = { ...HELLO, to: 'bob at example.com' };

  test('and gets the ids in the same order', async () => {
    await using app = await startWithGmail();
    const options = { idempotencyKey: 'batch-1' };
    const { data, error } = await sdkOf(app).batch.send(GOOD, options);
    expect(error).toBeNull();
    const ids = data?.data.map(({ id }) => id) ?? [];
    const sent = await Promise.all(ids.map((id) => app.service.settled(id)));
    expect(sent.map(({ to }) => to[0]?.email)).toEqual(['ada@example.com', 'bob@example.com']);
    const again = await sdkOf(app).batch.send(GOOD, options);
    expect(again.data).toEqual(data);
    expect(app.gmail.messages).toHaveLength(2);
  });

  test.each([
    ['an invalid address', BAD, 'validation_error', 422, /^\/2\/to: /],
    ['an invalid sender', { ...HELLO, from: 'Bot' }, 'invalid_from_address', 422, /^\/2\/from: /],
    [
      'a sender that the account does not own',
      { ...HELLO, from: 'boss@elsewhere.example' },
      'validation_error',
      403,
      /^\/2\/from: /,
    ],
    [
      'an attachment that Gmail blocks',
      withFile('setup.exe', 'MZ'),
      'invalid_attachment',
      422,
      /^\/2\/attachments\/0\/filename: /,
    ],
    [
      'a template that does not exist',
      { ...withoutText(), template: { id: 'none' } },
      'validation_error',
      422,
      /^\/2\/template\/id: /,
    ],
  ])('strictly: %s refuses the whole batch', async (_, bad, name, statusCode, message) => {
    await using app = await startWithGmail();
    const { data, error } = await sdkOf(app).batch.send([...GOOD, bad as typeof HELLO]);
    expect(data).toBeNull();
    expect(error).toMatchObject({ name, statusCode, message: expect.stringMatching(message) });
    expect((await sdkOf(app).emails.list()).data?.data).toEqual([]);
  });

  test('permissively: valid emails are sent, and invalid ones are reported by index', async () => {
    await using app = await startWithGmail();
    const { data, error } = await sdkOf(app).batch.send([HELLO, BAD, HELLO], {
      batchValidation: 'permissive',
    });
    expect(error).toBeNull();
    expect(data?.errors).toEqual([{ index: 1, message: expect.stringMatching(/^\/to: /) }]);
    expect(data?.data).toHaveLength(2);
    for (const { id } of data?.data ?? []) expect((await app.service.settled(id)).status).toBe('sent');
  });

  function withFile(filename: string, content: string) {
    return { ...HELLO, attachments: [{ filename, content: Buffer.from(content) }] };
  }
  function withoutText() {
    const { text: _, ...rest } = HELLO;
    return rest;
  }
});

describe('the Resend SDK schedules an email', () => {
  test('reads, reschedules and cancels it', async () => {
    await using app = await startWithGmail();
    const { emails } = sdkOf(app);
    const [first, second] = [inAnHour(1), inAnHour(2)];
    const id = await idOf(
      emails.send({ ...HELLO, tags: [{ name: 'flow', value: 'later' }], scheduledAt: first }),
    );
    const scheduled = await emails.get(id);
    expect(scheduled.data).toEqual({
      object: 'email',
      id,
      message_id: `<${id}@simulator.test>`,
      from: FROM,
      to: ['ada@example.com'],
      cc: [],
      bcc: [],
      reply_to: [],
      subject: 'Hello',
      html: null,
      text: 'Hello, Ada.',
      tags: [{ name: 'flow', value: 'later' }],
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      scheduled_at: first,
      last_event: 'scheduled',
    });
    expect((await emails.update({ id, scheduledAt: inAnHour(24 * 400) })).error).toMatchObject({
      name: 'validation_error',
      statusCode: 422,
    });
    expect((await emails.update({ id, scheduledAt: second })).data).toEqual({ object: 'email', id });
    expect((await emails.get(id)).data?.scheduled_at).toBe(second);
    expect((await emails.cancel(id)).data).toEqual({ object: 'email', id });
    expect((await emails.get(id)).data).toMatchObject({ last_event: 'canceled', text: null, reply_to: null });
    expect((await emails.cancel(id)).error).toMatchObject({ name: 'validation_error', statusCode: 409 });
    expect((await emails.update({ id, scheduledAt: first })).error).toMatchObject({
      name: 'validation_error',
      statusCode: 409,
    });
    expect(app.gmail.messages).toHaveLength(0);
  });

  test('but not in natural language: the error asks for ISO 8601', async () => {
    await using app = await startWithGmail();
    const { error } = await sdkOf(app).emails.send({ ...HELLO, scheduledAt: 'in 1 hour' });
    expect(error).toMatchObject({
      name: 'validation_error',
      statusCode: 422,
      message: expect.stringContaining('2027-01-01T09:00:00Z'),
    });
  });
});

describe('the Resend SDK reads', () => {
  test('the outcome of a sent email', async () => {
    await using app = await startWithGmail();
    const { emails } = sdkOf(app);
    const id = await idOf(
      emails.send({ ...HELLO, from: '"Doe, J." <bot@simulator.test>', replyTo: ['help@simulator.test'] }),
    );
    await app.service.settled(id);
    const { data } = await emails.get(id);
    expect(data).toMatchObject({
      id,
      last_event: 'sent',
      from: '"Doe, J." <bot@simulator.test>',
      html: null,
      text: null,
      scheduled_at: null,
    });
  });

  test('its emails page by page, newest first', async () => {
    await using app = await startWithGmail();
    const { emails } = sdkOf(app);
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.push(await idOf(emails.send({ ...HELLO, scheduledAt: inAnHour() })));
    const newest = (await emails.list({ limit: 2 })).data;
    expect([newest?.object, newest?.has_more]).toEqual(['list', true]);
    const rest = (await emails.list({ limit: 2, after: newest?.data[1]?.id ?? '' })).data;
    expect(rest?.has_more).toBe(false);
    const listed = [...(newest?.data ?? []), ...(rest?.data ?? [])].map(({ id }) => id);
    expect(new Set(listed)).toEqual(new Set(ids));
    expect(listed).toHaveLength(3);
    expect((await emails.list({ limit: 3 })).data?.has_more).toBe(false);
  });
});

describe('the Resend SDK gets a typed error', () => {
  const { text: _, ...WITHOUT_BODY } = HELLO;
  const { to: __, ...WITHOUT_TO } = HELLO;

  test.each([
    ['for an invalid recipient', { ...HELLO, to: 'ada' }, 'validation_error', 422],
    ['for a missing recipient', WITHOUT_TO, 'missing_required_field', 422],
    ['for a missing body', WITHOUT_BODY, 'missing_required_field', 422],
    ['for an invalid sender', { ...HELLO, from: 'Bot' }, 'invalid_from_address', 422],
    [
      'for a sender that the account does not own',
      { ...HELLO, from: 'boss@elsewhere.example' },
      'validation_error',
      403,
    ],
    [
      'for an attachment by path',
      withAttachment({ filename: 'a.pdf', path: 'https://acme.com/a.pdf' }),
      'invalid_attachment',
      422,
    ],
    ['for a topic', { ...HELLO, topicId: 'news' }, 'validation_error', 422],
  ])('%s', async (_name, email, name, statusCode) => {
    await using app = await startWithGmail();
    const { data, error } = await sdkOf(app).emails.send(email as CreateEmailOptions);
    expect(data).toBeNull();
    expect(error).toMatchObject({ name, statusCode, message: expect.stringMatching(/\w/) });
    expect(app.gmail.messages).toHaveLength(0);
  });

  test('for an unknown key and for a key without the scope', async () => {
    const secret = 'look-secret-0123456789-abcdefghi';
    const keys = JSON.stringify([{ name: 'look', secret, scopes: ['read'] }]);
    await using app = await startWithGmail({ env: { API_KEYS: keys } });
    expect((await sdkOf(app, 'not-a-secret-of-this-service').emails.send(HELLO)).error).toMatchObject({
      name: 'invalid_api_key',
      statusCode: 403,
      message: expect.stringMatching(/^API key not recognized\. Send the secret exactly/),
    });
    expect((await sdkOf(app, secret).emails.send(HELLO)).error).toMatchObject({
      name: 'restricted_api_key',
      statusCode: 401,
    });
    expect((await sdkOf(app, secret).emails.list()).error).toBeNull();
  });

  test('for an unknown email', async () => {
    await using app = await startWithGmail();
    const { emails } = sdkOf(app);
    const responses = [
      emails.get('msg_x'),
      emails.cancel('msg_x'),
      emails.update({ id: 'msg_x', scheduledAt: inAnHour() }),
    ];
    for (const { error } of await Promise.all(responses))
      expect(error).toMatchObject({ name: 'not_found', statusCode: 404 });
  });

  test('for too many requests, with Retry-After', async () => {
    await using app = await startWithGmail({ env: { RATE_LIMIT: '1/1m' } });
    const { emails } = sdkOf(app);
    await emails.list();
    const { error, headers } = await emails.send(HELLO);
    expect(error).toMatchObject({ name: 'rate_limit_exceeded', statusCode: 429 });
    expect(Number(headers?.['retry-after'])).toBeGreaterThan(0);
  });

  function withAttachment(attachment: object) {
    return { ...HELLO, attachments: [attachment] };
  }
});
