import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual, promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSqliteStore } from '../../../src/adapters/sqlite/store.ts';
import { openDatabase } from '../../../src/adapters/sqlite/worker/database.ts';
import type { Delivery } from '../../../src/core/delivery/delivery.ts';
import type { RecordStore } from '../../../src/core/store-then-queue.ts';
import { aDelivery, aMessage } from '../../helpers/delivery.ts';
import { serveLocally } from '../../helpers/sqlite.ts';

const LIMITS = { maxMessages: 100, maxBytes: 1e6, retainMs: 60_000 };

/** A header and a page: https://sqlite.org/fileformat2.html#the_write_ahead_log. */
const FRAME_BYTES = 24 + 4096;

/** A database and its log as a power failure leaves them while the file is in use. */
interface Snapshot {
  readonly database: Buffer;
  readonly log: Buffer;
  /** Deliveries synced before the last transaction. */
  readonly before: readonly Delivery[];
  /** Deliveries of the last transaction. */
  readonly last: readonly Delivery[];
}

// Uses memory if possible: the tests write thousands of files.
const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ot5-torn-'));
let snapshot: Snapshot;

beforeAll(async () => {
  snapshot = await createSnapshot();
});
afterAll(() => rmSync(folder, { recursive: true }));

test('opens a log truncated at any byte of its last page, with everything before', {
  timeout: 60_000,
}, async () => {
  const { log } = snapshot;
  expect(await openEach(lastFrame(1), (at) => log.subarray(0, at))).toEqual([]);
});

test('opens a log with only zeros from any position of its last page, with everything before', async () => {
  const { log } = snapshot;
  expect(
    await openEach(lastFrame(32), (at) =>
      Buffer.concat([log.subarray(0, at), Buffer.alloc(log.length - at)]),
    ),
  ).toEqual([]);
});

test('opens a log with a wrong byte in its last page, with everything before', async () => {
  const { log } = snapshot;
  const flip = (at: number) => log.map((byte, index) => (index === at ? byte ^ 0xff : byte));
  expect(await openEach(lastFrame(32), flip)).toEqual([]);
});

test('restores everything from a complete log', async () => {
  const { log, before, last } = snapshot;
  const backend = await open(writeFiles(log));
  for (const delivery of [...before, ...last]) expect(await backend.store.get(delivery.id)).toEqual(delivery);
  await backend.close();
});

/**
 * Opens the database with a log for each of these positions. Returns descriptions of all problems.
 */
async function openEach(positions: readonly number[], logFor: (at: number) => Uint8Array): Promise<string[]> {
  const problems: string[] = [];
  for (const at of positions) {
    const found = await inspect(writeFiles(logFor(at))).catch((error: unknown) => [`is refused: ${error}`]);
    problems.push(...found.map((what) => `the log torn at byte ${at} of ${snapshot.log.length} ${what}`));
  }
  return problems;
}

async function inspect(file: string): Promise<string[]> {
  const { before, last } = snapshot;
  const backend = await open(file);
  const isStored = async (delivery: Delivery) =>
    isDeepStrictEqual(await backend.store.get(delivery.id), delivery);
  const problems: string[] = [];
  try {
    for (const delivery of before) if (!(await isStored(delivery))) problems.push(`lost ${delivery.id}`);
    const stored = await Promise.all(last.map(isStored));
    if (new Set(stored).size > 1) problems.push('restored only part of the last transaction');
    const next = aDelivery();
    await backend.store.insert(next);
    if (!(await isStored(next))) problems.push('stores no more deliveries');
    return problems;
  } finally {
    await backend.close();
  }
}

async function createSnapshot(): Promise<Snapshot> {
  const used = join(folder, 'used');
  mkdirSync(used);
  const file = join(used, 'queue.db');
  const checkpointed = aDelivery();
  const first = await open(file);
  await first.store.insert(checkpointed);
  // Closing checkpoints the log.
  await first.close();
  const backend = await open(file);
  const logged = ['', 'short', 'long '.repeat(2000), 'after that'].map(saying);
  for (const delivery of logged) await backend.store.insert(delivery);
  const last = ['one', 'another '.repeat(1000)].map(saying);
  await Promise.all(last.map((delivery) => backend.store.insert(delivery)));
  // Copied by another process: closing the file in this one would release its lock.
  const copy = join(folder, 'copy');
  await promisify(execFile)('cp', ['-r', used, copy]);
  await backend.close();
  const [database, log] = ['queue.db', 'queue.db-wal'].map((name) => readFileSync(join(copy, name))) as [
    Buffer,
    Buffer,
  ];
  return { database, log, before: [checkpointed, ...logged], last };
}

function saying(text: string): Delivery {
  return aDelivery({ content: aMessage({ text }).content });
}

/** Writes the database with this log, replacing the previous files. Returns the path. */
function writeFiles(log: Uint8Array): string {
  const file = join(folder, 'torn.db');
  writeFileSync(file, snapshot.database);
  writeFileSync(`${file}-wal`, log);
  return file;
}

/** Opens the file in this thread: thousands of threads would take minutes. */
async function open(file: string): Promise<{ readonly store: RecordStore; close(): Promise<void> }> {
  const { db, openFile } = openDatabase(file);
  const { database } = serveLocally(db, openFile, LIMITS);
  return { store: createSqliteStore(database, LIMITS), close: database.close };
}

/** Positions in the last frame of the log, one every `step` bytes. */
function lastFrame(step: number): number[] {
  const { length } = snapshot.log;

  return Array.from(
    { length: Math.ceil(FRAME_BYTES / step) },
    (_, index) => length - FRAME_BYTES + index * step,
  );
}
