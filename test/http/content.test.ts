import { expect, test, vi } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import { createTickets } from '../../src/core/auth/tickets.ts';
import { ADMIN, type AppUnderTest, CRM, KEYS, MAIL, SHOP, startApp } from '../helpers/app.ts';

const CSP = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'";
const PIXEL = 'iVBORw0KGgo=';

async function sent(app: AppUnderTest, patch: object = {}): Promise<string> {
  return (await app.send({ ...MAIL, ...patch })).json().id;
}

async function ticketFor(app: AppUnderTest, id: string, headers = CRM) {
  const response = await app.inject({ method: 'POST', url: `/messages/${id}/content/ticket`, headers });
  expect(response.statusCode).toBe(200);
  return response.json() as { url: string; expires_at: string };
}

test('returns the content of a message to its key and to an admin', async () => {
  await using app = await startApp();
  const html = '<p>Grüße</p>'.repeat(20_000);
  const id = await sent(app, {
    html,
    attachments: [{ filename: 'a.txt', content: 'QUJD' }],
  });
  for (const headers of [CRM, ADMIN]) {
    const response = await app.get(`/messages/${id}/content`, headers);
    expect(response.json()).toEqual({
      id,
      subject: 'Hello',
      headers: [{ name: 'Subject', value: 'Hello' }],
      text: 'Hello.',
      html,
      attachments: [{ filename: 'a.txt', size: 3, content_type: 'application/octet-stream' }],
    });
  }
  expect((await app.get(`/messages/${id}/content`, SHOP)).json().code).toBe('message_not_found');
  expect(JSON.stringify(app.logs)).not.toContain('Hello.');
});

test('reports content that is no longer stored as gone', async () => {
  await using app = await startApp();
  const id = await sent(app);
  app.settle(id, { status: 'sent' });
  await vi.waitFor(async () => expect((await app.get(`/messages/${id}`)).json().status).toBe('sent'));
  const response = await app.get(`/messages/${id}/content`);
  expect([response.statusCode, response.json().code]).toEqual([410, 'content_not_kept']);
  const ticket = await app.inject({ method: 'POST', url: `/messages/${id}/content/ticket`, headers: CRM });
  expect(ticket.json().code).toBe('content_not_kept');
});

test('shows the html for a ticket, without an API key, so that it runs and loads nothing', async () => {
  await using app = await startApp();
  const html =
    '<script>alert(1)</script><img src="cid:logo"><img src=cid:none><img src="https://x.test/a.png">';
  const logo = { filename: 'logo.png', content: PIXEL, content_type: 'image/png', content_id: 'logo' };
  const id = await sent(app, { html, attachments: [logo] });
  const { url, expires_at } = await ticketFor(app, id);
  expect(url).toMatch(new RegExp(`^messages/${id}/content/view\\?ticket=`));
  const leftMs = Date.parse(expires_at) - Date.now();
  expect(leftMs).toBeGreaterThan(50_000);
  expect(leftMs).toBeLessThanOrEqual(60_000);
  const page = await app.get(`/${url}`, {} as never);
  expect(page.statusCode).toBe(200);
  expect(page.headers).toMatchObject({
    'content-security-policy': CSP,
    'content-type': 'text/html; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
  });
  expect(page.headers['set-cookie']).toBeUndefined();
  expect(page.body).toContain('<img src="https://x.test/a.png">');
  expect(page.body).toContain('<img src=cid:none>');
  expect(JSON.stringify(app.logs)).not.toContain('ticket=');
});

test('shows the text of a message without html, with its markup escaped', async () => {
  await using app = await startApp();
  const id = await sent(app, { text: 'a <b> & c' });
  const page = await app.get(`/${(await ticketFor(app, id)).url}`, {} as never);
  expect(page.body).toContain('a &#60;b&#62; &#38; c');
});

test('refuses a ticket for another message, of another key, or one that was changed', async () => {
  await using app = await startApp();
  const [id, other] = [await sent(app), await sent(app)];
  const { url } = await ticketFor(app, id);
  const forged = [
    url.replace(id, other),
    url.replace('.crm', '.boss'),
    url.replace(/ticket=\d/, 'ticket=9'),
    url.replace(/\.[\w-]+\.crm/, '..crm'),
    `messages/${id}/content/view?ticket=x`,
  ];
  for (const each of forged) {
    const response = await app.get(`/${each}`, {} as never);
    expect([response.statusCode, response.json().code]).toEqual([403, 'invalid_ticket']);
  }
  expect((await app.get(`/messages/${id}/content/view`, {} as never)).statusCode).toBe(422);
});

test('a ticket is valid for a minute, on every instance, and until its key is revoked', () => {
  let now = 1_000_000;
  const open = (keys = KEYS) => createTickets(createApiKeys(keys, createMemorySharedState()), () => now);
  const [crm] = KEYS;
  if (!crm) throw new Error('no key');
  const { ticket, expiresAt } = open().issue('msg_1', crm);
  expect(expiresAt).toBe(now + 60_000);
  expect(open().verify('msg_1', ticket).caller).toBe(crm);
  const invalid = { code: 'invalid_ticket' };
  const renewed = KEYS.map((key) => (key === crm ? { ...key, digest: Buffer.alloc(32, 1) } : key));
  for (const keys of [KEYS.slice(1), renewed])
    expect(() => open(keys).verify('msg_1', ticket)).toThrow(expect.objectContaining(invalid));
  now += 59_999;
  open().verify('msg_1', ticket);
  now += 1;
  expect(() => open().verify('msg_1', ticket)).toThrow(expect.objectContaining(invalid));
});
