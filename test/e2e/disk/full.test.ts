import { describe, expect, test, vi } from 'vitest';
import type { MessageResource } from '../../../src/http/schemas/message.ts';
import { APP_PASSWORD } from '../../helpers/service.ts';
import { startSimulator } from '../../helpers/smtp/simulator-session.ts';
import { type Instance, isThere, startInstance } from './instance.ts';
import { mayMount, openLimited, openMounted } from './rooms.ts';

const ROOMS = [
  {
    where: 'with a file size limit (skipped without prlimit)',
    open: openLimited,
    runs: isThere('prlimit'),
  },
  { where: 'that is full (skipped where mounting is not permitted)', open: openMounted, runs: mayMount },
];

/** The service retries every second. */
const SOON = { timeout: 5000, interval: 50 };

for (const { where, open, runs } of ROOMS) {
  describe.runIf(runs)(`on a file system ${where}`, { timeout: 60_000, concurrent: true }, () => {
    test('refuses messages it cannot store, keeps the accepted ones, and accepts more once there is space', async () => {
      await using room = await open();
      await using gmail = await startSimulator({ password: APP_PASSWORD });
      const setup = { smtp: gmail, file: room.file, under: room.under };
      const kept: string[] = [];
      {
        await using service = await startInstance(setup);
        const accept = async () => {
          const answer = await service.send(later());
          if (answer.status === 202) kept.push(answer.body.id);
          return answer;
        };
        await accept();
        await room.fill(service.pid, 200_000);
        let refusal = await accept();
        while (refusal.status === 202) refusal = await accept();
        expectUnavailable(refusal);
        expect(kept.length).toBeGreaterThan(3);
        await vi.waitFor(async () => expect(await listed(service)).toEqual(kept.toSorted()));
        await room.fill(service.pid, 0);
        for (const refused of await Promise.all(Array.from({ length: 8 }, accept)))
          expectUnavailable(refused);
        // There may still be space for less than a message.
        await vi.waitFor(async () =>
          expect([(await accept()).status, (await service.request('/readyz')).body.code]).toEqual([
            503,
            'queue_unavailable',
          ]),
        );
        await vi.waitFor(async () => expect(await listed(service)).toEqual(kept.toSorted()));

        await room.free(service.pid);
        await vi.waitFor(async () => expect((await service.request('/readyz')).status).toBe(200), SOON);
        expect((await accept()).status).toBe(202);
        await service.kill();
      }
      await using again = await startInstance(setup);
      expect(await listed(again)).toEqual(kept.toSorted());
    });

    test('records the outcome of an attempt once there is space, starts none before, and sends each message once', async () => {
      await using room = await open();
      await using gmail = await startSimulator({ password: APP_PASSWORD });
      const setup = { smtp: gmail, file: room.file, under: room.under };
      const ids: string[] = [];
      const statuses = async (service: Instance) =>
        Promise.all(ids.map(async (id) => (await service.get(id)).body.status));
      {
        await using service = await startInstance(setup);
        const accept = async (message: object) =>
          ids.push((await service.send({ subject: 'x', text: 'x', ...message })).body.id);
        await accept({ to: 'slow+2s@simulator.test' });
        await accept({ to: 'ada@example.com', scheduled_at: inMs(1000) });
        await gmail.waitFor(({ transactions }) => transactions.length === 1);
        await room.fill(service.pid, 0);
        expectUnavailable(await service.send(later()));
        await gmail.waitFor(({ messages }) => messages.some(({ answered }) => answered));
        await vi.waitFor(async () => expect(await statuses(service)).toEqual(['sending', 'scheduled']));
        expect(gmail.transactions).toHaveLength(1);

        await room.free(service.pid);
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
        'slow+2s@simulator.test',
        'ada@example.com',
      ]);
    });

    test('starts, refuses messages, and accepts them once there is space', async () => {
      await using room = await open();
      await using gmail = await startSimulator({ password: APP_PASSWORD });
      const { file } = room;
      let id: string;
      {
        await using service = await startInstance({ smtp: gmail, file, under: room.under });
        id = (await service.send(later())).body.id;
        await room.fill(service.pid, 0);
        await service.kill();
      }
      await using again = await startInstance({ smtp: gmail, file, under: room.under });
      expectUnavailable(await again.send(later()));
      await vi.waitFor(async () => expect(await listed(again)).toEqual([id]));
      await room.free(again.pid);
      await vi.waitFor(async () => expect((await again.send(later())).status).toBe(202), SOON);
    });
  });
}

/** A message that stays scheduled. */
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

/** Returns the sorted ids of all messages, or none while they cannot be read. */
async function listed(service: Instance): Promise<string[]> {
  const { body } = await service.request('/messages?limit=100');
  const { messages = [] } = body as { messages?: readonly MessageResource[] };
  return messages.map(({ id }) => id).toSorted();
}
