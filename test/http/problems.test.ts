import { describe, expect, test } from 'vitest';
import { ERROR_CODES, ERRORS, type ErrorCode, type ErrorRow } from '../../src/core/errors.ts';
import { startApp } from '../helpers/app.ts';

/** The text of a page, without markup. */
function textOf(page: string): string {
  const text = page.replace(/<style>.*?<\/style>/s, '').replace(/<[^>]*>/g, '');
  return text.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code));
}

function linksOf(page: string): string[] {
  return [...page.matchAll(/href="([^"]*)"/g)]
    .map(([, link = '']) => link)
    .filter((link) => link !== 'data:,');
}

const exampleOf = (page: string) => JSON.parse(textOf(/<pre.*<\/pre>/s.exec(page)?.[0] ?? ''));

describe('GET /problems', () => {
  test('lists every code with its title, its status and who must act', async () => {
    await using app = await startApp();
    const page = await app.get('/problems', {});
    expect([page.statusCode, page.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    const items = [...page.body.matchAll(/<li><a href="problems\/.*?<\/li>/gs)].map(([item]) => textOf(item));
    expect(items).toHaveLength(ERROR_CODES.length);
    for (const code of ERROR_CODES) {
      const { title, status, actor } = ERRORS[code];
      const item = items.find((text) => text.startsWith(`${code}${title}`));
      expect(item?.toLowerCase()).toContain(`http ${status}${actor} acts`);
    }
  });

  test('has relative links, each to a page of this service', async () => {
    await using app = await startApp();
    const links = linksOf((await app.get('/problems', {})).body);
    expect(links).toEqual([
      'docs',
      '#request',
      '#message',
      '#account',
      ...links.filter((link) => link.startsWith('problems/')),
    ]);
    for (const link of links.filter((link) => !link.startsWith('#')))
      expect([link, (await app.get(`/${link}`, {})).statusCode]).toEqual([link, 200]);
  });
});

describe('GET /problems/{code}', () => {
  test.each(ERROR_CODES)('explains %s', async (code) => {
    await using app = await startApp();
    const response = await app.get(`/problems/${code}`, {});
    expect(response.statusCode).toBe(200);
    expect(response.headers['content-type']).toBe('text/html; charset=utf-8');
    const text = textOf(response.body);
    const { title, status, hint, meaning, actor }: ErrorRow = ERRORS[code];
    const withoutSpans = [title, meaning, hint].map((part) => part.replaceAll('`', ''));
    for (const part of [code, String(status), ...withoutSpans]) expect(text).toContain(part);
    expect(text.toLowerCase()).toContain(`who must act: ${actor},`);
    expect(exampleOf(response.body)).toMatchObject({ code, title });
  });

  test.each<[ErrorCode, object]>([
    ['queue_full', { type: '/problems/queue_full', status: 503, instance: '/send' }],
    ['validation_failed', { instance: '/send', errors: [{ pointer: '/to', code: 'required' }, {}, {}] }],
    ['method_not_allowed', { status: 405 }],
    ['retries_exhausted', { status: 502, instance: '/send' }],
    ['bad_credentials', { scope: 'account', smtp: null }],
    ['connect_timeout', { status: 502, instance: '/accounts/bot@acme.com/verify' }],
  ])('has an example of %s as a client sees it', async (code, example) => {
    await using app = await startApp();
    expect(exampleOf((await app.get(`/problems/${code}`, {})).body)).toMatchObject(example);
  });

  test('links to the index, to the documentation, and to what the hint names', async () => {
    await using app = await startApp();
    const { body } = await app.get('/problems/app_password_required', {});
    const links = ['../problems', '../docs', 'https://myaccount.google.com/apppasswords'];
    expect(linksOf(body)).toEqual([...links, '../problems#account', '../docs']);
    for (const link of ['problems', 'docs']) expect((await app.get(`/${link}`, {})).statusCode).toBe(200);
  });

  test('escapes its content and runs no scripts', async () => {
    await using app = await startApp();
    const response = await app.get('/problems/missing_api_key', {});
    expect(response.body).toContain('&#60;secret&#62;');
    expect(response.body).not.toMatch(/<script|<secret/);
    expect(response.headers['content-security-policy']).toMatch(/^default-src 'none'; style-src 'sha256-/);
  });

  test.each(['none', '__proto__', 'constructor', '%3Cscript%3E'])('returns 404 for %s', async (code) => {
    await using app = await startApp();
    const response = await app.get(`/problems/${code}`, {});
    expect([response.statusCode, response.json().code]).toEqual([404, 'not_found']);
  });
});

test.each([
  ['/problems/', '../problems'],
  ['/problems/queue_full/', '../queue_full'],
  ['//problems//', '../problems'],
])('redirects %s, where relative links would lead astray', async (url, target) => {
  await using app = await startApp();
  const response = await app.get(url, {});
  expect([response.statusCode, response.headers.location]).toEqual([302, target]);
});
