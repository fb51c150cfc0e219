import { describe, expect, test } from 'vitest';
import { hasChromium, useChromium } from '../../helpers/browser.ts';
import { API_KEY, startService } from '../../helpers/service.ts';
import { startStrippingProxy } from '../../helpers/stripping-proxy.ts';
import { expectAccessible, openUi, SCHEMES, signIn } from '../../helpers/ui.ts';

/** No server: the page needs none to sign in. */
const NO_SMTP = 'smtp://127.0.0.1:9?tls=never';

test('Chromium is installed in CI', () => {
  expect(hasChromium || process.env.CI !== 'true', 'CI needs /usr/bin/chromium').toBe(true);
});

describe.runIf(hasChromium)('the page (skipped without /usr/bin/chromium)', { timeout: 60_000 }, () => {
  const browser = useChromium();

  const startHere = (env: Record<string, string> = {}) => startService({ smtp: NO_SMTP, env });

  test('asks for a key, and shows the version and links without one', async () => {
    await using service = await startHere();
    const { page, complaints, foreign } = await openUi(browser(), service.url, { key: null });
    await page.getByLabel('API key').waitFor();
    expect(await page.textContent('h1')).toContain('0.0.0-test');
    for (const [name, target] of [
      ['API documentation', 'docs'],
      ['Error codes', 'problems'],
    ] as const)
      expect(await page.getByRole('link', { name }).getAttribute('href')).toBe(target);
    expect(complaints).toEqual([]);
    expect(foreign).toEqual([]);
  });

  test('does not let text become html, except through its library', async () => {
    await using service = await startHere();
    const { page } = await openUi(browser(), service.url, { key: null });
    for (const attack of [
      "document.body.innerHTML = '<b>x</b>'",
      "document.body.insertAdjacentHTML('beforeend', '<b>x</b>')",
      "trustedTypes.createPolicy('mine', { createHTML: (text) => text })",
      "document.createElement('script').src = 'x.js'",
      "new DOMParser().parseFromString('<b>x</b>', 'text/html')",
    ])
      await expect(page.evaluate(attack)).rejects.toThrow('Trusted');
  });

  test('keeps the key for the tab until the user signs out', async () => {
    await using service = await startHere();
    const { page, complaints } = await openUi(browser(), service.url, { key: API_KEY });
    await page.reload();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    expect(await page.textContent('.session')).toContain('crm');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('API key').waitFor();
    await page.reload();
    await page.getByLabel('API key').waitFor();
    expect(await page.evaluate('sessionStorage.length + localStorage.length + document.cookie.length')).toBe(
      0,
    );
    expect(complaints).toEqual([]);
  });

  test.each([
    ['wrong', 'The service does not know this key.'],
    ['schlüssel ☃', 'An API key consists of visible ASCII characters.'],
    ['', 'Enter an API key.'],
  ])('says what is wrong with the key %j', async (key, text) => {
    await using service = await startHere();
    const { page } = await openUi(browser(), service.url, { key: null });
    await page.getByLabel('API key').fill(key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText(text).waitFor();
    await page.locator('#key:focus').waitFor();
    await signIn(page, API_KEY);
  });

  test('takes no key from its address, but removes it', async () => {
    await using service = await startHere();
    const { page } = await openUi(browser(), service.url, { key: null, at: `#key=${API_KEY}` });
    await page.getByLabel('API key').waitFor();
    expect(page.url()).toBe(`${service.url}/`);
    expect(await page.evaluate('sessionStorage.length')).toBe(0);
  });

  test('shows a key only the views of its scopes', async () => {
    const sender = 'send-secret-0123456789-abcdefghi';
    await using service = await startHere({
      API_KEYS: JSON.stringify([{ name: 'shop', secret: sender, scopes: ['send'] }]),
    });
    const { page } = await openUi(browser(), service.url, { key: sender });
    const views = page.getByRole('navigation', { name: 'Views' }).getByRole('link');
    expect((await views.allTextContents()).map((text) => text.trim())).toEqual(['Send a test']);
    await page.getByRole('heading', { name: 'Send a test message' }).waitFor();
  });

  test.each(['', '/'])('works behind a proxy that strips a prefix, opened at /prefix%s', async (slash) => {
    await using service = await startHere();
    await using proxy = await startStrippingProxy(service.url, '/outtray');
    const { page, foreign } = await openUi(browser(), `${proxy.url}/outtray`, { key: null });
    await page.goto(`${proxy.url}/outtray${slash}`);
    await signIn(page, API_KEY);
    expect(page.url()).toBe(`${proxy.url}/outtray/`);
    expect(foreign).toEqual([]);
  });

  test.each(SCHEMES)('is accessible in the %s scheme at any width', async (scheme) => {
    await using service = await startHere();
    for (const width of [320, 1200]) {
      const { page } = await openUi(browser(), service.url, { key: null, scheme, width });
      await expectAccessible(page);
      await signIn(page, API_KEY);
      await expectAccessible(page);
    }
  });
});
