import { describe, expect, test } from 'vitest';
import { CRM, MAIL, SHOP, startApp } from '../helpers/app.ts';
import { aDelivery } from '../helpers/delivery.ts';

const FILE = { filename: 'a.pdf', content: 'JVBERi0=' };
const JSON_TYPE = { 'content-type': 'application/json' };

const OPTIONAL = [
  'from',
  'cc',
  'bcc',
  'reply_to',
  'html',
  'template',
  'attachments',
  'headers',
  'in_reply_to',
  'references',
].concat(['unsubscribe', 'tags', 'metadata', 'expires_at', 'priority', 'dry_run']);

describe('null and the empty string', () => {
  test.each(OPTIONAL)('mean that %s is absent', async (field) => {
    await using app = await startApp();
    await app.send(MAIL);
    for (const value of [null, ''])
      expect((await app.send({ ...MAIL, [field]: value })).statusCode).toBe(202);
    const [bare, ...others] = app.accepted.map(({ draft }) => draft);
    expect(others).toEqual([bare, bare]);
  });

  test('mean that text is absent, which is then derived from html', async () => {
    await using app = await startApp();
    for (const text of [null, ''])
      expect((await app.send({ ...MAIL, html: '<p>Hello.</p>', text })).statusCode).toBe(202);
    expect(app.accepted.map(({ draft }) => draft.content.text)).toEqual([null, null]);
  });

  test('mean that a part of a field is absent', async () => {
    await using app = await startApp();
    for (const value of [null, '']) {
      const answer = await app.send({
        ...MAIL,
        to: { email: 'ada@example.com', name: value },
        attachments: [{ ...FILE, content_type: value, content_id: value }],
        unsubscribe: { url: 'https://acme.com/u', email: value, one_click: value },
      });
      expect(answer.statusCode).toBe(202);
    }
    for (const { draft } of app.accepted) {
      expect(draft.envelope.to).toEqual([{ email: 'ada@example.com', name: null }]);
      expect(draft.content.attachments).toMatchObject([{ contentType: null, contentId: null }]);
      expect(draft.content.unsubscribe).toEqual({ url: 'https://acme.com/u', email: null, oneClick: false });
    }
  });

  test('mean absent template variables, but are data within variables', async () => {
    await using app = await startApp();
    const use = (template: object) => app.send({ to: MAIL.to, template: { id: 'note', ...template } });
    for (const variables of [null, '', []]) expect((await use({ variables })).statusCode).toBe(202);
    expect((await use({ variables: { name: '', note: null, list: [] } })).statusCode).toBe(202);
    expect(app.accepted.map(({ draft }) => draft.template?.variables)).toEqual([
      {},
      {},
      {},
      { name: '', note: null, list: [] },
    ]);
  });

  test('null means no scheduled_at, but the empty string is refused, since the message would be sent now', async () => {
    await using app = await startApp();
    expect((await app.send({ ...MAIL, scheduled_at: null })).json().status).toBe('queued');
    const answer = await app.send({ ...MAIL, scheduled_at: '' });
    expect(answer.json().errors).toEqual([
      { pointer: '/scheduled_at', code: 'invalid_format', detail: expect.stringContaining('date and time') },
    ]);
  });

  test.each([null, ''])('%j is refused as the new time of a scheduled message', async (scheduled_at) => {
    await using app = await startApp();
    const { id } = app.keep(
      aDelivery({ owner: 'crm', status: 'scheduled', scheduledAt: Date.now() + 3_600_000 }),
    );
    for (const url of [`/messages/${id}`, `/emails/${id}`]) {
      const answer = await app.inject({
        method: 'PATCH',
        url,
        headers: { ...CRM, ...JSON_TYPE },
        body: { scheduled_at },
      });
      expect([answer.statusCode, answer.json().errors]).toMatchObject([422, [{ pointer: '/scheduled_at' }]]);
    }
  });

  test.each([
    ['to', { to: '' }, '/to'],
    ['to', { to: null }, '/to'],
    ['an item of to', { to: ['ada@example.com', ''] }, '/to/1'],
    ['an item of to', { to: ['ada@example.com', null] }, '/to/1'],
    ['an email', { to: { email: '' } }, '/to/email'],
    ['the subject', { subject: '' }, '/subject'],
    ['the subject', { subject: null }, '/subject'],
    ['a filename', { attachments: [{ ...FILE, filename: '' }] }, '/attachments/0/filename'],
    ['content', { attachments: [{ ...FILE, content: null }] }, '/attachments/0/content'],
    ['the id of a template', { text: null, template: { id: '' } }, '/template/id'],
    ['both targets of unsubscribe', { unsubscribe: { url: '', email: null } }, '/unsubscribe'],
    ['html and text', { html: '', text: null }, ''],
    ['a header', { headers: { 'X-A': '' } }, '/headers/X-A'],
    ['a header', { headers: { 'X-A': null } }, '/headers/X-A'],
    ['the name of a tag', { tags: { '': 'x' } }, '/tags/'],
    ['a tag', { tags: { a: null } }, '/tags/a'],
  ])('are refused for %s, which is required: %j', async (_, patch, pointer) => {
    await using app = await startApp();
    const answer = await app.send({ ...MAIL, ...patch });
    expect(answer.statusCode).toBe(422);
    expect(answer.json().errors).toEqual([
      { pointer, code: expect.any(String), detail: expect.not.stringMatching(/leave|out/) },
    ]);
  });

  test('are data in tags and metadata', async () => {
    await using app = await startApp();
    await app.send({ ...MAIL, tags: { a: '' }, metadata: { b: '' } });
    expect(app.accepted[0]?.draft).toMatchObject({ tags: { a: '' }, metadata: { b: '' } });
  });

  test('mean the same in a batch and in Resend’s API', async () => {
    await using app = await startApp();
    const empty = {
      ...MAIL,
      cc: null,
      reply_to: '',
      attachments: null,
      headers: [],
      tags: '',
      scheduled_at: null,
    };
    const post = (url: string, body: unknown) =>
      app.inject({ method: 'POST', url, headers: { ...CRM, ...JSON_TYPE }, body: JSON.stringify(body) });
    expect((await post('/send/batch', { messages: [empty] })).statusCode).toBe(202);
    expect(
      (
        await post('/emails', {
          ...empty,
          topic_id: null,
          in_reply_to: null,
          headers: { 'In-Reply-To': '<a@b>' },
        })
      ).statusCode,
    ).toBe(200);
    expect((await post('/emails/batch', [empty])).statusCode).toBe(200);
    expect(app.accepted.map(({ draft }) => draft.envelope.cc)).toEqual([[], [], []]);
    expect(app.accepted[1]?.draft.content.inReplyTo).toBe('<a@b>');
  });

  test('make the same request as an absent field, for an Idempotency-Key', async () => {
    await using app = await startApp();
    const key = { 'idempotency-key': 'k1' };
    const first = await app.send(MAIL, key);
    expect((await app.send({ ...MAIL, cc: null, html: '', tags: [] }, key)).body).toBe(first.body);
  });
});

