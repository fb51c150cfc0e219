import { describe, expect, test, vi } from 'vitest';
import { hasChromium, useChromium } from '../../helpers/browser.ts';
import { startEndpoint } from '../../helpers/endpoint.ts';
import { startService } from '../../helpers/service.ts';
import { startSimulator } from '../../helpers/smtp/simulator-session.ts';
import { expectAccessible, openUi, SCHEMES } from '../../helpers/ui.ts';

/** Starts a service whose webhooks go to an endpoint that responds with this status. */
async function startHere(gmail: { url: string; ca: string }, answerWith: () => number) {
  const endpoint = await startEndpoint({
    answer: (response) => void response.writeHead(answerWith()).end(),
  });
  const service = await startService({
    smtp: gmail.url,
    ca: gmail.ca,
    // A failed call waits for minutes, so that only a replay repeats it in time.
    backoffScale: 10,
    env: {
      WEBHOOK_URL: `http://127.0.0.1:${endpoint.port}/hook`,
      WEBHOOK_SECRET: `whsec_${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}`,
      WEBHOOK_ALLOWED_HOSTS: '127.0.0.1',
    },
  });
  return { endpoint, service };
}

describe.runIf(hasChromium)('webhooks', { timeout: 60_000 }, () => {
  const browser = useChromium();

  test('a call that failed is shown with its reason, and replayed after a confirmation', async () => {
    await using gmail = await startSimulator();
    let status = 500;
    const { endpoint, service } = await startHere(gmail, () => status);
    await using _parts = { [Symbol.asyncDispose]: () => service.close() };
    await using _endpoint = endpoint;
    const { body } = await service.send(
      { to: 'ada@example.com', subject: 'Hello', text: 'Hello' },
      { wait: 10 },
    );
    const { page } = await openUi(browser(), service.url, { at: '#/webhooks' });
    await page.getByText('No call has failed for good.').waitFor();
    await page.getByRole('link', { name: 'Waiting' }).click();
    await page.getByText('message.sent').waitFor();
    await page.getByText(/500/).first().waitFor();
    expect(await page.getByRole('link', { name: 'this message' }).getAttribute('href')).toBe(
      `#/messages/${body.id}`,
    );
    status = 204;
    await page.getByRole('button', { name: /Replay message\.sent/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Replay' }).click();
    await vi.waitFor(() => expect(endpoint.heard.length).toBeGreaterThan(1), 10_000);
    await page.getByText('No call waits.').waitFor();
  });

  test('a message shows its own failed call, with the reason, until a replay is accepted', async () => {
    await using gmail = await startSimulator();
    let status = 500;
    const { endpoint, service } = await startHere(gmail, () => status);
    await using _parts = { [Symbol.asyncDispose]: () => service.close() };
    await using _endpoint = endpoint;
    const mail = { to: 'ada@example.com', text: 'Hello' };
    const { body } = await service.send({ ...mail, subject: 'Hello' }, { wait: 10 });
    await service.send({ ...mail, subject: 'Another' }, { wait: 10 });
    const { page, complaints } = await openUi(browser(), service.url, { at: `#/messages/${body.id}` });
    const calls = page.getByRole('region', { name: 'Webhook calls' });
    await calls.getByText('HTTP 500').waitFor();
    expect(await calls.getByRole('listitem').allTextContents()).toEqual([
      expect.stringMatching(/message\.sent[\s\S]*\/hook[\s\S]*1 failed call/),
    ]);
    await expectAccessible(page);
    status = 204;
    await calls.getByRole('button', { name: /Replay message\.sent/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Replay' }).click();
    await calls.waitFor({ state: 'detached' });
    expect(complaints).toEqual([]);
  });

  test('an endpoint is tested, with the result in words', async () => {
    await using gmail = await startSimulator();
    let status = 204;
    const { endpoint, service } = await startHere(gmail, () => status);
    await using _parts = { [Symbol.asyncDispose]: () => service.close() };
    await using _endpoint = endpoint;
    const { page, foreign } = await openUi(browser(), service.url, { at: '#/webhooks' });
    const call = page.getByRole('button', { name: 'Send a test event' });
    await call.click();
    await page.getByText(/accepted the call after \d+ ms/).waitFor();
    status = 401;
    await call.click();
    await page.getByText(/did not accept the call: .*401/).waitFor();
    expect(foreign).toEqual([]);
  });

  test.each(SCHEMES)('the view is accessible in the %s scheme at any width', async (scheme) => {
    await using gmail = await startSimulator();
    const { endpoint, service } = await startHere(gmail, () => 410);
    await using _parts = { [Symbol.asyncDispose]: () => service.close() };
    await using _endpoint = endpoint;
    await service.send({ to: 'ada@example.com', subject: 'Hello', text: 'Hello' }, { wait: 10 });
    for (const width of [320, 1200]) {
      const { page } = await openUi(browser(), service.url, { at: '#/webhooks', scheme, width });
      await page.getByText('message.sent').waitFor();
      await expectAccessible(page);
    }
  });
});
