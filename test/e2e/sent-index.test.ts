import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startWithGmail } from '../helpers/smtp/gmail.ts';

const MAIL = { to: ['ada@example.com', 'no-such-user@simulator.test'], subject: 'Hello', text: 'Hello.' };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ot5-sent-index-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Sends a message, stops the service, and returns the id and what the index has. */
async function indexAfter(inbound: string): Promise<{ id: string; mails: unknown[] }> {
  const file = join(folder, `${inbound}.db`);
  const env = { QUEUE_URL: `sqlite:${file}`, INBOUND: inbound };
  const app = await startWithGmail({ imap: true, env });
  const { body } = await app.service.send(MAIL, { wait: 20 });
  await app[Symbol.asyncDispose]();
  const db = new DatabaseSync(file);
  const rows = db.prepare('SELECT mail FROM sent_index').all();
  db.close();
  return { id: body.message?.id ?? body.id, mails: rows.map(({ mail }) => JSON.parse(String(mail))) };
}

test.each(['bounces', 'replies'])(
  'with INBOUND=%s the index has what was sent before a stop',
  async (inbound) => {
    const { id, mails } = await indexAfter(inbound);
    const mail = { id, owner: 'crm', account: 'bot@simulator.test', recipients: ['ada@example.com'] };
    expect(mails).toEqual([mail]);
  },
);

test('without INBOUND nothing is indexed', async () => {
  expect((await indexAfter('off')).mails).toEqual([]);
});
