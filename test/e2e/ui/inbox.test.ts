import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { hasChromium, useChromium } from '../../helpers/browser.ts';
import { startDemo } from '../../helpers/demo.ts';
import { API_KEY, startService } from '../../helpers/service.ts';
import { expectAccessible, openUi, SCHEMES } from '../../helpers/ui.ts';

/** Starts a server that records the requests and the connections that reach it. */
async function startTracker() {
  const arrivals: string[] = [];
  const server = createServer((request, response) => {
    arrivals.push(request.url ?? '');
    response.end();
  });
  server.on('connection', () => arrivals.push('a connection'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, arrivals };
}

/** What a hostile mail tries, in a browser that would let it. */
const hostileHtml = (tracker: string) => `
  <title>Taken over</title><base href="${tracker}/base/">
  <link rel="preconnect" href="${tracker}"><link rel="prefetch" href="${tracker}/prefetch">
  <link rel="stylesheet" href="${tracker}/style"><style>@import url(${tracker}/import); p { background: url(${tracker}/css) }</style>
  <p>Hello, <b>Ada</b> <img src="${tracker}/image" srcset="${tracker}/set 2x"> <img src="relative" onerror="parent.document.title='Taken over'"></p>
  <script src="${tracker}/script"></script><script>parent.document.title = 'Taken over'; fetch('${tracker}/fetch')</script>
  <meta http-equiv="refresh" content="0;url=${tracker}/refresh"><iframe src="${tracker}/frame"></iframe>
  <object data="${tracker}/object"></object><video src="${tracker}/video" autoplay></video>
  <form action="${tracker}/form" method="post"><button>Submit</button></form>
  <a href="${tracker}/link">Link</a> <a href="${tracker}/top" target="_top">Top</a> <a href="javascript:parent.alert(1)">Script</a>`;

describe.runIf(hasChromium)('the inbox of the demo', { timeout: 60_000 }, () => {
  const browser = useChromium();

  test('opens with the link of the demo, whose key leaves the address at once', async () => {
    const { url, key } = await startDemo();
    const { page } = await openUi(browser(), url, { key: null, at: `#key=${key}` });
    await page.getByRole('link', { name: 'Inbox' }).click();
    await page.getByRole('link', { name: /Hello from Outtray/ }).waitFor();
    expect(page.url()).toBe(`${url}/#/inbox`);
    expect(await page.evaluate('history.length')).toBeLessThanOrEqual(3);
  });

  test('shows new mail without a reload, and each message as html, text, source and headers', async () => {
    const { url, key, send } = await startDemo();
    const { page, complaints } = await openUi(browser(), url, { key, at: '#/inbox' });
    await page.getByText('Choose a message to read it.').waitFor();
    await send({
      to: 'ada@example.com',
      subject: '<b>Bold</b> & "quoted"',
      text: 'Hello as text',
      html: '<p>Hello as <i>html</i></p>',
      attachments: [{ filename: '<menu>.txt', content: 'aGVsbG8=' }],
    });
    await page.getByRole('link', { name: /<b>Bold<\/b> & "quoted"/ }).click();
    // The focus moves to the message once it is shown.
    await page.locator('h2:focus', { hasText: '<b>Bold</b> & "quoted"' }).waitFor();
    await page.frameLocator('iframe.mail').getByText('Hello as html').waitFor();
    await page.getByText('<menu>.txt').waitFor();
    for (const [name, text] of [
      ['Text', 'Hello as text'],
      ['HTML source', '<p>Hello as <i>html</i></p>'],
      ['Headers', 'Subject: <b>Bold</b>'],
    ] as const) {
      await page.getByRole('button', { name, exact: true }).click();
      expect(await page.getByRole('region', { name }).textContent()).toContain(text);
    }
    await page.goBack();
    await page.getByText('Choose a message to read it.').waitFor();
    expect(complaints).toEqual([]);
  });

  test('lets nothing in a mail run, load, or leave its frame', async () => {
    const tracker = await startTracker();
    const { url, key, send } = await startDemo();
    await send({ to: 'ada@example.com', subject: 'Trap', html: hostileHtml(tracker.url) });
    const { page } = await openUi(browser(), url, { key, at: '#/inbox' });
    await page.getByRole('link', { name: /Trap/ }).click();
    const mail = page.frameLocator('iframe.mail');
    await mail.getByText('Ada').waitFor();
    await page.waitForLoadState('networkidle');
    expect(tracker.arrivals).toEqual([]);
    await mail.getByRole('button', { name: 'Submit' }).click();
    for (const name of ['Script', 'Top', 'Link']) await mail.getByRole('link', { name }).click();
    // The browser replaces the frame by its own page about the blocked link.
    await vi.waitFor(() => expect(page.frames().at(-1)?.url()).not.toContain('/demo/inbox/views/'));
    expect(await page.title()).toBe('Inbox - Outtray');
    expect(page.url()).toMatch(/#\/inbox\/./);
    // Chromium connects to the target of a link when the user presses it, and then sends nothing.
    expect(tracker.arrivals.filter((arrival) => arrival !== 'a connection')).toEqual([]);
  });

  test.each(SCHEMES)('is accessible in the %s scheme at any width', async (scheme) => {
    const { url, key } = await startDemo();
    for (const width of [320, 1200]) {
      const { page } = await openUi(browser(), url, { key, at: '#/inbox', scheme, width });
      await page.getByRole('link', { name: /Hello from Outtray/ }).waitFor();
      await expectAccessible(page);
      await page.getByRole('link', { name: /Hello from Outtray/ }).click();
      await page.getByRole('region', { name: 'Text' }).waitFor();
      await expectAccessible(page);
    }
  });

  test('is not offered outside the demo', async () => {
    await using service = await startService({ smtp: 'smtp://127.0.0.1:9?tls=never' });
    const { page } = await openUi(browser(), service.url, { key: API_KEY });
    expect(await page.getByRole('link', { name: 'Inbox' }).count()).toBe(0);
  });
});
