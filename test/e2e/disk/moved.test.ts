import { copyFile, mkdir, mkdtemp, rename, rm, symlink, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, type TestContext, test, vi } from 'vitest';
import type { MessageResource } from '../../../src/http/schemas/message.ts';
import { APP_PASSWORD } from '../../helpers/service.ts';
import { startSimulator } from '../../helpers/smtp/simulator-session.ts';
import { type Instance, startInstance } from './instance.ts';

const SOON = { timeout: 10_000, interval: 50 };
const UNAVAILABLE = 'queue unavailable';

/**
 * Starts a service whose path to its file contains a folder and a symbolic link, with one waiting
 * message.
 */
async function start({ onTestFinished }: TestContext) {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'outtray-moved-'));
  stack.defer(() => rm(folder, { recursive: true }));
  const gmail = stack.use(await startSimulator({ password: APP_PASSWORD }));
  await mkdir(join(folder, 'real'));
  await symlink('real', join(folder, 'data'));
  const file = join(folder, 'data', 'queue.db');
  const serve = () => startInstance({ smtp: gmail, file });
  const service = stack.use(await serve());
  const accepted = await accept(service);
  const owned = stack.move();
  onTestFinished(() => owned.disposeAsync());
  return { folder, file, gmail, service, serve, accepted };
}

type Paths = Pick<Awaited<ReturnType<typeof start>>, 'folder' | 'file'>;

const away = ({ folder }: Paths) => join(folder, 'away.db');
const moveAway = (paths: Paths) => rename(paths.file, away(paths));
const moveBack = (paths: Paths) => rename(away(paths), paths.file);

const MISHAPS = [
  { what: 'is moved', harm: moveAway, undo: moveBack, reason: /no longer at the path/ },
  {
    what: 'is moved with its log',
    async harm(paths: Paths) {
      await moveAway(paths);
      await rename(`${paths.file}-wal`, `${away(paths)}-wal`);
    },
    async undo(paths: Paths) {
      await rename(`${away(paths)}-wal`, `${paths.file}-wal`);
      await moveBack(paths);
    },
    reason: /no longer at the path/,
  },
  {
    what: 'is in a folder that is renamed',
    harm: ({ folder }: Paths) => rename(join(folder, 'real'), join(folder, 'renamed')),
    undo: ({ folder }: Paths) => rename(join(folder, 'renamed'), join(folder, 'real')),
    reason: /no longer at the path/,
  },
  {
    what: 'is replaced',
    async harm(paths: Paths) {
      await moveAway(paths);
      await copyFile(away(paths), paths.file);
    },
    undo: moveBack,
    reason: /Another file is at the path.*Restart Outtray/,
  },
  {
    what: 'is at a symbolic link that leads elsewhere now',
    async harm({ folder }: Paths) {
      await mkdir(join(folder, 'other'));
      await copyFile(join(folder, 'real', 'queue.db'), join(folder, 'other', 'queue.db'));
      await symlink('other', join(folder, 'next'));
      await rename(join(folder, 'next'), join(folder, 'data'));
    },
    async undo({ folder }: Paths) {
      await symlink('real', join(folder, 'restored'));
      await rename(join(folder, 'restored'), join(folder, 'data'));
    },
    reason: /Another file is at the path/,
  },
  {
    what: 'is removed',
    harm: ({ file }: Paths) => rm(file),
    undo: null,
    reason: /no longer at the path.*restart Outtray/,
  },
  {
    what: 'is truncated',
    harm: ({ file }: Paths) => truncate(file),
    undo: null,
    reason: /truncated.*Restore it from a backup/,
  },
];

