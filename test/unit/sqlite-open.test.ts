import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { createMemoryQueue } from '../../src/adapters/memory/queue.ts';
import { openSqliteBackend } from '../../src/adapters/sqlite/index.ts';
import { SqliteFileError } from '../../src/adapters/sqlite/sqlite-errors.ts';
import { MIGRATIONS, migrate } from '../../src/adapters/sqlite/worker/schema.ts';
import { advance } from '../../src/core/delivery/delivery.ts';
import { encodeContent, encodeRecord } from '../../src/core/delivery/delivery-codec.ts';
import { ANY_DELIVERY, type DeliveryQuery } from '../../src/core/delivery/delivery-query.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import type { Unsettled } from '../../src/core/ports/delivery-store.ts';
import { DAY } from '../../src/core/time.ts';
import { aDelivery, aMessage } from '../helpers/delivery.ts';

const folder = await mkdtemp(join(tmpdir(), 'ot5-sqlite-'));
const ANY = { ...ANY_DELIVERY, limit: 10, after: null };
let files = 0;
afterAll(() => rm(folder, { recursive: true }));

const newFile = () => join(folder, `${files++}.db`);

function open(file: string): Promise<Backend> {
  return openSqliteBackend({
    file,
    queue: createMemoryQueue(),
    maxMessages: 100,
    maxBytes: 1e6,
    retainMs: 60_000,
    onAvailabilityChange() {},
  });
}

async function unsettledOf({ store }: Backend): Promise<Unsettled[]> {
  const found: Unsettled[] = [];
  for await (const delivery of store.unsettled()) found.push(delivery);
  return found;
}

/** Returns the error of opening the file, or null. */
function openError(file: string): Promise<unknown> {
  return open(file).then(
    () => null,
    (error) => error,
  );
}

test('refuses a file that is open, until it is closed', async () => {
  const file = newFile();
  const first = await open(file);
  const error = await openError(file);
  expect(error).toBeInstanceOf(SqliteFileError);
  expect(error).toMatchObject({
    message: expect.stringMatching(`^${file} is in use by another process\\. .*stop the other process`),
  });
  await first.close();
  await (await open(file)).close();
});

test('creates a file and its log for this user alone, and does not change the umask', async () => {
  const file = newFile();
  const backend = await open(file);
  await backend.store.insert(aDelivery());
  const modes = await Promise.all([file, `${file}-wal`].map(async (path) => (await stat(path)).mode & 0o777));
  await backend.close();
  expect(modes).toEqual([0o600, 0o600]);
  expect(process.umask()).not.toBe(0o077);
});

test('refuses a file that another process has open, until that is killed', async () => {
  const file = newFile();
  const program = `
    import { openDatabase } from ${JSON.stringify(join(import.meta.dirname, '../../src/adapters/sqlite/worker/database.ts'))};
    openDatabase(${JSON.stringify(file)});
    console.log('open');
    setInterval(() => {}, 1000);
  `;
  const other = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void other.kill('SIGKILL'));
  await once(other.stdout, 'data');
  expect(await openError(file)).toMatchObject({
    name: 'SqliteFileError',
    message: expect.stringContaining('is in use'),
  });
  other.kill('SIGKILL');
  await once(other, 'exit');
  await (await open(file)).close();
});

test('refuses a file that is not a database, and does not change it', async () => {
  const file = newFile();
  const text = 'Some notes, and no database. '.repeat(50);
  await writeFile(file, text);
  expect(await openError(file)).toMatchObject({
    name: 'SqliteFileError',
    message: expect.stringContaining('is not an SQLite database'),
  });
  expect(await readFile(file, 'utf8')).toBe(text);
});

test('refuses a database of another program, and creates no tables in it', async () => {
  const file = newFile();
  const foreign = new DatabaseSync(file);
  foreign.exec('CREATE TABLE songs (title TEXT)');
  foreign.close();
  expect(await openError(file)).toMatchObject({
    name: 'SqliteFileError',
    message: expect.stringContaining('of another program'),
  });
  const again = new DatabaseSync(file);
  expect(again.prepare('SELECT name FROM sqlite_schema').all()).toEqual([{ name: 'songs' }]);
  again.close();
});

