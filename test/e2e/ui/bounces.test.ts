import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createMemoryQueue } from '../../../src/adapters/memory/queue.ts';
import { openSqliteBackend } from '../../../src/adapters/sqlite/index.ts';
import { advance, type Delivery } from '../../../src/core/delivery/delivery.ts';
import { applyInbound } from '../../../src/core/inbound/apply.ts';
import type { InboundDecision } from '../../../src/core/inbound/decision.ts';
import type { Backend } from '../../../src/core/ports/backend.ts';
import { hasChromium, useChromium } from '../../helpers/browser.ts';
import { aDelivery, aMessage } from '../../helpers/delivery.ts';
import { aBounce, aReply, aReported } from '../../helpers/inbound.ts';
import { type ServiceUnderTest, startService } from '../../helpers/service.ts';
import { expectAccessible, openUi, SCHEMES } from '../../helpers/ui.ts';

const NO_SMTP = 'smtp://127.0.0.1:9?tls=never';
const LIMITS = { maxMessages: 100, maxBytes: 1e7, retainMs: 86_400_000 };
const UNREACHABLE = 'The server of bob@example.com did not take the connection';
const HOSTILE = '<img src=x onerror=alert(1)>';

describe.runIf(hasChromium)('bounces and replies on the page', { timeout: 60_000 }, () => {
  const browser = useChromium();
  let folder: string;
  let service: ServiceUnderTest;
  let bounced: Delivery;
  let answered: Delivery;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ot5-bounces-'));
    const file = join(folder, 'queue.db');
    const backend = await openSqliteBackend({
      ...LIMITS,
      file,
      queue: createMemoryQueue(),
      onAvailabilityChange() {},
    });
    bounced = await settle(backend, 'Your invoice', [
      aBounce({ kind: 'delayed' }),
      aBounce(),
      aBounce({
        recipients: [
          aReported({
            email: 'bob@example.com',
            class: 'soft',
            smtp: null,
            diagnostic: UNREACHABLE,
            reportingMta: HOSTILE,
          }),
        ],
        unverified: true,
      }),
    ]);
    answered = await settle(backend, 'A question', [
      aReply({ kind: 'auto_replied' }),
      aReply({ from: 'ada@example.com' }),
    ]);
    await settle(backend, 'No answer yet', []);
    await settle(backend, 'No reply of Gmail', [aBounce()], 'uncertain');
    await backend.suppressions.replace(null, {
      email: 'ada@example.com',
      reason: 'bounce',
      accounts: ['bot@acme.com'],
      smtp: aReported().smtp,
      messageId: bounced.id,
      note: null,
      createdAt: Date.now(),
    });
    await backend.close();
    service = await startService({ smtp: NO_SMTP, env: { QUEUE_URL: `sqlite:${file}` } });
  });
  afterAll(async () => {
    await service?.close();
    await rm(folder, { recursive: true });
  });

  test('a message that bounced has the class and the reason of each recipient, and every report', async () => {
    const { page, complaints } = await openUi(browser(), service.url, { at: `#/messages/${bounced.id}` });
    await page.getByText('At least one recipient did not get it.').waitFor();
    const recipients = page.getByRole('region', { name: '2 recipients' });
    const [ada, bob] = [recipients.getByRole('listitem').nth(0), recipients.getByRole('listitem').nth(1)];
    await ada.getByText('The address does not exist.').waitFor();
    await ada.getByText(/550 5\.1\.1 The email account/).waitFor();
    await ada.getByText('reported by googlemail.com').waitFor();
    await bob.getByText(UNREACHABLE).waitFor();
    await bob.getByText(`reported by ${HOSTILE}, not confirmed by Gmail`).waitFor();
    const timeline = await page.locator('.timeline li strong').allTextContents();
    expect(timeline).toEqual(['Accepted', 'Sent', 'Delayed by the receiving server', 'Bounced', 'Bounced']);
    await page.locator('.timeline li').last().getByText('For bob@example.com').waitFor();
    expect(complaints).toEqual([]);
  });

  test('a message that was replied to shows who replied, and nothing of the reply', async () => {
    const { page } = await openUi(browser(), service.url, { at: `#/messages/${answered.id}` });
    const last = page.locator('.timeline li').last();
    await last.getByText('Reply').waitFor();
    await last.getByText('from ada@example.com').waitFor();
    expect(await page.locator('.timeline li strong').allTextContents()).toContain('Automatic reply');
  });

  test('the list shows what bounced or needs a decision, and has a filter for bounces that the address of the page keeps', async () => {
    const { page } = await openUi(browser(), service.url, { at: '#/messages' });
    await page.getByText('No answer yet').waitFor();
    expect(await page.locator('.messages .status').allTextContents()).toEqual(
      expect.arrayContaining(['Bounced', 'Sent', 'Uncertain']),
    );
    await page.getByLabel('Status').selectOption('Bounced');
    await page.getByText('No answer yet').waitFor({ state: 'detached' });
    await page.getByText('Your invoice').waitFor();
    expect(page.url()).toContain('bounced=true');
    await page.reload();
    await page.getByText('Your invoice').waitFor();
    expect(await page.getByLabel('Status').inputValue()).toBe('bounced');
    expect(await page.locator('.messages .status').allTextContents()).toEqual(['Uncertain', 'Bounced']);
    await page.getByLabel('Status').selectOption('Sent');
    await page.getByText('A question').waitFor();
    expect(page.url()).not.toContain('bounced');
  });

  test('a suppressed address shows that it bounced, and links the message', async () => {
    const { page } = await openUi(browser(), service.url, { at: '#/suppressions' });
    await page.locator('.record').getByText('Bounced').waitFor();
    const link = page.getByRole('link', { name: 'this message' });
    expect(await link.getAttribute('href')).toBe(`#/messages/${bounced.id}`);
  });

  test('the card of an account shows whether its mailbox can be read', async () => {
    const { page } = await openUi(browser(), service.url);
    await page.getByText('Mailbox cannot be read: no_mailbox. Sending does not depend on it.').waitFor();
    const link = page.getByRole('link', { name: 'no_mailbox' });
    expect(await link.getAttribute('href')).toBe('problems/no_mailbox');
  });

  test.each(SCHEMES)('the message is accessible in the %s scheme at any width', async (scheme) => {
    for (const width of [320, 1200]) {
      const { page } = await openUi(browser(), service.url, {
        at: `#/messages/${bounced.id}`,
        scheme,
        width,
      });
      await page.getByText('The address does not exist.').waitFor();
      await expectAccessible(page);
    }
  });
});

/** Stores a message to Ada and Bob that has settled, and was then followed by mail. */
async function settle(
  { store }: Backend,
  subject: string,
  mails: readonly InboundDecision[],
  status: 'sent' | 'uncertain' = 'sent',
): Promise<Delivery> {
  const { envelope } = aMessage({ to: ['ada@example.com', 'bob@example.com'] });
  const emails = ['ada@example.com', 'bob@example.com'];
  const queued = aDelivery({ envelope: { ...envelope, subject }, createdAt: Date.now() - 60_000 });
  const sending = advance(queued, 'sending');
  const recipients = emails.map((email) => ({ email, status: 'accepted', smtp: null }) as const);
  let delivery = advance(sending, status, { recipients, finishedAt: Date.now() - 59_000 });
  await store.insert(queued);
  await store.update(queued, sending);
  await store.update(sending, delivery, { kind: 'done' });
  for (const mail of mails) {
    const followed = applyInbound(delivery, mail)?.delivery ?? delivery;
    expect(await store.update(delivery, followed)).toBe(true);
    delivery = followed;
  }
  return delivery;
}
