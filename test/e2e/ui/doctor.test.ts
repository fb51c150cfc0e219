import { describe, expect, test } from 'vitest';
import { hasChromium, useChromium } from '../../helpers/browser.ts';
import { API_KEY } from '../../helpers/service.ts';
import { expectAccessible, openUi, SCHEMES, startAll } from '../../helpers/ui.ts';

describe.runIf(hasChromium)('the doctor (skipped without /usr/bin/chromium)', { timeout: 90_000 }, () => {
  const browser = useChromium();

  test.each(SCHEMES)('lists what failed with its fix, at any width in the %s scheme', async (scheme) => {
    await using all = await startAll({ GMAIL_APP_PASSWORD: 'wrongwrongwrongw' });
    for (const width of [320, 1200]) {
      const { page, complaints, foreign } = await openUi(browser(), all.service.url, {
        at: '#/doctor',
        scheme,
        width,
      });
      await page.getByRole('heading', { name: 'Mail cannot be sent with every account' }).waitFor();
      const failed = page.locator('section', { has: page.getByRole('heading', { name: 'Failed' }) });
      expect(await failed.textContent()).toMatch(/AUTH[\s\S]*535[\s\S]*app password/);
      await expectAccessible(page);
      await page.getByRole('button', { name: 'Check again' }).click();
      await page.getByText('Checking…').waitFor({ state: 'detached' });
      expect([complaints, foreign]).toEqual([[], []]);
    }
    // Both visits are within a minute.
    expect(all.gmail.counters.failedLogins).toBe(1);
  });

  test('is shown only to keys with the scope admin', async () => {
    await using all = await startAll();
    const { page } = await openUi(browser(), all.service.url, { key: API_KEY, at: '#/doctor' });
    await page.getByRole('heading', { name: 'Nothing waits' }).waitFor();
    expect(await page.getByRole('link', { name: 'Doctor' }).count()).toBe(0);
  });
});
