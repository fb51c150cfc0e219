import { describe, expect, test } from 'vitest';
import { hasChromium, useChromium } from '../../helpers/browser.ts';
import { startEndpoint } from '../../helpers/endpoint.ts';
import { expectAccessible, openUi, startAll } from '../../helpers/ui.ts';

/** Tries everything that a mail could do to its reader. */
const hostile = (evil: string) => `<h1 style="color: red">Invoice</h1>
<script>parent.document.title = 'taken'; document.title = 'ran'</script>
<img src="${evil}/pixel.gif" onerror="parent.postMessage('ran', '*')">
<link rel="stylesheet" href="${evil}/a.css"><style>@import url(${evil}/b.css);</style>
<iframe src="${evil}/frame"></iframe><meta http-equiv="refresh" content="0; url=${evil}/">
<form action="${evil}/" id="f"><button>Send</button></form>
<a href="${evil}/" target="_top">Pay</a> <a href="${evil}/">Read more</a>`;

describe.runIf(hasChromium)(
  'the content of a message (skipped without Chromium)',
  { timeout: 60_000 },
  () => {
    const browser = useChromium();

    test('is shown in a frame that runs no script and reaches no network', async () => {
      await using all = await startAll({ RETAIN_CONTENT: '1h' });
      await using evil = await startEndpoint();
      const { body } = await all.service.send(
        {
          ...{
            to: 'ada@simulator.test',
            subject: 'Invoice',
            html: hostile(`http://127.0.0.1:${evil.port}`),
            text: 'Invoice as text',
          },
          attachments: [{ filename: 'invoice.pdf', content: 'JVBERi0=' }],
        },
        { wait: 20 },
      );
      const { page } = await openUi(browser(), all.service.url, { at: `#/messages/${body.id}` });
      const views: string[] = [];
      page.on('request', (request) => request.url().includes('/view?') && views.push(request.url()));
      await page.getByRole('button', { name: 'Show the content' }).click();
      const frame = page.frameLocator('iframe.mail');
      await frame.getByRole('heading', { name: 'Invoice' }).waitFor();
      await frame.getByRole('button', { name: 'Send' }).click();
      await frame.getByRole('link', { name: 'Pay' }).click();
      await expectAccessible(page);
      expect(page.url()).toContain(body.id);
      expect(await page.title()).toBe('Invoice - Outtray');
      await page.getByRole('button', { name: 'HTML source' }).click();
      await page.getByText('parent.document.title').waitFor();
      await page.getByRole('button', { name: 'Text', exact: true }).click();
      await page.getByText('Invoice as text').waitFor();
      await page.getByRole('button', { name: 'Headers' }).click();
      await page.getByText('Subject: Invoice').waitFor();
      await page.getByText('invoice.pdf').first().waitFor();
      await expectAccessible(page);
      await page.getByRole('button', { name: 'Mail' }).click();
      await frame.getByRole('heading', { name: 'Invoice' }).waitFor();
      // Its ticket may have expired when the mail is shown again.
      expect(views).toHaveLength(1);
    });

    test('is reported as no longer stored after it was dropped', async () => {
      await using all = await startAll();
      const { body } = await all.service.send(
        { to: 'ada@simulator.test', subject: 'Gone', text: 'x' },
        { wait: 20 },
      );
      const { page } = await openUi(browser(), all.service.url, { at: `#/messages/${body.id}` });
      await page.getByRole('button', { name: 'Show the content' }).click();
      await page.getByText('The content of this message is no longer stored.').waitFor();
    });
  },
);
