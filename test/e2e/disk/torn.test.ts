import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual, promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createMemoryQueue } from '../../../src/adapters/memory/queue.ts';
import { openSqliteBackend } from '../../../src/adapters/sqlite/index.ts';
import type { Delivery } from '../../../src/core/delivery/delivery.ts';
import type { Backend } from '../../../src/core/ports/backend.ts';
import { aDelivery, aMessage } from '../../helpers/delivery.ts';

/** A header and a page: https://sqlite.org/fileformat2.html#the_write_ahead_log. */
const FRAME_BYTES = 24 + 4096;

/** A file as a power failure finds it, while it is in use: what is in the database, and what is still in the log. */
interface Remains {
  readonly database: Buffer;
  readonly log: Buffer;
  /** Synced before the last transaction. */
  readonly before: readonly Delivery[];
  /** The last transaction. */
  readonly last: readonly Delivery[];
}

// Thousands of files, for which a disk would be slow.
const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ot5-torn-'));
let remains: Remains;

beforeAll(async () => {
  remains = await makeRemains();
});
afterAll(() => rmSync(folder, { recursive: true }));

test('a log that is cut at any byte of its last page is opened, and what came before is there', {
  timeout: 60_000,
}, async () => {
  const { log } = remains;
  expect(await openEach(lastFrame(1), (at) => log.subarray(0, at))).toEqual([]);
});

test('so is one that has nothing but zeros from there', async () => {
  const { log } = remains;
  expect(
    await openEach(lastFrame(32), (at) =>
      Buffer.concat([log.subarray(0, at), Buffer.alloc(log.length - at)]),
    ),
  ).toEqual([]);
});

test('and one with a wrong byte there', async () => {
  const { log } = remains;
  const flip = (at: number) => log.map((byte, index) => (index === at ? byte ^ 0xff : byte));
  expect(await openEach(lastFrame(32), flip)).toEqual([]);
});

test('a log that is whole brings everything back', async () => {
  const { log, before, last } = remains;
  const backend = await open(lay(log));
  for (const delivery of [...before, ...last]) expect(await backend.store.get(delivery.id)).toEqual(delivery);
  await backend.close();
});

/** Opens the database with the log that is made for each of these places. Answers what was wrong, in words. */
async function openEach(places: readonly number[], logFor: (at: number) => Uint8Array): Promise<string[]> {
  const wrong: string[] = [];
  for (const at of places) {
    const found = await inspect(lay(logFor(at))).catch((error: unknown) => [`is refused: ${error}`]);
    wrong.push(...found.map((what) => `what is torn at byte ${at} of ${remains.log.length} ${what}`));
  }
  return wrong;
}

async function inspect(file: string): Promise<string[]> {
  const { before, last } = remains;
  const backend = await open(file);
  const isKept = async (delivery: Delivery) =>
    isDeepStrictEqual(await backend.store.get(delivery.id), delivery);
  const wrong: string[] = [];
  try {
    for (const delivery of before) if (!(await isKept(delivery))) wrong.push(`has lost ${delivery.id}`);
    const kept = await Promise.all(last.map(isKept));
    if (new Set(kept).size > 1) wrong.push('has the last transaction in part');
    const next = aDelivery();
    await backend.store.insert(next);
    if (!(await isKept(next))) wrong.push('takes no more');
    return wrong;
  } finally {
    await backend.close();
  }
}

async function makeRemains(): Promise<Remains> {
  const used = join(folder, 'used');
  mkdirSync(used);
  const file = join(used, 'queue.db');
  const checkpointed = aDelivery();
  const former = await open(file);
  await former.store.insert(checkpointed);
  // Moves what is in the log to the database.
  await former.close();
  const backend = await open(file);
  const logged = ['', 'short', 'long '.repeat(2000), 'after that'].map(saying);
  for (const delivery of logged) await backend.store.insert(delivery);
  const last = ['one', 'another '.repeat(1000)].map(saying);
  await Promise.all(last.map((delivery) => backend.store.insert(delivery)));
  // By another process: if this one opened and closed the file, it would give up its lock.
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

/** The database with this log, in the place of the one before. */
function lay(log: Uint8Array): string {
  const file = join(folder, 'torn.db');
  writeFileSync(file, remains.database);
  writeFileSync(`${file}-wal`, log);
  return file;
}

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

/** Each of its bytes, or one in so many. */
function lastFrame(step: number): number[] {
  const { length } = remains.log;
  return Array.from(
    { length: Math.ceil(FRAME_BYTES / step) },
    (_, index) => length - FRAME_BYTES + index * step,
  );
}
