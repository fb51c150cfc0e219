import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { createMemoryQueue } from '../../src/adapters/memory/queue.ts';
import { openSqliteBackend } from '../../src/adapters/sqlite/index.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import { aSuppression, put } from '../helpers/suppression.ts';
import { backendContract } from './backend-contract.ts';
import { durableContract, type Place } from './durability-contract.ts';
import { outboxContract } from './outbox-contract.ts';
import { suppressionContract } from './suppression-contract.ts';

const folder = await mkdtemp(join(tmpdir(), 'ot5-contract-'));
const opened: Backend[] = [];
let places = 0;

afterAll(async () => {
  for (const backend of opened) await backend.close();
  await rm(folder, { recursive: true });
});

async function newFolder(): Promise<string> {
  const path = join(folder, `${places++}`);
  await mkdir(path);
  return path;
}

function placeIn(path: string): Place {
  return {
    open: (limits) =>
      openSqliteBackend({
        ...limits,
        file: join(path, 'queue.db'),
        queue: createMemoryQueue(),
        onAvailabilityChange() {},
      }),
    async afterCrash() {
      // By another process: if this one opened and closed the file, it would give up its lock.
      const copy = await newFolder();
      await promisify(execFile)('cp', ['-r', `${path}/.`, copy]);
      return placeIn(copy);
    },
  };
}

async function newPlace(): Promise<Place> {
  return placeIn(await newFolder());
}

async function newSuppressions(): Promise<Backend['suppressions']> {
  const backend = await (await newPlace()).open({ maxMessages: 10, maxBytes: 1e6, retainMs: 60_000 });
  opened.push(backend);
  return backend.suppressions;
}

backendContract('sqlite', async (limits) => (await newPlace()).open(limits));
outboxContract('sqlite', async (limits) => (await newPlace()).open({ ...limits, retainMs: 60_000 }));
suppressionContract('sqlite', newSuppressions);
durableContract('sqlite', newPlace);

test('suppressions come in code unit order also where the order of UTF-8 is another', async () => {
  const store = await newSuppressions();
  const inOrder = ['é@example.com', '😀@example.com', '\uff42@example.com'];
  for (const email of inOrder.toReversed()) await put(store, aSuppression(email));
  const listed = await store.list({ limit: 10, after: null });
  expect(listed.map(({ email }) => email)).toEqual(inOrder);
});
