import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { hasChromium, useChromium } from '../../helpers/browser.ts';
import { API_KEY, type ServiceUnderTest } from '../../helpers/service.ts';
import { expectAccessible, openUi, SCHEMES, startAll } from '../../helpers/ui.ts';

/** Breaks out of html, attributes, urls and scripts where it is not escaped. */
const HOSTILE = `"><img src=//evil.test/x onerror=alert(1)><script>alert(2)</script>{{7*7}}'\u202e`;
const TOMORROW = () => new Date(Date.now() + 86_400_000).toISOString();

describe.runIf(hasChromium)('the views (skipped without /usr/bin/chromium)', { timeout: 90_000 }, () => {
  const browser = useChromium();

  test('the overview names what waits, the oldest and why, and how to fix a paused account', async () => {
    await using all = await startAll({ GMAIL_APP_PASSWORD: 'wrongwrongwrongw' });
    await all.service.send({ to: 'ada@simulator.test', subject: 'Stuck', text: 'x' });
    await untilPaused(all.service);
    const { page, complaints, foreign } = await openUi(browser(), all.service.url);
    await page.getByRole('heading', { name: '1 message waits' }).waitFor();
    const account = page.locator('.account');
    expect(await account.textContent()).toMatch(/Paused[\s\S]*535 5\.7\.8[\s\S]*How to fix it/);
    expect(await account.getByRole('link', { name: 'About bad_credentials' }).getAttribute('href')).toBe(
      'problems/bad_credentials',
    );
    await account.getByRole('button', { name: 'Try now' }).click();
    await page.locator('.announcement', { hasText: /Still paused|minute|login/i }).waitFor();
    await page.getByRole('link', { name: 'Stuck' }).click();
    await page.getByRole('heading', { name: 'Stuck' }).waitFor();
    expect(complaints.filter((text) => !/429|503/.test(text))).toEqual([]);
    expect(foreign).toEqual([]);
  });

  test('the overview shows that nothing is due while messages wait for their time', async () => {
    await using all = await startAll();
    const mail = { to: 'ada@simulator.test', subject: 'Later', text: 'x', scheduled_at: TOMORROW() };
    await all.service.send(mail);
    const { page } = await openUi(browser(), all.service.url);
    await page.getByRole('heading', { name: '1 message waits' }).waitFor();
    expect(await page.locator('.lead').first().textContent()).toBe('Nothing is due yet.');
  });

  test('shows the numbers without a shift of the layout', async () => {
    await using all = await startAll();
    await all.service.send({ to: 'ada@simulator.test', subject: 'Sent', text: 'x' }, { wait: 20 });
    const { page } = await openUi(browser(), all.service.url);
    await page.reload();
    await page.locator('.account').waitFor();
    const shift = await page.evaluate(`new Promise((resolve) => {
      const sum = (entries) => entries.reduce((total, { value }) => total + value, 0);
      new PerformanceObserver((list) => resolve(sum(list.getEntries()))).observe({ type: 'layout-shift', buffered: true });
      setTimeout(() => resolve(0), 1000);
    })`);
    // The limit of what web.dev calls good.
    expect(shift).toBeLessThan(0.1);
  });

  test('the overview says how much of the quota only high priority may use', async () => {
    await using all = await startAll({ GMAIL_DAILY_MESSAGES: '4', GMAIL_RESERVE: '50%' });
    const mail = { to: 'ada@simulator.test', subject: 'x', text: 'x' };
    await all.service.send(mail, { wait: 20 });
    const { page } = await openUi(browser(), all.service.url);
    await page.getByText('3 left, 2 of it reserved for high priority').waitFor();
    await all.service.send(mail, { wait: 20 });
    await page.getByText('2 left, reserved for high priority').waitFor();
  });

  test('the navigation shows the current view in a narrow window', async () => {
    await using all = await startAll();
    const { page } = await openUi(browser(), all.service.url, { at: '#/send', width: 320 });
    const box = await page.getByRole('link', { name: 'Send a test', exact: true }).boundingBox();
    expect(box?.x).toBeGreaterThan(0);
    expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(320);
  });

  test('an error is explained once, and its attempts have only the reply', async () => {
    await using all = await startAll();
    const { body } = await all.service.send(
      { to: 'no-such-user@simulator.test', subject: 'Lost', text: 'x' },
      { wait: 20 },
    );
    const at = `#/messages/${body.message?.id}`;
    const { page } = await openUi(browser(), all.service.url, { at });
    await page.getByRole('heading', { name: 'What went wrong' }).waitFor();
    expect(await page.getByText('How to fix it').count()).toBe(1);
    expect(await page.locator('.timeline').textContent()).toMatch(/Attempt 1[\s\S]*550 5\.1\.1/);
  });

  test('messages are found by recipient, status, tag and key, and paged', async () => {
    await using all = await startAll();
    for (let i = 0; i < 30; i += 1)
      await all.service.send({
        to: `user${i}@simulator.test`,
        subject: `Mail ${i}`,
        text: 'x',
        tags: { n: i },
      });
    await all.service.send({ to: 'no-such-user@simulator.test', subject: 'Lost', text: 'x' }, { wait: 20 });
    const { page } = await openUi(browser(), all.service.url, { at: '#/messages' });
    const rows = page.locator('.messages li');
    const clear = async () => {
      const link = page.getByRole('link', { name: 'Clear' });
      await link.click();
      await link.waitFor({ state: 'detached' });
      await rows.nth(24).waitFor();
    };
    await rows.nth(24).waitFor();
    await page.getByRole('link', { name: 'Older' }).click();
    await page.getByText('Mail 0', { exact: true }).waitFor();
    expect(await rows.count()).toBe(6);
    await page.getByRole('link', { name: 'Newest' }).click();
    await page.getByText('Lost', { exact: true }).waitFor();
    for (const [label, value, found] of [
      ['Recipient', 'user7@simulator.test', 'Mail 7'],
      ['Tag', 'n:9', 'Mail 9'],
    ] as const) {
      await page.getByLabel(label).fill(value);
      const field = await page.getByLabel(label).boundingBox();
      await page.getByLabel(label).press('Enter');
      await expect.poll(() => rows.allTextContents()).toEqual([expect.stringContaining(found)]);
      expect(await page.getByLabel(label).boundingBox()).toEqual(field);
      await clear();
    }
    await page.getByLabel('Status').selectOption('Failed');
    await page.getByText('Lost', { exact: true }).waitFor();
    expect(await rows.count()).toBe(1);
    await page.getByLabel('Recipient').fill('nowhere');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByRole('alert').getByText('There is no @').waitFor();
    await page.getByLabel('Recipient').fill('absent@simulator.test');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByText('No message matches.').waitFor();
    for (const [key, text] of [
      ['crm', 'Lost'],
      ['boss', 'No message matches.'],
    ] as const) {
      await clear();
      await page.getByLabel('Key', { exact: true }).fill(key);
      await page.getByLabel('Key', { exact: true }).press('Enter');
      await page.getByText(text).waitFor();
    }
  });

  test('the list and a message change without a reload', async () => {
    await using all = await startAll();
    const { page } = await openUi(browser(), all.service.url, { at: '#/messages' });
    await page.getByText('No messages yet.').waitFor();
    const { body } = await all.service.send({ to: 'slow+6s@simulator.test', subject: 'Live', text: 'x' });
    await page.getByRole('link', { name: 'Live' }).click();
    await page.locator('.state', { hasText: 'Sending' }).waitFor();
    await page.locator('.state', { hasText: 'Sent' }).waitFor();
    expect(await page.locator('.timeline').textContent()).toMatch(
      /Accepted[\s\S]*Attempt 1[\s\S]*250 2\.0\.0[\s\S]*Sent/,
    );
    expect(page.url()).toContain(body.id);
  });

  test('a message is rescheduled, canceled and retried, each after a confirmation', async () => {
    await using all = await startAll();
    const later = await all.service.send({
      ...{ to: 'ada@simulator.test', subject: 'Later', text: 'x' },
      scheduled_at: TOMORROW(),
    });
    const lost = await all.service.send(
      { to: 'no-such-user@simulator.test', subject: 'Lost', text: 'x' },
      { wait: 20 },
    );
    const { page, complaints } = await openUi(browser(), all.service.url, {
      at: `#/messages/${later.body.id}`,
    });
    await page.getByRole('button', { name: 'Reschedule…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Time').fill('2027-05-06T07:08');
    await dialog.getByRole('button', { name: 'Reschedule' }).click();
    await page.getByText('The message has a new time.').waitFor();
    expect((await all.service.get(later.body.id)).scheduled_at).toMatch(/^2027-05-06T/);

    await page.getByRole('button', { name: 'Cancel…' }).click();
    await dialog.getByRole('button', { name: 'Back' }).click();
    await page.getByRole('button', { name: 'Cancel…' }).click();
    await dialog.waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    expect((await all.service.get(later.body.id)).status).toBe('scheduled');
    await page.getByRole('button', { name: 'Cancel…' }).click();
    await dialog.getByRole('button', { name: 'Cancel the message' }).click();
    await page.locator('.state', { hasText: 'Canceled' }).waitFor();

    const failed = lost.body.message?.id ?? lost.body.id;
    await page.evaluate(`location.hash = '#/messages/${failed}'`);
    await page.getByRole('button', { name: 'Send again…' }).click();
    await dialog.getByRole('button', { name: 'Send again' }).click();
    // What is announced is replaced by the outcome of the attempt.
    await page.getByText('Attempt 2').waitFor();
    expect(complaints).toEqual([]);
  });

  test('a test message is sent and followed', async () => {
    await using all = await startAll();
    const { page } = await openUi(browser(), all.service.url, { key: API_KEY, at: '#/send' });
    await page.getByLabel('To', { exact: true }).fill('ada@simulator.test');
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await page.locator('.state', { hasText: 'Sent' }).waitFor();
    expect(all.gmail.messages).toHaveLength(1);
    await page.getByRole('link', { name: 'All about this message' }).click();
    await page.getByRole('heading', { name: 'Test message from Outtray' }).waitFor();
  });

  test('hostile text in every field is shown as text', async () => {
    await using all = await startAll({ FROM_POLICY: 'rewrite' });
    const labels = { [HOSTILE.slice(0, 64)]: HOSTILE };
    const { body } = await all.service.send({
      from: { email: 'other@acme.com', name: HOSTILE },
      to: { email: 'no-such-user@simulator.test', name: HOSTILE },
      subject: HOSTILE,
      html: HOSTILE,
      text: HOSTILE,
      tags: labels,
      metadata: labels,
      attachments: [{ filename: '<img src=x onerror=alert(3)>.txt', content: 'eA==' }],
    });
    expect(body.id).toMatch(/^msg_/);
    const { page, complaints, foreign } = await openUi(browser(), all.service.url, { at: '#/messages' });
    await page.locator('.messages a').click();
    await page.locator('.state', { hasText: 'Failed' }).waitFor();
    expect(await page.textContent('h1')).toBe(HOSTILE);
    expect(await page.locator('#screen img, #screen script').count()).toBe(0);
    await expectAccessible(page);
    expect(complaints).toEqual([]);
    expect(foreign).toEqual([]);
  });

  test.each(SCHEMES)('each view is accessible in the %s scheme at any width', async (scheme) => {
    await using all = await startAll();
    const { service } = all;
    await service.send({ to: 'no-such-user@simulator.test', subject: 'Lost', text: 'x' }, { wait: 20 });
    await service.send({ to: 'ada@simulator.test', subject: 'Later', text: 'x', scheduled_at: TOMORROW() });
    for (const width of [320, 1200]) {
      const { page } = await openUi(browser(), service.url, { scheme, width });
      await page.locator('.account').waitFor();
      await expectAccessible(page);
      for (const [at, ready] of [
        ['#/messages', '.messages'],
        ['#/send', '.fields'],
      ] as const) {
        await page.evaluate(`location.hash = '${at}'`);
        await page.locator(ready).waitFor();
        await expectAccessible(page);
      }
      await page.evaluate(`location.hash = '#/messages'`);
      for (const subject of ['Lost', 'Later']) {
        await page.getByText(subject, { exact: true }).click();
        await page.locator('.timeline').waitFor();
        await expectAccessible(page);
        if (subject === 'Lost') await page.goBack();
      }
      await page.getByRole('button', { name: 'Cancel…' }).click();
      await page.getByRole('dialog').waitFor();
      await expectAccessible(page);
    }
  });

  test('everything works by keyboard, with a visible focus', async () => {
    await using all = await startAll();
    await all.service.send({
      to: 'ada@simulator.test',
      subject: 'Keys',
      text: 'x',
      scheduled_at: TOMORROW(),
    });
    const { page } = await openUi(browser(), all.service.url, { at: '#/messages' });
    await page.locator('.messages a').waitFor();
    await tabTo(page, 'Keys');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Cancel…' }).waitFor();
    await tabTo(page, 'Cancel…');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await tabTo(page, 'Cancel the message');
    await page.keyboard.press('Enter');
    await page.locator('.state', { hasText: 'Canceled' }).waitFor();
  });
});

async function untilPaused(service: ServiceUnderTest): Promise<void> {
  await expect
    .poll(async () => JSON.stringify((await service.request('/accounts')).body), { timeout: 20_000 })
    .toContain('bad_credentials');
}

/** Presses Tab until an element with this text has the focus, and expects its outline. */
async function tabTo(page: Page, text: string): Promise<void> {
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press('Tab');
    const focused = String(await page.evaluate('document.activeElement.textContent'));
    if (!focused.trim().includes(text) || focused.length > 500) continue;
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
    return;
  }
  throw new Error(`Tab does not reach ${text}`);
}
