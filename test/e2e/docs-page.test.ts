import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { CRM_SECRET, startApp } from '../helpers/app.ts';
import { hasChromium, openPage, useChromium } from '../helpers/browser.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { startStrippingProxy } from '../helpers/stripping-proxy.ts';

async function authorize(page: Page): Promise<void> {
  await page.click('button.authorize');
  await page.fill('.auth-container input', CRM_SECRET);
  await page.click('.auth-btn-wrapper button.authorize');
  await page.click('.auth-btn-wrapper button.btn-done');
}

test('Chromium is installed in CI', () => {
  expect(hasChromium || process.env.CI !== 'true', 'CI needs /usr/bin/chromium').toBe(true);
});

describe.runIf(hasChromium)('in a browser (skipped without /usr/bin/chromium)', { timeout: 120_000 }, () => {
  const browser = useChromium();

  test('/docs shows the operations, and its content security policy blocks nothing', async () => {
    await using app = await startApp();
    const { page, complaints, foreign } = await openPage(browser(), `${await app.listen()}/docs`);
    for (const id of ['send', 'getMessage', 'livez', 'readyz', 'explainProblem', 'getOpenApi']) {
      await page.waitForSelector(`[id$="-${id}"]`);
    }
    expect(await page.title()).toBe('Outtray');
    expect(complaints).toEqual([]);
    expect(foreign).toEqual([]);
  });

  test('/docs looks up a message with a key', async () => {
    await using app = await startApp();
    const { id } = app.keep(aDelivery());
    const { page, complaints } = await openPage(browser(), `${await app.listen()}/docs`);
    await authorize(page);
    await page.click('[id$="-getMessage"] button.opblock-summary-control');
    await page.fill('[id$="-getMessage"] input[placeholder="id"]', id);
    await page.click('[id$="-getMessage"] button.execute');
    await page.waitForSelector('[id$="-getMessage"] .live-responses-table td.response-col_status');
    expect(await page.textContent('[id$="-getMessage"] .live-responses-table')).toContain(id);
    expect(complaints).toEqual([]);
  });

  test.each(['/docs', '/docs/'])('%s works behind a proxy that strips a prefix', async (path) => {
    await using app = await startApp();
    await using proxy = await startStrippingProxy(await app.listen(), '/outtray');
    const { page, complaints, foreign } = await openPage(browser(), `${proxy.url}/outtray${path}`);
    await authorize(page);
    await page.click('[id$="-send"] button.opblock-summary-control');
    await page.click('[id$="-send"] button.execute');
    await page.waitForSelector('[id$="-send"] .live-responses-table .response td.response-col_status');
    expect(
      await page.textContent('[id$="-send"] .live-responses-table .response td.response-col_status'),
    ).toContain('202');
    expect(app.accepted).toMatchObject([{ draft: { envelope: { to: [{ email: 'ada@example.com' }] } } }]);
    expect(proxy.unprefixedPaths).toEqual([]);
    expect(complaints).toEqual([]);
    expect(foreign).toEqual([]);
  });
});