test('reports a missing folder, and does not create it', async () => {
  expect(await openError(join(folder, 'missing', 'queue.db'))).toMatchObject({
    name: 'SqliteFileError',
    message: expect.stringContaining('Check that its folder exists'),
  });
  expect(existsSync(join(folder, 'missing'))).toBe(false);
});

test('refuses a file that a newer version wrote, and does not change it', async () => {
  const file = newFile();
  await (await open(file)).close();
  const db = new DatabaseSync(file);
  db.exec('PRAGMA user_version = 999');
  db.close();
  const content = await readFile(file);
  expect(await openError(file)).toMatchObject({
    name: 'SqliteFileError',
    message: expect.stringContaining('was written by a newer Outtray'),
  });
  expect((await readFile(file)).equals(content)).toBe(true);
});

test('migrates a file with an older schema, applies each migration once and keeps the data', () => {
  const db = new DatabaseSync(':memory:');
  const first = 'CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES (1)';
  const second = 'ALTER TABLE notes ADD COLUMN stars INTEGER NOT NULL DEFAULT 3';
  migrate(db, 'notes.db', [first]);
  migrate(db, 'notes.db', [first, second]);
  migrate(db, 'notes.db', [first, second]);
  expect(db.prepare('SELECT * FROM notes').all()).toEqual([{ text: '1', stars: 3 }]);
  expect(() => migrate(db, 'notes.db', [first])).toThrow('its schema has version 2, this Outtray supports 1');
  db.close();
});

test('opens a file of the first schema with its messages and idempotency keys', async () => {
  const file = newFile();
  const {
    replyTo: _,
    template: __,
    attachments: ___,
    warnings: ____,
    ...older
  } = aDelivery({ status: 'sent', content: null, finishedAt: 1 });
  const response = { status: 202, headers: {}, body: '{"id":"msg_1"}' };
  const db = new DatabaseSync(file);
  migrate(db, file, MIGRATIONS.slice(0, 1));
  const later = Date.now() + 60_000;
  db.prepare(
    `INSERT INTO deliveries (id, owner, priority, created_at, bytes, revision, status, account, leaves_at, record)
     VALUES (?, 'crm', 'normal', 1, 1, 1, 'sent', 'bot@acme.com', ?, ?)`,
  ).run(older.id, later, JSON.stringify(older));
  const claims = db.prepare('INSERT INTO idempotency VALUES (?, ?, ?, ?, ?)');
  claims.run('responded', 'f', 'seed', JSON.stringify(response), later);
  claims.run('interrupted', 'f', 'seed', null, null);
  db.close();

  const backend = await open(file);
  expect(await backend.store.get(older.id)).toEqual({
    ...older,
    replyTo: [],
    template: null,
    attachments: [],
    warnings: [],
  });
  expect(await backend.idempotency.claim('responded', 'f', 'crm')).toEqual({ kind: 'responded', response });
  expect(await backend.idempotency.claim('responded', 'g', 'crm')).toEqual({ kind: 'mismatch' });
  expect(await backend.idempotency.claim('interrupted', 'f', 'crm')).toEqual({ kind: 'new', seed: 'seed' });
  await backend.close();
});

