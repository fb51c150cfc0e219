import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import PostalMime from 'postal-mime';
import { describe, expect, test } from 'vitest';
import { type ServiceUnderTest, startService } from '../helpers/service.ts';
import { startWithGmail } from '../helpers/smtp/gmail.ts';

const TEXT = 'Grüße, "Ada" 🎉\n.\n'.repeat(20_000);
const HTML = `<p>${TEXT}</p>`;
const LARGE = { to: 'ada@example.com', subject: 'Large', text: TEXT, html: HTML };
const LATER = { ...LARGE, scheduled_at: new Date(Date.now() + 3_600_000).toISOString() };
const KEY = { 'content-type': 'application/json', 'idempotency-key': 'large' };

/** Fails without printing texts of this length. */
function expectTexts({ text, html }: { readonly text?: unknown; readonly html?: unknown }): void {
  expect([text === TEXT, html === HTML]).toEqual([true, true]);
}

async function submitLater(service: ServiceUnderTest): Promise<string> {
  const init = { method: 'POST', headers: KEY, body: JSON.stringify(LATER) };
  const { status, body } = await service.request('/emails', init);
  expect(status, body.detail).toBe(200);
  return body.id;
}

describe('a large text and html', () => {
  test('arrive as sent, and are read back as sent', async () => {
    await using app = await startWithGmail();
    const { status, body } = await app.service.send(LARGE, { wait: 30 });
    expect(status, body.detail).toBe(200);
    const { text, html } = await PostalMime.parse(app.gmail.messages[0]?.raw ?? '');
    const toLf = (written = '') => written.replaceAll('\r\n', '\n').trimEnd();
    expect([toLf(text) === TEXT.trimEnd(), toLf(html) === HTML]).toEqual([true, true]);

    const id = await submitLater(app.service);
    const answer = await app.service.request(`/emails/${id}`);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expectTexts(answer.body as object);
    expect(await submitLater(app.service)).toBe(id);
  });

  test('are stored as bytes beside the JSON of the message, and survive a restart', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-large-'));
    const file = join(folder.path, 'queue.db');
    const env = { QUEUE_URL: `sqlite:${file}` };
    await using app = await startWithGmail({ env });
    const id = await submitLater(app.service);
    await app.service.close();

    const db = new DatabaseSync(file, { readOnly: true });
    const { content } = db.prepare('SELECT content FROM contents').get() as { content: Uint8Array };
    db.close();
    const stored = Buffer.from(content);
    const jsonEnd = 4 + stored.readUInt32BE();
    expect(jsonEnd).toBeLessThan(1000);
    expect(stored.subarray(jsonEnd).equals(Buffer.from(HTML + TEXT))).toBe(true);

    await using restarted = await startService({ smtp: app.gmail.url, ca: app.gmail.ca, env });
    expectTexts((await restarted.request(`/emails/${id}`)).body as object);
  });
});
