import { describe, expect, test } from 'vitest';
import { hasChromium, useChromium } from '../../helpers/browser.ts';
import { startWithGmail } from '../../helpers/smtp/gmail.ts';
import { expectAccessible, openUi } from '../../helpers/ui.ts';

const LOST = { to: 'drop-after-dot@simulator.test', subject: 'Hello', text: 'Hello, Ada.' };

describe.runIf(hasChromium)('an uncertain message on the page', { timeout: 60_000 }, () => {
  const browser = useChromium();

  test('is looked for in Sent Mail, and shows that it was found there', async () => {
    const env = { ON_UNCERTAIN: 'hold', RECONCILE_FOR: '20s' };
    await using app = await startWithGmail({ imap: true, env });
    app.gmail.imap.configure({ filingDelayMs: 3_600_000 });
    const { body } = await app.service.send(LOST, { wait: 30 });
    const { id = '', message_id = '' } = body.message ?? {};
    const { page, complaints } = await openUi(browser(), app.service.url, { at: `#/messages/${id}` });
    const look = page.getByRole('button', { name: 'Look in Sent Mail' });
    await look.click();
    await page.getByText('It is not in Sent Mail. A copy may still be filed later.').waitFor();
    await page.getByRole('button', { name: 'Send again…' }).waitFor();
    await expectAccessible(page);

    const copy = `Message-ID: ${message_id}\r\n\r\nHi\r\n`;
    app.gmail.imap.deliver(copy, { folder: 'sent', user: 'bot@simulator.test' });
    await look.click();
    const attempt = page.locator('.timeline li').filter({ hasText: 'Attempt 1' });
    await attempt.getByText('Confirmed by Sent Mail: Gmail had accepted the message.').waitFor();
    await page.locator('.state').getByText('Sent', { exact: true }).waitFor();
    expect(await look.count()).toBe(0);
    await expectAccessible(page);
    expect(complaints).toEqual([]);
  });

  test('shows why its mailbox cannot be searched', async () => {
    await using app = await startWithGmail({ env: { ON_UNCERTAIN: 'hold' } });
    const { body } = await app.service.send(LOST, { wait: 30 });
    const { page } = await openUi(browser(), app.service.url, { at: `#/messages/${body.message?.id}` });
    await page.getByRole('button', { name: 'Look in Sent Mail' }).click();
    await page.getByText(/Set the login of the account/).waitFor();
  });

  test.each([
    ['too-many-connections', 'Mailbox cannot be reached for now: imap_unavailable.'],
    ['imap-off', 'Mailbox cannot be read: imap_disabled.'],
  ] as const)('with the fault %s of its mailbox, the card of the account shows: %s', async (fault, text) => {
    await using app = await startWithGmail({
      imap: true,
      env: { ON_UNCERTAIN: 'hold', RECONCILE_FOR: '6s' },
    });
    app.gmail.imap.setLoginFault(fault);
    await app.service.send(LOST, { wait: 30 });
    const { page } = await openUi(browser(), app.service.url);
    await page.getByText(text).waitFor();
  });
});
