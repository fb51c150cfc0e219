import { describe, expect, test } from 'vitest';
import { deriveText } from '../../src/adapters/smtp/mime/derived-text.ts';
import { CRM, CRM_SECRET, startApp } from '../helpers/app.ts';
import { aKey } from '../helpers/keys.ts';
import { openWatchedTemplates } from '../helpers/templates.ts';

const FILES = {
  'note/body.txt': 'Hello {{name}}.',
  'welcome/subject.txt': 'Welcome, {{name}}\n',
  'welcome/body.html': '<p>Hello <b>{{name}}</b>{{#nick?}} or {{.}}{{/nick?}}</p>',
};

/** Starts the HTTP layer over a new directory of templates. */
async function startWithTemplates(
  files: Readonly<Record<string, string>> = FILES,
  scopes?: readonly ('send' | 'read')[],
) {
  const made = await openWatchedTemplates(files);
  const apiKeys = scopes && { apiKeys: { keys: () => [aKey(CRM_SECRET, { name: 'crm', scopes })] } };
  const app = await startApp({ templates: made.templates, toText: deriveText, ...apiKeys });
  return {
    logs: app.logs,
    /** Without an API key. */
    get: (url: string) => app.get(url, {}),
    list: (headers?: Record<string, string>) => app.get('/templates', headers),
    preview: (id: string, body: unknown, headers: Record<string, string> = CRM) =>
      app.inject({
        method: 'POST',
        url: `/templates/${id}/preview`,
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      await made[Symbol.asyncDispose]();
    },
  };
}

describe('GET /templates', () => {
  test('lists the templates and their variables', async () => {
    await using app = await startWithTemplates();
    const answer = await app.list();
    expect([answer.statusCode, answer.json()]).toEqual([
      200,
      {
        templates: [
          {
            id: 'note',
            subject: false,
            html: false,
            text: true,
            variables: [{ name: 'name', required: true }],
          },
          {
            id: 'welcome',
            subject: true,
            html: true,
            text: false,
            variables: [
              { name: 'name', required: true },
              { name: 'nick', required: false },
            ],
          },
        ],
      },
    ]);
  });

  test('requires the scope read', async () => {
    await using app = await startWithTemplates(FILES, ['send']);
    expect((await app.list({})).json()).toMatchObject({ status: 401, code: 'missing_api_key' });
    expect((await app.list()).json()).toMatchObject({ status: 403, code: 'insufficient_scope' });
    expect((await app.preview('note', {})).json()).toMatchObject({ status: 403, code: 'insufficient_scope' });
  });
});

describe('GET /templates/{id}/preview/view', () => {
  test('shows the html with the variables of the preview, without an API key', async () => {
    await using app = await startWithTemplates();
    const { view_url: url } = (await app.preview('welcome', { variables: { name: 'Zoë <3' } })).json();
    const page = await app.get(`/${url}`);
    expect([page.statusCode, page.body]).toEqual([200, '<p>Hello <b>Zoë &lt;3</b></p>']);
    expect(page.headers).toMatchObject({
      'content-security-policy': expect.stringMatching(/^sandbox; default-src 'none';/),
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
    });
  });

  test('has variables in its URL that only the service can read, and none in the log', async () => {
    await using app = await startWithTemplates();
    const { view_url: url } = (await app.preview('welcome', { variables: { name: 'hunter2' } })).json();
    await app.get(`/${url}`);
    const [, sealed = ''] = /ticket=\d+\.([\w-]+)\./.exec(url) ?? [];
    expect(Buffer.from(sealed, 'base64url').toString('latin1')).not.toMatch(/hunter2|name/);
    expect(JSON.stringify(app.logs)).not.toMatch(/hunter2|ticket=/);
  });

  test('refuses a ticket for another template, or one that was changed', async () => {
    await using app = await startWithTemplates({ ...FILES, 'other/body.html': '<p>{{name}}</p>' });
    const { view_url: url } = (await app.preview('welcome', { variables: { name: 'Ada' } })).json();
    for (const each of [
      url.replace('welcome', 'other'),
      url.replace(/ticket=\d/, 'ticket=9'),
      url.replace(/.(?=\.crm)/, (last: string) => (last === 'A' ? 'Q' : 'A')),
      url.replace(/\.[\w-]+\.crm/, '.AAAA.crm'),
      url.replace('.crm', '.boss'),
    ])
      expect((await app.get(`/${each}`)).json()).toMatchObject({ status: 403, code: 'invalid_ticket' });
  });

  test('does not exist for variables that are too large for a URL', async () => {
    await using app = await startWithTemplates({ 'long/body.html': '<p>{{name}}</p>' });
    const preview = async (length: number) =>
      (await app.preview('long', { variables: { name: 'x'.repeat(length) } })).json().view_url;
    const fits = 4096 - JSON.stringify({ name: '' }).length;
    expect((await app.get(`/${await preview(fits)}`)).statusCode).toBe(200);
    expect(await preview(fits + 1)).toBeNull();
  });
});

describe('POST /templates/{id}/preview', () => {
  test('renders a template, and derives a missing text from the HTML', async () => {
    await using app = await startWithTemplates();
    const answer = await app.preview('welcome', { variables: { name: 'Ada <3' } });
    expect([answer.statusCode, answer.json()]).toEqual([
      200,
      {
        id: 'welcome',
        subject: 'Welcome, Ada <3',
        html: '<p>Hello <b>Ada &lt;3</b></p>',
        text: 'Hello Ada <3',
        view_url: expect.stringMatching(/^templates\/welcome\/preview\/view\?ticket=/),
      },
    ]);
  });

  test('returns null for a missing subject and HTML', async () => {
    await using app = await startWithTemplates();
    const answer = await app.preview('note', { variables: { name: 'Ada' } });
    expect(answer.json()).toEqual({
      ...{ id: 'note', subject: null, html: null, text: 'Hello Ada.' },
      view_url: null,
    });
  });

  test('points at the missing variables in the request', async () => {
    await using app = await startWithTemplates({ 'a/body.txt': '{{name}} {{#items}}{{price}}{{/items}}' });
    const answer = await app.preview('a', { variables: { items: [{}] } });
    expect([answer.statusCode, answer.json()]).toMatchObject([
      422,
      {
        code: 'template_failed',
        detail: expect.stringMatching(/^\/variables\/name: The template requires this variable/),
        errors: [
          { pointer: '/variables/name', code: 'missing_variable' },
          { pointer: '/variables/items/0/price', code: 'missing_variable' },
        ],
      },
    ]);
    expect((await app.preview('a', {})).json()).toMatchObject({
      errors: [{ pointer: '/variables/name' }, { pointer: '/variables/items' }],
    });
  });

  test('returns 404 for any other id', async () => {
    await using app = await startWithTemplates();
    for (const id of ['nothing', '..%2Fnote', 'x'.repeat(5000), '__proto__']) {
      const answer = await app.preview(id, {});
      expect(answer.json()).toMatchObject({
        status: 422,
        code: 'template_not_found',
        errors: [{ pointer: 'path:id', code: 'unknown_template' }],
      });
    }
  });

  test('accepts only variables, as an object', async () => {
    await using app = await startWithTemplates();
    const wrong = [
      [{ variable: { name: 'Ada' } }, '/variable', 'unknown_field'],
      [{ variables: ['Ada'] }, '/variables', 'invalid_type'],
      [{ variables: 1 }, '/variables', 'invalid_type'],
      [[], '', 'invalid_type'],
    ] as const;
    for (const [body, pointer, code] of wrong) {
      expect((await app.preview('note', body)).json()).toMatchObject({
        code: 'validation_failed',
        errors: [{ pointer, code }],
      });
    }
  });
});

describe('the template of a request to send', () => {
  test('is passed to the intake, with empty variables by default', async () => {
    await using app = await startApp();
    const template = { id: 'invoice', variables: { name: 'Ada', list: [1, null, { a: true }] } };
    expect((await app.send({ to: 'ada@example.com', template })).statusCode).toBe(202);
    expect((await app.send({ to: 'ada@example.com', template: { id: 'invoice' } })).statusCode).toBe(202);
    expect(app.accepted.map(({ draft }) => draft)).toMatchObject([
      { template },
      { template: { id: 'invoice', variables: {} } },
    ]);
  });

  test('must have a valid id', async () => {
    await using app = await startApp();
    for (const id of ['', '_partials', '.git', '../a', 'a b', 'x'.repeat(65)]) {
      const answer = await app.send({ to: 'ada@example.com', template: { id } });
      expect(answer.json()).toMatchObject({
        code: 'validation_failed',
        errors: [{ pointer: '/template/id', code: 'invalid_template_id' }],
      });
    }
  });
});