test('opens a file of the third schema with its messages, and changes them', async () => {
  const file = newFile();
  const error = {
    code: 'connection_lost',
    scope: 'message',
    detail: 'Lost.',
    hint: 'None.',
    smtp: null,
  } as const;
  const queued = aDelivery();
  const deferred = aDelivery({ status: 'deferred', revision: 3, error, nextAttemptAt: Date.now() + 60_000 });
  const sent = aDelivery({ status: 'sent', revision: 3, content: null, finishedAt: 1 });
  const db = new DatabaseSync(file);
  migrate(db, file, MIGRATIONS.slice(0, 3));
  const insert = db.prepare(
    `INSERT INTO deliveries (id, owner, priority, created_at, bytes, revision, status, account, leaves_at, record)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  for (const delivery of [queued, deferred, sent]) {
    const { id, owner, priority, createdAt, bytes, revision, status, account, content } = delivery;
    const leavesAt = status === 'sent' ? Date.now() + 60_000 : null;
    const columns = [id, owner, priority, createdAt, bytes, revision, status, account, leavesAt];
    const { lastInsertRowid } = insert.run(...columns, encodeRecord(delivery));
    if (content)
      db.prepare('INSERT INTO contents VALUES (?, ?)').run(lastInsertRowid, encodeContent(content));
  }
  db.close();

  const before = await open(file);
  for (const delivery of [queued, deferred, sent])
    expect(await before.store.get(delivery.id)).toEqual(delivery);
  expect(before.store.freeBytes()).toBe(1e6 - queued.bytes - deferred.bytes);
  const waiting = await unsettledOf(before);
  expect(waiting.map(({ id, error }) => [id, error])).toEqual([
    [queued.id, null],
    [deferred.id, error],
  ]);
  const failed = advance(deferred, 'failed', { error, finishedAt: 2 });
  expect(await before.store.update(deferred, failed)).toBe(true);
  await before.close();
  const after = await open(file);
  expect(await after.store.get(deferred.id)).toEqual(failed);
  expect(await unsettledOf(after)).toHaveLength(1);
  await after.close();
});

test.each(MIGRATIONS.map((_, i) => i + 1).filter((version) => version >= 4))(
  'opens a file of schema %i, finds its messages by status and recipient, and changes them',
  async (version) => {
    const file = newFile();
    const queued = aDelivery();
    const sent = aDelivery({ status: 'sent', content: null, finishedAt: 1 });
    const db = new DatabaseSync(file);
    migrate(db, file, MIGRATIONS.slice(0, version));
    const insert = db.prepare(
      `INSERT INTO deliveries (id, owner, priority, created_at, bytes, revision, status, account, leaves_at, state)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '{}')`,
    );
    for (const delivery of [queued, sent]) {
      const { id, owner, priority, createdAt, bytes, revision, status, account, content } = delivery;
      const leavesAt = status === 'sent' ? Date.now() + 60_000 : null;
      const columns = [id, owner, priority, createdAt, bytes, revision, status, account, leavesAt];
      const { lastInsertRowid } = insert.run(...columns);
      db.prepare('INSERT INTO records VALUES (?, ?)').run(lastInsertRowid, encodeRecord(delivery));
      if (content)
        db.prepare('INSERT INTO contents VALUES (?, ?)').run(lastInsertRowid, encodeContent(content));
    }
    db.close();

    const backend = await open(file);
    const idsOf = async (query: Partial<DeliveryQuery>) =>
      (await backend.store.list({ ...ANY, ...query })).map(({ id }) => id);
    expect(await idsOf({ statuses: ['sent'] })).toEqual([sent.id]);
    expect(await idsOf({ waitingAt: Date.now() })).toEqual([queued.id]);
    const recipient = queued.recipients[0]?.email ?? '';
    expect((await idsOf({ recipient })).toSorted()).toEqual([queued.id, sent.id].toSorted());
    expect(await backend.store.get(queued.id)).toEqual(queued);
    const done = advance(queued, 'canceled', { finishedAt: 2 });
    expect(await backend.store.update(queued, done)).toBe(true);
    expect(await idsOf({ statuses: ['canceled'] })).toEqual([queued.id]);
    await backend.close();
  },
);

test('counts what a file of the fourth schema has settled in the last day', async () => {
  const file = newFile();
  const now = Date.now();
  const db = new DatabaseSync(file);
  migrate(db, file, MIGRATIONS.slice(0, 4));
  const insert = db.prepare(
    `INSERT INTO deliveries (id, owner, priority, created_at, bytes, revision, status, account, leaves_at, state)
     VALUES (?, ?, 'normal', ?, 1, 1, ?, 'bot@acme.com', ?, ?)`,
  );
  const rows = [
    aDelivery({ status: 'sent', finishedAt: now }),
    aDelivery({ status: 'partially_sent', finishedAt: now, owner: 'shop' }),
    aDelivery({ status: 'expired', finishedAt: now }),
    aDelivery({ status: 'canceled', finishedAt: now }),
    aDelivery({ status: 'sent', finishedAt: now - 3 * DAY }),
    aDelivery({ status: 'queued', createdAt: now - 5000, scheduledAt: now - 4000 }),
    aDelivery({ status: 'scheduled', scheduledAt: now + DAY }),
  ];
  for (const [i, delivery] of rows.entries()) {
    const { id, owner, createdAt, status, finishedAt, scheduledAt } = delivery;
    const state = i % 2 === 0 ? '{}' : JSON.stringify({ status, finishedAt, scheduledAt });
    const leavesAt = finishedAt === null || status === 'expired' ? null : now + DAY;
    const { lastInsertRowid } = insert.run(id, owner, createdAt, status, leavesAt, state);
    db.prepare('INSERT INTO records VALUES (?, ?)').run(lastInsertRowid, encodeRecord(delivery));
  }
  db.close();
  for (let starts = 0; starts < 2; starts += 1) {
    const backend = await open(file);
    const { byStatus, oldestDueAt, byHour } = await backend.store.stats(null, now);
    expect(byStatus).toEqual({ scheduled: 1, queued: 1, sending: 0, deferred: 0 });
    expect(oldestDueAt).toBe(now - 4000);
    expect(byHour.at(-1)).toMatchObject({ sent: 2, failed: 1 });
    expect((await backend.store.stats('shop', now)).byHour.at(-1)).toMatchObject({ sent: 1, failed: 0 });
    await backend.close();
  }
});

test('removes the content of a settled message at the next start, if the process was killed before', async () => {
  const file = newFile();
  const delivery = aDelivery({ content: aMessage({ text: 'secret' }).content });
  const first = await open(file);
  await first.store.insert(delivery);
  await first.close();
  const db = new DatabaseSync(file);
  db.prepare("UPDATE deliveries SET revision = 2, status = 'sent', state = ?").run(
    '{"revision":2,"status":"sent"}',
  );
  db.close();

  const again = await open(file);
  expect(await again.store.get(delivery.id)).toMatchObject({ status: 'sent', content: null });
  expect(again.store.freeBytes()).toBe(1e6);
  await again.close();
  expect(await readFile(file, 'latin1')).not.toContain('secret');
});

test('does not change the schema when a migration fails', () => {
  const file = newFile();
  const first = 'CREATE TABLE notes (text TEXT)';
  const db = new DatabaseSync(file);
  migrate(db, file, [first]);
  expect(() => migrate(db, file, [first, 'CREATE TABLE more (text TEXT)', 'nonsense'])).toThrow();
  db.close();
  const again = new DatabaseSync(file);
  expect(again.prepare('SELECT name FROM sqlite_schema').all()).toEqual([{ name: 'notes' }]);
  again.close();
});

test('removes every byte of a body from the file once its message is settled', async () => {
  const file = newFile();
  const backend = await open(file);
  const small = aDelivery({ content: aMessage({ text: 'small secret' }).content });
  const large = aDelivery({ content: aMessage({ text: 'large secret '.repeat(5000) }).content });
  const waiting = aDelivery({ content: aMessage({ text: 'still waiting' }).content });
  for (const delivery of [small, large, waiting]) await backend.store.insert(delivery);
  for (const delivery of [small, large])
    await backend.store.update(delivery, { ...delivery, revision: 2, status: 'canceled', content: null });
  await backend.close();
  const bytes = await readFile(file, 'latin1');
  expect(bytes).toContain('still waiting');
  expect(bytes).not.toContain('secret');
});
