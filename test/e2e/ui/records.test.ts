import { describe, expect, test } from 'vitest';
import { hasChromium, useChromium } from '../../helpers/browser.ts';
import { startEndpoint } from '../../helpers/endpoint.ts';
import { startService } from '../../helpers/service.ts';
import { startSimulator } from '../../helpers/smtp/simulator-session.ts';
import { makeTemplatesDir } from '../../helpers/templates.ts';
import { expectAccessible, openUi, SCHEMES } from '../../helpers/ui.ts';

const NO_SMTP = 'smtp://127.0.0.1:9?tls=never';
const TEMPLATES_DIR = new URL('../../../examples/templates', import.meta.url).pathname;
const HOSTILE = '<img src=x onerror=alert(1)>';

describe.runIf(hasChromium)('suppressions and templates', { timeout: 60_000 }, () => {
  const browser = useChromium();

  const startHere = (env: Record<string, string> = {}) => startService({ smtp: NO_SMTP, env });

  test('an address is suppressed, found and lifted, each after a confirmation that names it', async () => {
    await using service = await startHere();
    const { page, complaints, foreign } = await openUi(browser(), service.url, { at: '#/suppressions' });
    await page.getByText('No address is suppressed.').waitFor();
    await page.getByLabel('Address', { exact: true }).fill('ada@example.com');
    await page.getByLabel('Note (optional)').fill(HOSTILE);
    await page.getByRole('button', { name: 'Suppress' }).click();
    await page.getByText('No more mail goes to ada@example.com.').waitFor();
    await page.getByText(HOSTILE).waitFor();
    await page.getByLabel('Find an address').fill('ada@example.com');
    await page.getByRole('button', { name: 'Find' }).click();
    await page.getByRole('link', { name: 'All addresses' }).waitFor();
    const lift = page.getByRole('button', { name: 'Lift the suppression of ada@example.com' });
    await lift.click();
    await page.getByRole('button', { name: 'Back' }).click();
    expect((await service.request('/suppressions/ada@example.com')).status).toBe(200);
    await lift.click();
    await page.getByRole('dialog').getByText('ada@example.com').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Lift' }).click();
    await page.getByText('ada@example.com is not suppressed.').waitFor();
    expect((await service.request('/suppressions/ada@example.com')).status).toBe(404);
    // The browser reports each response with an error status.
    expect(complaints.filter((text) => !text.includes('404'))).toEqual([]);
    expect(foreign).toEqual([]);
  });

  test('an address that Gmail refused is shown with the reply and a link to the message', async () => {
    await using gmail = await startSimulator();
    await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
    const to = 'no-such-user@simulator.test';
    const { body } = await service.send({ to, subject: 'Hello', text: 'Hello' }, { wait: 10 });
    const { page } = await openUi(browser(), service.url, { at: '#/suppressions' });
    await page.getByText('Refused by Gmail').waitFor();
    await page.getByText(/^.*550 5\.1\.1 /).waitFor();
    const link = page.getByRole('link', { name: 'this message' });
    expect(await link.getAttribute('href')).toBe(`#/messages/${body.message?.id ?? body.id}`);
  });

  test('many addresses are shown page by page', async () => {
    await using service = await startHere();
    for (let i = 0; i < 60; i++)
      await service.request(`/suppressions/user${i}@example.com`, { method: 'PUT' });
    const { page } = await openUi(browser(), service.url, { at: '#/suppressions' });
    await page.locator('.records li').nth(49).waitFor();
    await page.getByRole('link', { name: 'Next page' }).click();
    await page.getByRole('link', { name: 'First page' }).waitFor();
    expect(await page.locator('.records li').count()).toBe(10);
  });

  test('a template is previewed with variables, and says which are missing', async () => {
    await using service = await startHere({ TEMPLATES_DIR });
    const { page, complaints, foreign } = await openUi(browser(), service.url, { at: '#/templates/invoice' });
    const values = page.getByLabel('Values, as JSON');
    const preview = page.getByRole('button', { name: 'Preview' });
    await preview.click();
    await page.getByText('Invoice number from company').waitFor();
    await values.fill('{"customer": ');
    await preview.click();
    await page.getByText('The variables are not valid JSON.').waitFor();
    await values.fill('{}');
    await preview.click();
    await page.getByText('Template could not be rendered').waitFor();
    const data = { number: HOSTILE, company: 'Acme', customer: { name: HOSTILE }, items: [], total: '1' };
    await values.fill(JSON.stringify(data));
    await preview.click();
    await page.getByText(`Invoice ${HOSTILE} from Acme`).waitFor();
    await page.frameLocator('iframe.mail').getByText(HOSTILE).first().waitFor();
    await page.getByRole('button', { name: 'HTML source' }).click();
    expect(await page.getByRole('region', { name: 'HTML source' }).textContent()).not.toContain('<img src=x');
    expect(complaints.filter((text) => !text.includes('422'))).toEqual([]);
    expect(foreign).toEqual([]);
  });

  test('the preview of html runs no script, and says when the values are too large for it', async () => {
    await using templates = await makeTemplatesDir({
      'raw/body.html': '<h1>Hello</h1><script>parent.document.title = "taken"</script><p>{{{name}}}</p>',
    });
    await using tracker = await startEndpoint();
    await using service = await startHere({ TEMPLATES_DIR: templates.dir });
    const { page } = await openUi(browser(), service.url, { at: '#/templates/raw' });
    const values = page.getByLabel('Values, as JSON');
    const pixel = `<img src="http://127.0.0.1:${tracker.port}/pixel" onerror="top.location = 'about:blank'">`;
    await values.fill(JSON.stringify({ name: `${pixel}Ada` }));
    await page.getByRole('button', { name: 'Preview' }).click();
    const frame = page.frameLocator('iframe.mail');
    await frame.getByRole('heading', { name: 'Hello' }).waitFor();
    await frame.getByText('Ada').waitFor();
    await expectAccessible(page);
    expect(await page.title()).toBe('Templates - Outtray');
    expect(tracker.connections).toBe(0);
    await values.fill(JSON.stringify({ name: 'x'.repeat(5000) }));
    await page.getByRole('button', { name: 'Preview' }).click();
    await page.getByText('use at most 4 kB of values').waitFor();
  });

  test('a service without templates says how to add them', async () => {
    await using service = await startHere();
    const { page } = await openUi(browser(), service.url, { at: '#/templates' });
    await page.getByText('The operator sets TEMPLATES_DIR').waitFor();
  });

  test.each(SCHEMES)('the views are accessible in the %s scheme at any width', async (scheme) => {
    await using service = await startHere({ TEMPLATES_DIR });
    const suppression = { method: 'PUT', body: JSON.stringify({ note: 'x'.repeat(400) }) };
    const headers = { 'content-type': 'application/json' };
    await service.request(`/suppressions/${'a'.repeat(60)}@example.com`, { ...suppression, headers });
    for (const width of [320, 1200]) {
      const { page } = await openUi(browser(), service.url, { at: '#/suppressions', scheme, width });
      await page.locator('.records li').waitFor();
      await expectAccessible(page);
      await page.goto(`${service.url}/#/templates/invoice`);
      await page.getByRole('button', { name: 'Preview' }).click();
      await page.getByText('Invoice number from company').waitFor();
      await expectAccessible(page);
    }
  });
});