// Each test waits for the service to check its file, which it does every second.
describe('a service whose file', { timeout: 60_000, concurrent: true }, () => {
  test.for(MISHAPS)(
    '$what refuses messages, is not ready, reports the reason, and sends nothing',
    async ({ harm, reason, ...rest }, context) => {
      const { gmail, service, ...paths } = await start(context);
      const soon = await accept(service, 500);
      await harm(paths);
      expect(await service.send(later())).toMatchObject({ status: 503, body: { code: 'queue_unavailable' } });
      expect(await service.request('/readyz')).toMatchObject({
        status: 503,
        body: { code: 'queue_unavailable', detail: expect.stringMatching(reason) },
      });
      const due = Date.parse((await service.get(soon)).body.scheduled_at as string);
      await vi.waitFor(() => expect(Date.now() > due + 300).toBe(true), SOON);
      expect((await service.request('/readyz')).status).toBe(503);
      expect(gmail.transactions).toHaveLength(0);
      expect(service.output().split(UNAVAILABLE)).toHaveLength(2);
      expect(service.output()).toMatch(reason);

      if (rest.undo === null) return;
      await rest.undo(paths);
      await vi.waitFor(async () => expect((await service.request('/readyz')).status).toBe(200), SOON);
      await vi.waitFor(async () => expect((await service.get(soon)).body.status).toBe('sent'), SOON);
    },
  );

  test.for(MISHAPS.slice(0, 2))(
    '$what and restored keeps messages accepted before and after',
    async ({ harm, undo }, context) => {
      const { service, serve, accepted, ...paths } = await start(context);
      await harm(paths);
      await vi.waitFor(async () => expect((await service.request('/readyz')).status).toBe(503), SOON);
      await undo?.(paths);
      await vi.waitFor(async () => expect((await service.request('/readyz')).status).toBe(200), SOON);
      const more = await accept(service);
      await service.kill();
      await using again = await serve();
      expect(await listed(again)).toEqual([accepted, more].toSorted());
    },
  );

  test('is moved detects it without a request', async (context) => {
    const { service, ...paths } = await start(context);
    await moveAway(paths);
    await vi.waitFor(() => expect(service.output()).toContain(UNAVAILABLE), SOON);
  });

  test('is moved refuses messages while another service uses the path, and the moved file keeps accepted messages', async (context) => {
    const { service, serve, accepted, ...paths } = await start(context);
    await moveAway(paths);
    await using other = await serve();
    expect((await service.send(later())).status).toBe(503);
    const more = await accept(other);
    expect(await listed(other)).toEqual([more]);
    await service.kill();
    await other.kill();
    await using moved = await startInstance({
      smtp: { url: 'smtp://127.0.0.1:1', ca: '' },
      file: away(paths),
    });
    expect(await listed(moved)).toEqual([accepted]);
    await using again = await serve();
    expect(await listed(again)).toEqual([more]);
  });

  test('is replaced leaves the log to another service that uses the new file', async (context) => {
    const { service, serve, ...paths } = await start(context);
    await moveAway(paths);
    await vi.waitFor(async () => expect((await service.request('/readyz')).status).toBe(503), SOON);
    await copyFile(away(paths), paths.file);
    await using other = await serve();
    const more = await accept(other);
    // With each request the first service tries to use its file again.
    for (let i = 0; i < 3; i++) expect((await service.send(later())).status).toBe(503);
    await other.kill();
    await using again = await serve();
    expect(await listed(again)).toContain(more);
  });

  test.for<[string, (paths: Paths) => Promise<void>]>([
    ['removed', ({ file }: Paths) => rm(`${file}-wal`)],
    [
      'replaced',
      ({ file }: Paths) =>
        copyFile(`${file}-wal`, `${file}-copy`).then(() => rename(`${file}-copy`, `${file}-wal`)),
    ],
  ])('has its log %s keeps messages accepted before and after', async ([_how, harm], context) => {
    const { service, serve, accepted, ...paths } = await start(context);
    await harm(paths);
    const more = await accept(service);
    await service.kill();
    await using again = await serve();
    expect(await listed(again)).toEqual([accepted, more].toSorted());
  });

  test('has a truncated log refuses messages', async (context) => {
    const { service, file } = await start(context);
    await truncate(`${file}-wal`);
    expect(await service.send(later())).toMatchObject({
      status: 503,
      body: { detail: expect.stringContaining('truncated') },
    });
    expect((await service.request('/readyz')).status).toBe(503);
  });
});

async function accept(service: Instance, inMs?: number): Promise<string> {
  const { status, body } = await service.send(later(inMs));
  expect(status).toBe(202);
  return body.id;
}

function later(inMs = 3_600_000): object {
  return {
    to: 'ada@example.com',
    subject: 'Later',
    text: 'later',
    scheduled_at: new Date(Date.now() + inMs).toISOString(),
  };
}

async function listed(service: Instance): Promise<string[]> {
  const { body } = await service.request('/messages?limit=100');
  const { messages } = body as unknown as { readonly messages: readonly MessageResource[] };
  return messages.map(({ id }) => id).toSorted();
}
