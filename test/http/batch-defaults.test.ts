import { describe, expect, test } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import { DAY } from '../../src/core/time.ts';
import { type AppUnderTest, CRM, CRM_SECRET, MAIL, startApp } from '../helpers/app.ts';
import { aKey } from '../helpers/keys.ts';

function post(app: AppUnderTest, body: object, headers: Record<string, string> = {}) {
  return app.inject({ method: 'POST', url: '/send/batch', headers: { ...CRM, ...headers }, body });
}

const MENU = { filename: 'menu.pdf', content: Buffer.from('%PDF-1.7 menu').toString('base64') };
/** Above the size from which bodies are parsed in a worker thread. */
const LARGE = { filename: 'large.bin', content: Buffer.alloc(300_000, 'x').toString('base64') };

describe('POST /send/batch with defaults', () => {
  test('adds the defaults to each message, whose own fields replace them as a whole', async () => {
    await using app = await startApp();
    const response = await post(app, {
      defaults: {
        subject: 'Menu',
        text: 'Attached.',
        tags: { flow: 'menu', week: '42' },
        attachments: [MENU],
      },
      messages: [
        { to: 'ada@example.com' },
        { to: 'bob@example.com', subject: 'Your menu', tags: { flow: 'own' } },
        { to: 'eve@example.com', attachments: null, tags: null },
      ],
    });
    expect(response.statusCode).toBe(202);
    expect(
      app.accepted.map(({ draft: { envelope, tags, content } }) => [
        envelope.subject,
        tags,
        content.attachments.map(({ filename }) => filename),
      ]),
    ).toEqual([
      ['Menu', { flow: 'menu', week: '42' }, ['menu.pdf']],
      ['Your menu', { flow: 'own' }, ['menu.pdf']],
      ['Menu', {}, []],
    ]);
  });

  test.each([
    ['small', MENU],
    ['large', LARGE],
  ])('decodes a %s attachment once for 100 messages', async (_, file) => {
    await using app = await startApp();
    const messages = Array.from({ length: 100 }, (__, i) => ({ to: `user${i}@example.com` }));
    const { to: __, ...rest } = MAIL;
    const response = await post(app, { defaults: { ...rest, attachments: [file] }, messages });
    expect(response.json()).toMatchObject({ accepted: 100, refused: 0 });
    const contents = app.accepted.map(({ draft }) => draft.content.attachments[0]?.content);
    expect(Buffer.from(contents[0] ?? []).toString('base64')).toBe(file.content);
    expect(new Set(contents).size).toBe(1);
  });

  test('refuses the whole batch if the defaults are invalid, and names their fields', async () => {
    await using app = await startApp();
    const response = await post(app, {
      defaults: { subjct: 'x', cc: 'ada', attachments: [{ filename: 'menu.pdf', content: '!' }] },
      messages: [MAIL],
    });
    expect(response.statusCode).toBe(422);
    expect(response.json()).toMatchObject({
      code: 'validation_failed',
      errors: expect.arrayContaining([
        expect.objectContaining({ pointer: '/defaults/subjct', code: 'unknown_field' }),
        expect.objectContaining({ pointer: '/defaults/cc' }),
        expect.objectContaining({ pointer: '/defaults/attachments/0/content', code: 'invalid_base64' }),
      ]),
    });
    expect(app.accepted).toEqual([]);
  });

  test.each(['text', ['list'], 42, true])('refuses defaults that are no object: %j', async (defaults) => {
    await using app = await startApp();
    const response = await post(app, { defaults, messages: [MAIL] });
    expect(response.json()).toMatchObject({ errors: [{ pointer: '/defaults', code: 'invalid_type' }] });
  });

  test.each([null, '', {}])('accepts %j as no defaults', async (defaults) => {
    await using app = await startApp();
    expect((await post(app, { defaults, messages: [MAIL] })).statusCode).toBe(202);
  });

  test('reports what a message lacks despite the defaults at the message', async () => {
    await using app = await startApp();
    const response = await post(app, {
      defaults: { subject: 'Menu' },
      messages: [MAIL, { to: 'ada@example.com' }],
    });
    expect(response.statusCode).toBe(207);
    expect(response.json().results[1]).toMatchObject({
      status: 422,
      error: { errors: [{ pointer: '/messages/1', code: 'required' }] },
    });
  });

  const many = (name: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${name}${i}@example.com`);
  const inDays = (days: number) => new Date(Date.now() + days * DAY).toISOString();
  const TO = { to: 'ada@example.com', subject: 'Menu' };
  const OWN = 'set `FIELD` in the message; `null` removes it.';

  test.each([
    ['a template', { template: { id: 'menu' } }, { ...MAIL }, '/defaults/template', '/messages/1/text'],
    ['a text', { text: 'Hello' }, { ...TO, template: { id: 'menu' } }, '/defaults/text', 'The template'],
    ['too many cc', { cc: many('c', 60) }, { ...MAIL, to: many('t', 60) }, '/defaults/cc', '/messages/1/to'],
    [
      'a later time',
      { scheduled_at: inDays(2) },
      { ...MAIL, expires_at: inDays(1) },
      '/defaults/scheduled_at',
      '/messages/1/expires_at',
    ],
    ['an empty subject', { subject: '' }, { to: 'ada@example.com', text: 'Hello' }, '/defaults/subject', ''],
    ['a time in the past', { expires_at: inDays(-1) }, MAIL, '/defaults/expires_at', 'future'],
    ['a sender', { from: 'eve@example.com' }, MAIL, '/defaults/from', 'may not send from eve@example.com'],
    ['a recipient', { bcc: ['x@example.org'] }, MAIL, '/defaults/bcc/0', 'x@example.org is not in'],
  ])(
    'points into the defaults for %s that does not fit a message',
    async (_, defaults, message, pointer, part) => {
      const limits = { allowedFrom: ['no-reply@acme.com'], allowedRecipients: ['@example.com'] };
      const apiKeys = createApiKeys(
        [aKey(CRM_SECRET, { name: 'crm', ...limits })],
        createMemorySharedState(),
      );
      await using app = await startApp({ apiKeys });
      const response = await post(app, { defaults, messages: [42, message] });
      const [, { error }] = response.json().results;
      const name = pointer.split('/')[2] ?? '';
      expect(error.errors).toEqual([
        { pointer, code: expect.any(String), detail: expect.stringContaining(part) },
      ]);
      expect(error.errors[0].detail).toContain(OWN.replace('FIELD', name));
      expect(error.detail).toContain(`${pointer}: `);
      expect(app.accepted).toEqual([]);
    },
  );

  test.each([
    [{ template: { id: 'menu' } }, { ...MAIL, template: null, subject: '' }, '/messages/0/subject'],
    [{ template: null }, { ...MAIL, html: 42 }, '/messages/0/html'],
    [{ scheduled_at: inDays(2) }, { ...MAIL, expires_at: 'soon' }, '/messages/0/expires_at'],
    [{ text: 'Hello' }, { ...MAIL, text: 42 }, '/messages/0/text'],
  ])('points into a message for its own fault, beside defaults (%#)', async (defaults, message, pointer) => {
    await using app = await startApp();
    const response = await post(app, { defaults, messages: [message] });
    expect(response.json().results[0].error.errors).toMatchObject([{ pointer }]);
  });

  test('points into a message that has too many recipients without the defaults', async () => {
    await using app = await startApp();
    const message = { ...MAIL, to: many('t', 60), cc: many('c', 60) };
    const response = await post(app, { defaults: { bcc: 'bob@example.com' }, messages: [message] });
    expect(response.json().results[0].error.errors).toMatchObject([
      { pointer: '/messages/0/to', code: 'too_many' },
    ]);
  });

  test('with an Idempotency-Key, other defaults make it another request', async () => {
    await using app = await startApp();
    const batch = (content: string) => ({
      defaults: { subject: 'Menu', text: 'Attached.', attachments: [{ ...MENU, content }] },
      messages: [{ to: 'ada@example.com' }, { to: 'bob@example.com' }],
    });
    const key = { 'idempotency-key': 'menu-42' };
    const first = await post(app, batch(MENU.content), key);
    const second = await post(app, batch(MENU.content), key);
    const other = await post(app, batch('b3RoZXI='), key);
    expect([first.statusCode, second.headers['idempotency-replayed'], other.json().code]).toEqual([
      202,
      'true',
      'idempotency_key_reused',
    ]);
    expect(app.accepted).toHaveLength(2);
  });
});
