import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { gunzipSync } from 'node:zlib';
import { describe, test, vi } from 'vitest';
import { DAY } from '../../src/core/time.ts';
import { serveAgainst } from '../helpers/process.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const SECRET = 'fixture-secret-0123456789-abcdefgh';
const KEYS = JSON.stringify([{ name: 'crm', secret: SECRET, scopes: ['admin'] }]);
const SENT = {
  to: 'ada@example.com',
  subject: 'Sent',
  text: 'Hello, Ada.',
  tags: { kind: 'invoice' },
};

interface Body {
  readonly id: string;
  readonly messages: readonly { readonly id: string; readonly subject: string; readonly status: string }[];
  readonly deliveries: readonly object[];
}

/** Writes the queue file of a release. Nothing in it expires during the test, at any date. */
async function restore(release: string, file: string): Promise<void> {
  const fixture = new URL(`../fixtures/sqlite/${release}.db.gz`, import.meta.url);
  await writeFile(file, gunzipSync(await readFile(fixture)));
  using db = new DatabaseSync(file);
  const later = Date.now() + 10_000 * DAY;
  for (const table of ['deliveries', 'idempotency'])
    db.prepare(`UPDATE ${table} SET leaves_at = ? WHERE leaves_at IS NOT NULL`).run(later);
}

describe.concurrent('an upgrade', () => {
  test.for(['0.1.0', '0.2.0'])('from %s keeps all that the queue file has', async (release, { expect }) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-upgrade-'));
    await using gmail = await startSimulator();
    const file = join(folder.path, 'queue.db');
    await restore(release, file);
    await using service = await serveAgainst(gmail, { QUEUE_URL: `sqlite:${file}`, API_KEYS: KEYS });
    const call = async (method: string, path: string, body?: object, headers = {}) => {
      const response = await fetch(`${service.url}${path}`, {
        method,
        headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json', ...headers },
        ...(body && { body: JSON.stringify(body) }),
      });
      return (await response.json()) as Body;
    };

    const { messages } = await call('GET', '/messages');
    const statuses = Object.fromEntries(messages.map(({ subject, status }) => [subject, status]));
    expect(statuses).toMatchObject({ Sent: 'sent', Partly: 'partially_sent', Canceled: 'canceled' });
    expect(await call('GET', '/messages?to=no-such-user@simulator.test')).toMatchObject({
      messages: [{ subject: 'Partly' }],
    });
    expect(await call('GET', '/suppressions')).toMatchObject({
      suppressions: [{ email: 'no-such-user@simulator.test' }],
    });
    // The endpoint is not configured any more, so the events are given up, and stay readable.
    expect((await call('GET', '/webhooks/deliveries?status=failed')).deliveries).toHaveLength(3);

    // The request of before the upgrade is not executed again.
    const sent = messages.find(({ subject }) => subject === 'Sent');
    expect(await call('POST', '/send', SENT, { 'idempotency-key': 'invoice-1' })).toMatchObject({
      id: sent?.id,
    });

    // Sends what waits, with its content. It may be due already.
    const scheduled = messages.find(({ subject }) => subject === 'Scheduled');
    await call('PATCH', `/messages/${scheduled?.id}`, { scheduled_at: '2026-11-30T07:00:00Z' });
    await vi.waitFor(() => expect(gmail.messages).toHaveLength(1), { timeout: 10_000 });
    expect(gmail.messages).toMatchObject([{ recipients: ['bob@example.com'] }]);
    const raw = gmail.messages[0]?.raw.toString() ?? '';
    expect(raw).toContain('Later, Bob.');
    expect(raw).toContain('SGVsbG8=');
  });
});
