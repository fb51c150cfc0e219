import { execFile } from 'node:child_process';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { isInstalled } from './instance.ts';
import { isSync, parseTrace } from './trace.ts';

const BACKUP = new URL('../../../src/adapters/sqlite/worker/backup.ts', import.meta.url);
const PAGE_BYTES = 4096;
const MEGABYTE = 1024 * 1024;

test('CI has strace', () => {
  expect(isInstalled('strace') || process.env.CI !== 'true', 'CI needs strace').toBe(true);
});

describe.runIf(isInstalled('strace'))('a copy of the queue (skipped without strace)', () => {
  test('is synced in parts, so that transactions never wait for the sync of all of it', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-sync-'));
    const [file, copy, trace] = ['queue.db', 'copy.db', 'trace'].map((name) => join(folder.path, name)) as [
      string,
      string,
      string,
    ];
    using db = new DatabaseSync(file);
    db.exec(`CREATE TABLE content (bytes); INSERT INTO content VALUES (zeroblob(${20 * MEGABYTE}))`);

    const script = `
      import { DatabaseSync } from 'node:sqlite';
      const { copyDatabase } = await import(${JSON.stringify(BACKUP.href)});
      await copyDatabase(new DatabaseSync(${JSON.stringify(file)}), ${JSON.stringify(copy)});`;
    const strace = ['-f', '-qq', '-yy', '-s', '0', '-e', 'trace=fsync,fdatasync,pwrite64', '-o', trace];
    const node = [process.execPath, '--input-type=module', '--eval', script];
    await promisify(execFile)('strace', [...strace, ...node]);

    const calls = parseTrace(await readFile(trace, 'utf8')).filter(({ target }) => target === copy);
    const syncs = calls.flatMap((call, at) => (isSync(call) ? [at] : []));
    const parts = syncs.map((at, n) => at - (n === 0 ? 0 : (syncs[n - 1] ?? 0)));
    expect(calls.length * PAGE_BYTES).toBeGreaterThan(20 * MEGABYTE);
    expect(Math.max(...parts) * PAGE_BYTES).toBeLessThan(8 * MEGABYTE);
  });
});
