import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import type { MessageResource } from '../../../src/http/schemas/message.ts';
import { APP_PASSWORD } from '../../helpers/service.ts';
import { startSimulator } from '../../helpers/smtp/simulator-session.ts';
import { type Instance, isInstalled, startInstance } from './instance.ts';
import { canMount, openSizeLimit, openTmpfs } from './limited-disk.ts';

const DISKS = [
  {
    where: 'with a limit of file sizes (skipped without prlimit)',
    open: openSizeLimit,
    runs: isInstalled('prlimit'),
  },
  { where: 'that is full (skipped if none can be mounted)', open: openTmpfs, runs: canMount },
];

const MAIN = new URL('../../../src/main.ts', import.meta.url).pathname;

/** The service tries a write every second. */
const SOON = { timeout: 5000, interval: 50 };

test.runIf(canMount)(
  'a backup without enough free space is refused, and leaves no file (skipped if no disk can be mounted)',
  async () => {
    await using disk = await openTmpfs();
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    await using service = await startInstance({ smtp: gmail, file: disk.file, command: disk.command });
    const runHere = (...command: string[]) => {
      const [program = '', ...args] = [...disk.command, ...command];
      return promisify(execFile)(program, args, {
        env: { ...process.env, QUEUE_URL: `sqlite:${disk.file}` },
      });
    };
    await expect(runHere(process.execPath, MAIN, 'backup', `${disk.file}.copy`)).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/The copy is made in .*, and needs \d+ MB of free space there\./),
    });
    expect((await runHere('ls', dirname(disk.file))).stdout.trim().split('\n').sort()).toEqual([
      'queue.db',
      'queue.db-wal',
      'queue.db.sock',
    ]);
    expect((await service.send(later())).status).toBe(202);
  },
);

for (const { where, open, runs } of DISKS) {
  describe.runIf(runs)(`on a file system ${where}`, { timeout: 60_000, concurrent: true }, () => {
    test('refuses messages that it cannot store, keeps accepted ones, and accepts more once there is space', async () => {
      await using disk = await open();
      await using gmail = await startSimulator({ password: APP_PASSWORD });
      const setup = { smtp: gmail, file: disk.file, command: disk.command };
      const accepted: string[] = [];
      {
        await using service = await startInstance(setup);
        const accept = async () => {
          const response = await service.send(later());
          if (response.status === 202) accepted.push(response.body.id);
          return response;
        };
        await accept();
        await disk.fill(service.pid, 200_000);
        let refusal = await accept();
        while (refusal.status === 202) refusal = await accept();
        expectUnavailable(refusal);
        expect(accepted.length).toBeGreaterThan(3);
        await vi.waitFor(async () => expect(await listed(service)).toEqual(accepted.toSorted()));
        await disk.fill(service.pid, 0);
        for (const refused of await Promise.all(Array.from({ length: 8 }, accept)))
          expectUnavailable(refused);
        // There may still be space for part of a message.
        await vi.waitFor(async () =>
          expect([(await accept()).status, (await service.request('/readyz')).body.code]).toEqual([
            503,
            'queue_unavailable',
          ]),
        );
        await vi.waitFor(async () => expect(await listed(service)).toEqual(accepted.toSorted()));

        await disk.free(service.pid);
        await vi.waitFor(async () => expect((await service.request('/readyz')).status).toBe(200), SOON);
        expect((await accept()).status).toBe(202);
        await service.kill();
      }
      await using again = await startInstance(setup);
      expect(await listed(again)).toEqual(accepted.toSorted());
    });

    test('records the outcome of an attempt once there is space again, starts none meanwhile, and sends each message once', async () => {
      await using disk = await open();
      await using gmail = await startSimulator({ password: APP_PASSWORD });
      const setup = { smtp: gmail, file: disk.file, command: disk.command };
      const ids: string[] = [];
      const statuses = async (service: Instance) =>
        Promise.all(ids.map(async (id) => (await service.get(id)).body.status));
      {
        await using service = await startInstance(setup);
        const accept = async (message: object) =>
          ids.push((await service.send({ subject: 'x', text: 'x', ...message })).body.id);
        await accept({ to: 'slow+5s@simulator.test' });
        await accept({ to: 'ada@example.com', scheduled_at: inMs(3000) });
        await gmail.waitFor(({ transactions }) => transactions.length === 1);
        await disk.fill(service.pid, 0);
        expectUnavailable(await service.send(later()));
        await gmail.waitFor(({ messages }) => messages.some(({ answered }) => answered));
        await vi.waitFor(async () => expect(await statuses(service)).toEqual(['sending', 'scheduled']));
        expect(gmail.transactions).toHaveLength(1);

        await disk.free(service.pid);
        await vi.waitFor(async () => expect(await statuses(service)).toEqual(['sent', 'sent']), SOON);
        await service.kill();
      }
      await using again = await startInstance(setup);
      expect(await statuses(again)).toEqual(['sent', 'sent']);
      for (const id of ids)
        expect((await again.get(id)).body).toMatchObject({
          attempts: [{ number: 1 }],
          possible_duplicate: false,
        });
      expect(gmail.messages.map(({ recipients }) => recipients[0])).toEqual([
        'slow+5s@simulator.test',
        'ada@example.com',
      ]);
    });

    test('starts with a full disk, refuses messages, and accepts them once there is space', async () => {
      await using disk = await open();
      await using gmail = await startSimulator({ password: APP_PASSWORD });
      const { file } = disk;
      let id: string;
      {
        await using service = await startInstance({ smtp: gmail, file, command: disk.command });
        id = (await service.send(later())).body.id;
        await disk.fill(service.pid, 0);
        await service.kill();
      }
      await using again = await startInstance({ smtp: gmail, file, command: disk.command });
      expectUnavailable(await again.send(later()));
      await vi.waitFor(async () => expect(await listed(again)).toEqual([id]));
      await disk.free(again.pid);
      await vi.waitFor(async () => expect((await again.send(later())).status).toBe(202), SOON);
    });
  });
}

/** Returns a message that stays scheduled during the test. */
function later(): object {
  return {
    to: 'ada@example.com',
    subject: 'Later',
    text: 'later '.repeat(1000),
    scheduled_at: inMs(3_600_000),
  };
}

function inMs(ms: number): string {
  return new Date(Date.now() + ms).toISOString();
}

function expectUnavailable({ status, headers, body }: Awaited<ReturnType<Instance['send']>>): void {
  expect({ status, code: body.code }).toEqual({ status: 503, code: 'queue_unavailable' });
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
}

/** Returns the ids of all messages, sorted; none while they cannot be read. */
async function listed(service: Instance): Promise<string[]> {
  const { body } = await service.request('/messages?limit=100');
  const { messages = [] } = body as { messages?: readonly MessageResource[] };
  return messages.map(({ id }) => id).toSorted();
}
