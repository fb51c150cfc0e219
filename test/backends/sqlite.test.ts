import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { createMemoryQueue } from '../../src/adapters/memory/queue.ts';
import { openSqliteBackend } from '../../src/adapters/sqlite/index.ts';
import { MIGRATIONS, migrate } from '../../src/adapters/sqlite/worker/schema.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aSuppression, put } from '../helpers/suppression.ts';
import { backendContract } from './backend-contract.ts';
import { durabilityContract, type Storage } from './durability-contract.ts';
import { followUpContract } from './follow-up-contract.ts';
import { gmailVolumeContract } from './gmail-volume-contract.ts';
import { listContract } from './list-contract.ts';
import { outboxContract } from './outbox-contract.ts';
import { statsContract } from './stats-contract.ts';
import { suppressionContract } from './suppression-contract.ts';
import { durableUsageContract, upgradeContract, usageContract } from './usage-contract.ts';

const folder = await mkdtemp(join(tmpdir(), 'ot5-contract-'));
const opened: Backend[] = [];
let folders = 0;

afterAll(async () => {
  for (const backend of opened) await backend.close();
  await rm(folder, { recursive: true });
});

async function newFolder(): Promise<string> {
  const path = join(folder, `${folders++}`);
  await mkdir(path);
  return path;
}

function storageIn(path: string): Storage {
  return {
    open: (limits) =>
      openSqliteBackend({
        ...limits,
        file: join(path, 'queue.db'),
        queue: createMemoryQueue(),
        onAvailabilityChange() {},
      }),
    async afterCrash() {
      // Copied by another process: closing the file in this one would release its lock.
      const copy = await newFolder();
      await promisify(execFile)('cp', ['-r', `${path}/.`, copy]);
      return storageIn(copy);
    },
  };
}

async function createStorage(): Promise<Storage> {
  return storageIn(await newFolder());
}

async function newSuppressions(): Promise<Backend['suppressions']> {
  const backend = await (await createStorage()).open({ maxMessages: 10, maxBytes: 1e6, retainMs: 60_000 });
  opened.push(backend);
  return backend.suppressions;
}

backendContract('sqlite', async (limits) => (await createStorage()).open(limits));
followUpContract('sqlite', async (limits) => (await createStorage()).open(limits));
listContract('sqlite', async (limits) => (await createStorage()).open(limits));
statsContract('sqlite', async (limits) => (await createStorage()).open(limits));
outboxContract('sqlite', async (limits) => (await createStorage()).open(limits));
suppressionContract('sqlite', newSuppressions);
durabilityContract('sqlite', createStorage);

const ROOMY = { maxMessages: 10, maxBytes: 1e6, retainMs: 60_000 };
usageContract('sqlite', async () => (await createStorage()).open(ROOMY));
durableUsageContract('sqlite', async () => {
  const storage = await createStorage();
  return () => storage.open(ROOMY);
});
gmailVolumeContract(
  'sqlite',
  async () => {
    const storage = await createStorage();
    return () => storage.open(ROOMY);
  },
  false,
);
upgradeContract('sqlite', async (values) => {
  const path = await newFolder();
  const file = join(path, 'queue.db');
  const db = new DatabaseSync(file);
  migrate(db, file, MIGRATIONS.slice(0, 2));
  const write = db.prepare('INSERT INTO books VALUES (?, ?)');
  for (const [name, value] of Object.entries(values)) write.run(name, JSON.stringify(value));
  db.close();
  return () => storageIn(path).open(ROOMY);
});

test('copies everything to a file that only this user can read', async () => {
  const storage = await createStorage();
  const backend = await storage.open(ROOMY);
  const delivery = aDelivery();
  await backend.store.insert(delivery);
  const folder = await newFolder();
  const file = join(folder, 'queue.db');
  await writeFile(file, 'replaced');
  await backend.copyTo?.(file);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await backend.close();
  const copy = await storageIn(folder).open(ROOMY);
  expect(await copy.store.get(delivery.id)).toMatchObject({ id: delivery.id });
  await copy.close();
});

test('lists suppressions in code unit order even where UTF-8 sorts differently', async () => {
  const store = await newSuppressions();
  const inOrder = ['é@example.com', '😀@example.com', '\uff42@example.com'];
  for (const email of inOrder.toReversed()) await put(store, aSuppression(email));
  const listed = await store.list({ limit: 10, after: null });
  expect(listed.map(({ email }) => email)).toEqual(inOrder);
});
