import { describe, expect, test } from 'vitest';
import { createMemorySuppressions } from '../../src/adapters/memory/suppressions.ts';
import { createEvents } from '../../src/core/events.ts';
import { createSuppressions } from '../../src/core/suppressions.ts';
import { CRM, CRM_SECRET, startApp } from '../helpers/app.ts';
import { aKey } from '../helpers/keys.ts';
import { aSuppression, NO_SUCH_USER, put } from '../helpers/suppression.ts';

const MANUAL = { reason: 'manual', accounts: null, smtp: null, message: null, note: null };

async function startWithSuppressions(scopes?: readonly ('send' | 'read')[]) {
  const store = createMemorySuppressions();
  const suppressions = createSuppressions({
    store,
    events: createEvents(),
    suppressRefused: true,
    onError() {},
  });
  const apiKeys = scopes && { apiKeys: { keys: () => [aKey(CRM_SECRET, { name: 'crm', scopes })] } };
  const app = await startApp({ suppressions, ...apiKeys });
  return {
    store,
    get: app.get,
    ask: (method: 'PUT' | 'DELETE', email: string, body?: unknown) =>
      app.inject({
        method,
        url: `/suppressions/${email}`,
        headers: body === undefined ? CRM : { ...CRM, 'content-type': 'application/json' },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  };
}

describe('GET /suppressions/{email}', () => {
  test('returns why an address is suppressed', async () => {
    await using app = await startWithSuppressions();
    await put(app.store, aSuppression('bob@example.com'));
    const answer = await app.get('/suppressions/Bob%40example.com');
    expect([answer.statusCode, answer.json()]).toEqual([
      200,
      {
        email: 'bob@example.com',
        reason: 'refused',
        accounts: ['bot@acme.com'],
        smtp: NO_SUCH_USER,
        message: 'msg_1',
        note: null,
        created_at: '2027-01-01T09:00:00.000Z',
      },
    ]);
  });

  test('returns 404 for an address that is not suppressed', async () => {
    await using app = await startWithSuppressions();
    const answer = await app.get('/suppressions/ada@example.com');
    expect([answer.statusCode, answer.json()]).toMatchObject([
      404,
      { code: 'not_found', detail: 'Mail to ada@example.com is not suppressed.' },
    ]);
  });
});

describe('PUT /suppressions/{email}', () => {
  test('suppresses an address for all accounts, also without a body', async () => {
    await using app = await startWithSuppressions();
    const answer = await app.ask('PUT', 'bob%40bücher.example');
    expect([answer.statusCode, answer.json()]).toMatchObject([
      200,
      { email: 'bob@xn--bcher-kva.example', ...MANUAL },
    ]);
    expect((await app.get('/suppressions/bob@xn--bcher-kva.example')).json()).toEqual(answer.json());
  });

  test('stores a note in place of the previous suppression of the address', async () => {
    await using app = await startWithSuppressions();
    await put(app.store, aSuppression('bob@example.com'));
    const answer = await app.ask('PUT', 'BOB@example.com', { note: 'Asked us to stop' });
    expect([answer.statusCode, answer.json()]).toMatchObject([
      200,
      { ...MANUAL, email: 'BOB@example.com', note: 'Asked us to stop' },
    ]);
    expect((await app.get('/suppressions')).json().suppressions).toEqual([answer.json()]);
  });

  test.each([
    ['an unknown field', { notes: 'x' }, '/notes', 'unknown_field'],
    ['a note of two lines', { note: 'a\nb' }, '/note', 'control_character'],
    ['a note that is too long', { note: 'x'.repeat(501) }, '/note', 'too_long'],
    ['a list as body', [], '', 'invalid_type'],
  ])('refuses %s', async (_, body, pointer, code) => {
    await using app = await startWithSuppressions();
    const answer = await app.ask('PUT', 'bob@example.com', body);
    expect([answer.statusCode, answer.json()]).toMatchObject([
      422,
      { code: 'validation_failed', errors: [{ pointer, code }] },
    ]);
    expect(await app.store.get('bob@example.com')).toBeNull();
  });
});

describe('DELETE /suppressions/{email}', () => {
  test('removes a suppression once, and responds without a body', async () => {
    await using app = await startWithSuppressions();
    await put(app.store, aSuppression('bob@example.com'));
    const answer = await app.ask('DELETE', 'bob%40example.com');
    expect([answer.statusCode, answer.body, answer.headers['content-type']]).toEqual([204, '', undefined]);
    const again = await app.ask('DELETE', 'bob%40example.com');
    expect([again.statusCode, again.json()]).toMatchObject([
      404,
      { detail: 'Mail to bob@example.com is not suppressed.' },
    ]);
  });
});

test.each(['GET', 'PUT', 'DELETE'] as const)(
  '%s names the path parameter when it is not an address',
  async (method) => {
    await using app = await startWithSuppressions();
    const answer = method === 'GET' ? await app.get('/suppressions/ada') : await app.ask(method, 'ada');
    expect([answer.statusCode, answer.json()]).toMatchObject([
      422,
      { code: 'validation_failed', errors: [{ pointer: 'path:email', code: 'invalid_address' }] },
    ]);
  },
);

describe('GET /suppressions', () => {
  test('lists every suppression once, by address and page by page, while others are added and removed', async () => {
    await using app = await startWithSuppressions();
    for (const name of ['e', 'B', 'a', 'd']) await put(app.store, aSuppression(`${name}@example.com`));
    const first = (await app.get('/suppressions?limit=2')).json();
    await app.store.remove('b@example.com');
    await put(app.store, aSuppression('c@example.com'));
    const second = (await app.get(`/suppressions?limit=2&cursor=${first.next_cursor}`)).json();
    const third = (await app.get(`/suppressions?limit=2&cursor=${second.next_cursor}`)).json();
    const emailsOf = (page: { suppressions: { email: string }[] }) =>
      page.suppressions.map(({ email }) => email[0]);
    expect([first, second, third].map(emailsOf)).toEqual([['a', 'B'], ['c', 'd'], ['e']]);
    expect(third.next_cursor).toBeNull();
  });

  test('has 20 entries per page by default, and no cursor on the last page', async () => {
    await using app = await startWithSuppressions();
    for (let n = 0; n < 21; n += 1) await put(app.store, aSuppression(`n${n}@example.com`));
    const page = (await app.get('/suppressions')).json();
    expect([page.suppressions.length, typeof page.next_cursor]).toEqual([20, 'string']);
    expect((await app.get('/suppressions?limit=21')).json().next_cursor).toBeNull();
  });

  test.each([
    ['limit=0', 'query:limit', 'invalid_value', 'Must be a whole number from 1 to 100.'],
    ['limit=101', 'query:limit', 'invalid_value', 'Must be a whole number from 1 to 100.'],
    ['limit=1e1', 'query:limit', 'invalid_value', 'Must be a whole number from 1 to 100.'],
    ['limit=', 'query:limit', 'invalid_value', 'Must be a whole number from 1 to 100.'],
    ['limit=1&limit=2', 'query:limit', 'invalid_type', 'Must be a string, not a list.'],
    ['cursor=nonsense', 'query:cursor', 'invalid_value', 'Must be the next_cursor of a page of this list'],
    [`cursor=${btoa('{}')}`, 'query:cursor', 'invalid_value', 'Must be the next_cursor'],
    [`cursor=${btoa('[1]')}`, 'query:cursor', 'invalid_value', 'Must be the next_cursor'],
    [`cursor=${btoa('["a","b"]')}`, 'query:cursor', 'invalid_value', 'Must be the next_cursor'],
    ['cursr=x', 'query:cursr', 'unknown_field', 'Did you mean "cursor"?'],
  ])('refuses ?%s and names the parameter', async (query, pointer, code, detail) => {
    await using app = await startWithSuppressions();
    const answer = await app.get(`/suppressions?${query}`);
    expect([answer.statusCode, answer.json()]).toMatchObject([
      422,
      { code: 'validation_failed', errors: [{ pointer, code, detail: expect.stringContaining(detail) }] },
    ]);
  });

  test('names every invalid parameter', async () => {
    await using app = await startWithSuppressions();
    const { errors } = (await app.get('/suppressions?limit=x&cursor=y')).json();
    expect(errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
      'query:limit',
      'query:cursor',
    ]);
  });
});

test('requires the scope read to list, and send to change', async () => {
  await using reader = await startWithSuppressions(['read']);
  expect((await reader.get('/suppressions')).statusCode).toBe(200);
  for (const method of ['PUT', 'DELETE'] as const) {
    expect((await reader.ask(method, 'bob@example.com')).json()).toMatchObject({
      status: 403,
      code: 'insufficient_scope',
    });
  }
  await using sender = await startWithSuppressions(['send']);
  expect((await sender.ask('PUT', 'bob@example.com')).statusCode).toBe(200);
  for (const url of ['/suppressions', '/suppressions/bob@example.com'])
    expect((await sender.get(url)).statusCode).toBe(403);
});
