import { describe, expect, test } from 'vitest';
import { ERROR_CODES } from '../../src/core/errors.ts';
import { startApp } from '../helpers/app.ts';
import { hasChromium, openPage, useChromium } from '../helpers/browser.ts';
import { startStrippingProxy } from '../helpers/stripping-proxy.ts';
import { expectAccessible } from '../helpers/ui.ts';

test('Chromium is installed in CI', () => {
  expect(hasChromium || process.env.CI !== 'true', 'CI needs /usr/bin/chromium').toBe(true);
});

describe.runIf(hasChromium)('in a browser (skipped without /usr/bin/chromium)', { timeout: 120_000 }, () => {
  const browser = useChromium();

  test('/problems leads to each code and back, behind a proxy that strips a prefix', async () => {
    await using app = await startApp();
    await using proxy = await startStrippingProxy(await app.listen(), '/outtray');
    const index = `${proxy.url}/outtray/problems`;
    const { page, complaints, foreign } = await openPage(browser(), `${index}/`);
    expect(page.url()).toBe(index);
    for (const code of [ERROR_CODES[0], 'queue_full', 'tls_failed']) {
      await page.click(`a:has-text("${code}")`);
      await page.waitForURL(`${index}/${code}`);
      expect(await page.textContent('.code')).toBe(code);
      await page.click('text=All error codes');
      await page.waitForURL(`${index}#*`);
    }
    await page.click('text=API docs');
    await page.waitForSelector('[id$="-send"]');
    expect(proxy.unprefixedPaths).toEqual([]);
    expect(complaints).toEqual([]);
    expect(foreign).toEqual([]);
  });

  test.each(['light', 'dark'] as const)('the pages are accessible in %s colors', async (colorScheme) => {
    await using app = await startApp();
    const url = await app.listen();
    for (const path of ['/problems', '/problems/app_password_required', '/problems/validation_failed']) {
      const { page, complaints } = await openPage(browser(), `${url}${path}`, { colorScheme });
      await expectAccessible(page);
      expect(complaints).toEqual([]);
    }
  });

  test.each([320, 1280])('no page is wider than a window of %i px', async (width) => {
    await using app = await startApp();
    const url = await app.listen();
    const { page } = await openPage(browser(), `${url}/problems`, { viewport: { width, height: 800 } });
    for (const path of ['', ...ERROR_CODES.map((code) => `/${code}`)]) {
      await page.goto(`${url}/problems${path}`);
      expect([path, await page.evaluate('document.documentElement.scrollWidth')]).toEqual([path, width]);
    }
  });
});
