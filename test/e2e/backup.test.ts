import { mkdtempDisposable, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import { run, serveAgainst } from '../helpers/process.ts';
import { API_KEY } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const KEYS = { API_KEYS: `crm:${API_KEY}` };
const MAIL = { to: 'ada@simulator.test', subject: 'Hello', text: 'Hello, Ada.' };
const TOMORROW = new Date(Date.now() + 24 * 60 * 60 * 1000).toISOString();

async function openFolder() {
  const folder = await mkdtempDisposable(join(tmpdir(), 'outtray-backup-'));
  const file = join(folder.path, 'queue.db');
  return {
    ...folder,
    file,
    env: { ...KEYS, QUEUE_URL: `sqlite:${file}` },
    copy: join(folder.path, 'copy.db'),
  };
}

async function backUp(env: Record<string, string>, ...args: string[]) {
  await using command = run(['backup', ...args], env);
  return { code: await command.ended, ...command.output() };
}

async function request(url: string, path: string, body?: object) {
  const response = await fetch(`${url}${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json', prefer: 'wait=10' },
    ...(body && { body: JSON.stringify(body) }),
  });
  return (await response.json()) as { id: string; status: string };
}

describe.concurrent('outtray backup', () => {
  test('writes a private copy that a service starts with as its queue', async () => {
    await using folder = await openFolder();
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, folder.env);
    const sent = await request(service.url, '/send', MAIL);
    const waiting = await request(service.url, '/send', { ...MAIL, scheduled_at: TOMORROW });
    expect(await backUp(folder.env, folder.copy)).toMatchObject({
      code: 0,
      out: expect.stringMatching(/copy\.db: \d+ bytes written\n$/),
      err: '',
    });
    expect((await stat(folder.copy)).mode & 0o777).toBe(0o600);
    const later = await request(service.url, '/send', MAIL);
    expect(later.status).toBe('sent');
    // The folder has nothing but the file, its log, the socket and the copy.
    expect((await readdir(folder.path)).sort()).toEqual([
      'copy.db',
      'queue.db',
      'queue.db-wal',
      'queue.db.sock',
    ]);

    await using restored = await serveAgainst(gmail, { ...KEYS, QUEUE_URL: `sqlite:${folder.copy}` });
    expect(await request(restored.url, `/messages/${sent.id}`)).toMatchObject({ status: 'sent' });
    expect(await request(restored.url, `/messages/${waiting.id}`)).toMatchObject({ status: 'scheduled' });
    expect(await request(restored.url, `/messages/${later.id}`)).toMatchObject({ code: 'message_not_found' });
    expect(await request(restored.url, '/send', MAIL)).toMatchObject({ status: 'sent' });
  });

  test('makes a consistent copy while messages are accepted and sent, and keeps the lock of the file', async () => {
    await using folder = await openFolder();
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, { ...folder.env, RATE_LIMIT: '100000/1m' });
    const accepted: string[] = [];
    let isDone = false;
    const client = async () => {
      while (!isDone) accepted.push((await request(service.url, '/send', MAIL)).id);
    };
    const clients = Promise.all([client(), client(), client()]);
    for (const n of [1, 2]) {
      const before = [...accepted];
      const copy = `${folder.copy}.${n}`;
      expect((await backUp(folder.env, copy)).code).toBe(0);
      using db = new DatabaseSync(copy);
      expect(db.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
      const stored = new Set(
        db
          .prepare('SELECT id FROM deliveries')
          .all()
          .map(({ id }) => id),
      );
      expect(before.filter((id) => !stored.has(id))).toEqual([]);
    }
    isDone = true;
    await clients;
    await using second = run(['serve'], {
      ...folder.env,
      PORT: '0',
      GMAIL_USER: 'a@simulator.test',
      GMAIL_APP_PASSWORD: 'abcdefghijklmnop',
    });
    expect(await second.ended).toBe(2);
    expect(second.output().err).toContain('is in use by another process');
  });

  test('overwrites nothing, and leaves nothing behind when it fails', async () => {
    await using folder = await openFolder();
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, folder.env);
    expect(service.url).not.toBe('');
    await writeFile(folder.copy, 'precious');
    expect(await backUp(folder.env, folder.copy)).toMatchObject({
      code: 1,
      err: `${folder.copy} exists. Name another file: nothing is overwritten.\n`,
    });
    expect(await readFile(folder.copy, 'utf8')).toBe('precious');
    const missing = join(folder.path, 'missing', 'copy.db');
    expect(await backUp(folder.env, missing)).toMatchObject({
      code: 1,
      err: `${missing} cannot be created: no such file or directory.\n`,
    });
  });

  test('refuses an existing file before it asks for a copy', async () => {
    await using folder = await openFolder();
    await writeFile(folder.copy, '');
    const { code, err } = await backUp(folder.env, folder.copy);
    expect([code, err]).toEqual([1, expect.stringContaining('nothing is overwritten')]);
  });

  test.each([
    ['no service runs', 'sqlite:queue.db', 1, 'No service has '],
    ['the queue is in memory', 'memory:', 1, 'The queue is in memory'],
    ['the queue is in Redis', 'redis://:secret@127.0.0.1:9/0', 1, 'The queue is in Redis'],
    ['the path of the socket is too long', `sqlite:/${'x'.repeat(120)}`, 1, 'is too long for a socket'],
    ['QUEUE_URL is invalid', 'queue.db', 2, 'QUEUE_URL: It must be memory:'],
  ])('exits with a reason if %s', async (_, url, code, reason) => {
    await using folder = await openFolder();
    const result = await backUp({ QUEUE_URL: url }, folder.copy);
    expect(result).toEqual({ code, out: '', err: expect.stringContaining(reason) });
    expect(result.err).not.toContain('secret');
    expect(await readdir(folder.path)).toEqual([]);
  });

  test('exits with code 2 without a file, and with 0 for --help', async () => {
    expect(await backUp({})).toMatchObject({
      code: 2,
      err: expect.stringContaining('Usage: outtray backup FILE'),
    });
    expect(await backUp({}, 'a', 'b')).toMatchObject({ code: 2 });
    expect(await backUp({}, '--help')).toMatchObject({ code: 0, err: '' });
  });
});
