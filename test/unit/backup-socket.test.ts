import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtempDisposable, stat, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { backupSocketOf, openBackupSocket } from '../../src/service/backup-socket.ts';

const logger = pino({ level: 'silent' });

async function fetchCopy(file: string): Promise<{ status: number | undefined; body: string }> {
  const [response] = (await once(
    request({ socketPath: backupSocketOf(file), path: '/' }).end(),
    'response',
  )) as [IncomingMessage];
  return { status: response.statusCode, body: await text(response) };
}

test('serves copies one after the other, each whole, and removes them', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
  const file = join(folder.path, 'queue.db');
  let copies = 0;
  const copyTo = (to: string) => writeFile(to, `copy ${++copies}`);
  const socket = await openBackupSocket({ file, copyTo, logger });
  expect((await stat(backupSocketOf(file))).mode & 0o777).toBe(0o600);
  const fetched = await Promise.all([fetchCopy(file), fetchCopy(file)]);
  expect(fetched.map(({ body }) => body).sort()).toEqual(['copy 1', 'copy 2']);
  await socket?.close();
  expect(existsSync(`${file}.backup.tmp`)).toBe(false);
  expect(existsSync(backupSocketOf(file))).toBe(false);
});

test('responds with the reason if there is no copy', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
  const file = join(folder.path, 'queue.db');
  const copyTo = async () => {
    throw new Error('The disk is full.');
  };
  const socket = await openBackupSocket({ file, copyTo, logger });
  expect(await fetchCopy(file)).toEqual({ status: 500, body: 'The disk is full.' });
  await socket?.close();
});

test('replaces the socket of a process that was killed', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
  const file = join(folder.path, 'queue.db');
  await writeFile(backupSocketOf(file), '');
  const socket = await openBackupSocket({ file, copyTo: (to) => writeFile(to, 'copy'), logger });
  expect(await fetchCopy(file)).toEqual({ status: 200, body: 'copy' });
  await socket?.close();
});

test('is absent if the path is too long for a socket', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
  const file = join(folder.path, 'q'.repeat(120));
  expect(await openBackupSocket({ file, copyTo: async () => {}, logger })).toBeNull();
});
