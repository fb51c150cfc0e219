import { mkdtempDisposableSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hasChromium, useChromium } from '../../helpers/browser.ts';
import { hasRedis, startRedis } from '../../helpers/redis.ts';
import { ADMIN_KEY, API_KEY } from '../../helpers/service.ts';
import { openUi, signIn, startAll } from '../../helpers/ui.ts';

describe.runIf(hasChromium)('the page (skipped without /usr/bin/chromium)', { timeout: 90_000 }, () => {
  const browser = useChromium();

  test('a key that is revoked leads back to the form, which says so', async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'outtray-ui-'));
    const file = join(folder.path, 'keys');
    await writeFile(file, `crm:${API_KEY},boss:${ADMIN_KEY}:admin`);
    await using all = await startAll({ API_KEYS: '', API_KEYS_FILE: file });
    const { page } = await openUi(browser(), all.service.url, { at: '#/messages' });
    await page.getByText('No messages yet.').waitFor();
    await writeFile(file, `crm:${API_KEY}`);
    await all.service.reload();
    await page.getByText('This key is no longer valid.').waitFor();
    expect(await page.evaluate('sessionStorage.length')).toBe(0);
    await signIn(page, API_KEY);
    await page.getByText('No messages yet.').waitFor();
  });

  test('a lost connection is named, and the page recovers', async () => {
    await using all = await startAll();
    const { page } = await openUi(browser(), all.service.url, { at: '#/messages' });
    await page.getByText('No messages yet.').waitFor();
    await page.context().setOffline(true);
    await page.getByText('Connection lost.').waitFor();
    await page.context().setOffline(false);
    await page.getByRole('button', { name: 'Try now' }).click();
    await page.getByText('Connection lost.').waitFor({ state: 'detached' });
  });

  test('polling uses a small part of RATE_LIMIT, and waits for Retry-After', async () => {
    await using all = await startAll({ RATE_LIMIT: '60/1m' });
    const { page } = await openUi(browser(), all.service.url, { at: '#/messages' });
    let asked = 0;
    page.on('request', (request) => {
      if (request.url().includes('/messages?')) asked += 1;
    });
    await page.getByText('No messages yet.').waitFor();
    await page.waitForTimeout(8000);
    // One request in ten seconds is a tenth of the limit.
    expect(asked).toBeLessThanOrEqual(1);
    await page.route(/\/messages\?/, (route) =>
      route.fulfill({
        status: 429,
        headers: { 'retry-after': '30', 'content-type': 'application/problem+json' },
        body: '{}',
      }),
    );
    await page.reload();
    await page.getByText('Updates are paused.').waitFor();
    expect(asked).toBeLessThanOrEqual(3);
  });

  test('asks for nothing while its tab is hidden', async () => {
    await using all = await startAll();
    const { page } = await openUi(browser(), all.service.url, { at: '#/messages' });
    await page.getByText('No messages yet.').waitFor();
    let asked = 0;
    page.on('request', () => {
      asked += 1;
    });
    const hide = (hidden: boolean) =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { configurable: true, value: ${hidden} });
        document.dispatchEvent(new Event('visibilitychange'));`);
    await hide(true);
    // Longer than the time between two requests.
    await page.waitForTimeout(6000);
    expect(asked).toBe(0);
    await all.service.send({ to: 'ada@simulator.test', subject: 'Meanwhile', text: 'x' });
    await hide(false);
    await page.getByText('Meanwhile', { exact: true }).waitFor();
  });

  test.skipIf(!hasRedis)('says that the queue is unavailable while Redis is away, and recovers', async () => {
    await using redis = await startRedis(['appendonly yes']);
    await using all = await startAll({ QUEUE_URL: redis.url() });
    await all.service.send({ to: 'ada@simulator.test', subject: 'Before', text: 'x' }, { wait: 20 });
    const { page } = await openUi(browser(), all.service.url, { at: '#/messages' });
    await page.getByText('Before', { exact: true }).waitFor();
    await redis.kill();
    await page.getByText('The service has a problem.').waitFor();
    expect(await page.getByText('Before', { exact: true }).isVisible()).toBe(true);
    await redis.restart();
    await page.getByText('The service has a problem.').waitFor({ state: 'detached', timeout: 60_000 });
  });

  test('shows 10,000 messages page by page', async () => {
    await using all = await startAll({ QUEUE_MAX_MESSAGES: '20000' });
    const scheduled_at = new Date(Date.now() + 86_400_000).toISOString();
    for (let batch = 0; batch < 100; batch += 1) {
      const messages = Array.from({ length: 100 }, (_, index) => ({
        ...{ to: 'ada@simulator.test', text: 'x', scheduled_at },
        subject: `Mail ${batch * 100 + index}`,
      }));
      await all.service.request('/send/batch', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ messages }),
      });
    }
    const { page } = await openUi(browser(), all.service.url);
    await page.getByRole('heading', { name: '10,000 messages wait' }).waitFor();
    await page.getByRole('link', { name: 'Messages', exact: true }).click();
    const rows = page.locator('.messages a');
    const seen = new Set<string>();
    for (let pages = 1; pages <= 3; pages += 1) {
      if (pages > 1) {
        const first = await rows.first().getAttribute('href');
        await page.getByRole('link', { name: 'Older' }).click();
        // The list stays until the next page has come.
        await page.locator(`.messages a[href="${first}"]`).waitFor({ state: 'detached' });
      }
      await page.locator('.messages[aria-busy="false"]').waitFor();
      expect(await rows.count()).toBe(25);
      for (const row of await rows.all()) seen.add(String(await row.getAttribute('href')));
      expect(seen.size).toBe(pages * 25);
    }
  });
});
