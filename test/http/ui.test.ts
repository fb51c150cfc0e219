import { readdir } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { startApp } from '../helpers/app.ts';

const UI = new URL('../../src/ui/', import.meta.url);
const PAGE = { page: { demo: false } };

describe("the operators' page", () => {
  test('has a strict content security policy, and no inline script or style', async () => {
    await using app = await startApp(PAGE);
    const { statusCode, headers, body } = await app.get('/', {});
    expect(statusCode).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(headers['cache-control']).toBe('no-store');
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self';");
    expect(policy).toContain("require-trusted-types-for 'script'; trusted-types lit-html");
    expect(body).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|\{\{/);
    const urls = [...body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url = '']) => url);
    expect(urls.filter((url) => /^[/]|:/.test(url))).toEqual([]);
  });

  test('loads files that browsers can cache for ever', async () => {
    await using app = await startApp(PAGE);
    const { body } = await app.get('/', {});
    const urls = [...body.matchAll(/(?:src|href)="(ui[^"]+)"/g)].map(([, url = '']) => url);
    const own = await readdir(UI, { recursive: true });
    expect(urls).toHaveLength(
      new Set([...urls]).size + 1, // The entry is preloaded too.
    );
    for (const path of own.filter((name) => /\.(js|css)$/.test(name)))
      expect(urls.some((url) => url.endsWith(`/${path}`))).toBe(true);
    for (const url of urls) {
      const { statusCode, headers } = await app.get(`/${url}`, {});
      expect([url, statusCode]).toEqual([url, 200]);
      expect(headers['cache-control']).toBe('public, max-age=31536000, immutable');
      expect(headers['x-content-type-options']).toBe('nosniff');
    }
  });

  test('loads its files from an instance of another version, uncached', async () => {
    await using app = await startApp(PAGE);
    const { statusCode, headers } = await app.get('/ui/0123456789abcdef/main.js', {});
    expect([statusCode, headers['cache-control']]).toEqual([200, 'no-store']);
    expect(headers['content-type']).toBe('text/javascript; charset=utf-8');
  });

  test.each([
    '/ui',
    '/ui/x/none.js',
    '/ui/x/tsconfig.json',
    '/ui/x/index.html',
    '/ui/x/lit-html/lit-html.d.ts',
    '/ui/x/lit-html/package.json',
    '/ui/x/../../package.json',
    '/ui/x/%2e%2e/http/app.ts',
    '/ui/x/..%2fhttp/app.ts',
  ])('serves no other file: %s', async (url) => {
    await using app = await startApp(PAGE);
    expect((await app.get(url, {})).json()).toMatchObject({ code: 'not_found' });
  });

  test('tells the page whether this is the demo', async () => {
    for (const demo of [true, false]) {
      await using app = await startApp({ page: { demo } });
      expect((await app.get('/', {})).body).toContain(`data-demo="${demo}"`);
    }
  });

  test('escapes the version', async () => {
    await using app = await startApp({ ...PAGE, version: '1"><script>' });
    expect((await app.get('/', {})).body).not.toContain('"><script>');
  });

  test('is absent with UI=off', async () => {
    await using app = await startApp({ page: null });
    for (const url of ['/', '/ui/x/main.js']) expect((await app.get(url, {})).statusCode).toBe(404);
  });
});