describe('tags and metadata', () => {
  test('store numbers and booleans as text', async () => {
    await using app = await startApp();
    const text =
      '{"a":1,"b":-0.5,"c":true,"d":false,"e":0,"f":-0,"g":1.50,"h":9007199254740991,"i":-9007199254740991,"j":1e-7,"k":12e1,"l":"007"}';
    const kept = {
      ...{
        a: '1',
        b: '-0.5',
        c: 'true',
        d: 'false',
        e: '0',
        f: '0',
        g: '1.5',
        h: '9007199254740991',
        i: '-9007199254740991',
      },
      ...{ j: '1e-7', k: '120', l: '007' },
    };
    const answer = await app.send(JSON.stringify(MAIL).replace(/}$/, `,"tags":${text},"metadata":${text}}`));
    expect([answer.statusCode, answer.json()]).toMatchObject([202, { tags: kept, metadata: kept }]);
  });

  test.each([
    '9007199254740993',
    '-9007199254740993',
    '12345678901234567890',
    '1e21',
    '1e400',
    '-1e400',
    '9007199254740993.0',
  ])('refuse %s, which would lose precision', async (number) => {
    await using app = await startApp();
    const answer = await app.send(JSON.stringify(MAIL).replace(/}$/, `,"tags":{"id":${number}}}`));
    expect(answer.json()).toMatchObject({
      status: 422,
      errors: [
        { pointer: '/tags/id', code: 'out_of_range', detail: expect.stringContaining('send it as a string') },
      ],
    });
  });

  test('refuse lists and objects, while no other field accepts a number as text', async () => {
    await using app = await startApp();
    for (const patch of [
      { tags: { a: [] } },
      { metadata: { a: {} } },
      { tags: ['a'] },
      { headers: { 'X-A': 1 } },
      { subject: 5 },
    ]) {
      expect((await app.send({ ...MAIL, ...patch })).json().errors).toMatchObject([{ code: 'invalid_type' }]);
    }
  });

  test('accept numbers in Resend’s tags, too', async () => {
    await using app = await startApp();
    const body = { ...MAIL, tags: [{ name: 'order', value: 42 }] };
    await app.inject({ method: 'POST', url: '/emails', headers: { ...CRM, ...JSON_TYPE }, body });
    expect(app.accepted[0]?.draft.tags).toEqual({ order: '42' });
  });
});

test('an empty list means an empty object, as PHP encodes it', async () => {
  await using app = await startApp();
  expect((await app.send({ ...MAIL, headers: [], tags: [], metadata: [] })).statusCode).toBe(202);
  expect(app.accepted[0]?.draft).toMatchObject({ tags: {}, metadata: {}, content: { headers: {} } });
  const { errors } = (await app.send({ ...MAIL, headers: ['X-A: b'], tags: [null] })).json();
  expect(errors).toMatchObject([
    { pointer: '/headers', code: 'invalid_type', detail: 'Must be an object, not a list.' },
    { pointer: '/tags', code: 'invalid_type', detail: 'Must be an object, not a list.' },
  ]);
});

describe('a + in a query', () => {
  test.each([
    ['/messages?to=ada+tag@example.com', 'query:to'],
    ['/messages?created_after=2027-01-01T09:00:00+01:00', 'query:created_after'],
    ['/messages?cursor=a+b', 'query:cursor'],
    ['/messages?status=sent+failed', 'query:status'],
    ['/suppressions?cursor=a+b', 'query:cursor'],
    ['/emails?limit=1+1', 'query:limit'],
  ])('that makes %s invalid is explained in the error', async (url, pointer) => {
    await using app = await startApp();
    const { errors } = (await app.get(url)).json();
    expect(errors).toEqual([
      { pointer, code: expect.any(String), detail: expect.stringContaining('write %2B for a plus sign') },
    ]);
  });

  test('is not mentioned where there is none, or in a path, where it is a literal plus', async () => {
    await using app = await startApp();
    expect((await app.get('/messages?to=ada')).json().detail).not.toContain('%2B');
    expect((await app.get('/messages?a+b=1')).json().detail).not.toContain('%2B');
    expect((await app.get('/messages?to=ada%2Btag@example.com')).statusCode).toBe(200);
    expect((await app.get('/suppressions/ada+tag@example.com', SHOP)).json()).toMatchObject({
      code: 'not_found',
      detail: 'Mail to ada+tag@example.com is not suppressed.',
    });
  });
});
