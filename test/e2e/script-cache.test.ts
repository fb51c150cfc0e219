import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { hasRedis, type RedisServer, startRedis } from '../helpers/redis.ts';
import { APP_PASSWORD, type ServiceUnderTest, startService } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };
const MESSAGES = 120;
const CLIENTS = 8;

async function start() {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis(['appendonly yes', 'appendfsync always']));
  const gmail = stack.use(await startSimulator({ password: APP_PASSWORD }));
  const env = { GMAIL_USER: gmail.user, QUEUE_URL: redis.url() };
  const services: ServiceUnderTest[] = [];
  for (let i = 0; i < 2; i++)
    services.push(stack.use(await startService({ smtp: gmail.url, ca: gmail.ca, env })));
  const operator = new Redis(redis.url());
  operator.on('error', () => {});
  stack.defer(() => operator.disconnect());
  const owned = stack.move();
  onTestFinished(() => owned.disposeAsync());
  return { redis, gmail, services, operator };
}

/**
 * Sends MESSAGES messages with CLIENTS clients, and repeats each with its Idempotency-Key until it
 * is accepted. Returns their ids, and the statuses of all responses.
 */
async function sendAll(
  services: readonly ServiceUnderTest[],
): Promise<{ readonly ids: readonly string[]; readonly statuses: readonly number[] }> {
  const ids: string[] = [];
  const statuses: number[] = [];
  let next = 0;
  async function client() {
    while (next < MESSAGES) {
      const number = next++;
      const service = services[number % services.length] as ServiceUnderTest;
      for (;;) {
        const { status, body } = await service.send(HELLO, {
          headers: { 'idempotency-key': `key-${number}` },
        });
        statuses.push(status);
        if (status === 202) ids.push(body.id);
        if (status === 202) break;
        await delay(20);
      }
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return { ids, statuses };
}

/** Repeats `work` until the result is disposed of. */
function repeat(work: () => Promise<unknown>): AsyncDisposable {
  let stopped = false;
  const running = (async () => {
    while (!stopped) await work();
  })();
  return {
    async [Symbol.asyncDispose]() {
      stopped = true;
      await running;
    },
  };
}

/** Number of failures of Redis in a test. */
const FAILURES = 3;

describe.skipIf(!hasRedis)(
  'with redis-server, while its script cache is emptied',
  { timeout: 60_000 },
  () => {
    test.each([
      ['continuously', 0],
      ['every 50 ms', 50],
    ])('%s, every request is accepted at once and every message is sent once', async (_interval, pauseMs) => {
      const { gmail, services, operator } = await start();
      let sent: Awaited<ReturnType<typeof sendAll>>;
      {
        await using _flushing = repeat(async () => {
          await operator.script('FLUSH', 'SYNC');
          await delay(pauseMs);
        });
        sent = await sendAll(services);
        for (const id of sent.ids)
          expect(await services[0]?.settled(id)).toMatchObject({ status: 'sent', attempts: [{ number: 1 }] });
      }
      expect(sent.statuses).toEqual(Array(MESSAGES).fill(202));
      expect(gmail.messages).toHaveLength(MESSAGES);
      expect(await operator.hgetall('outtray:store:usage')).toEqual({
        messages: '0',
        bytes: '0',
        places: String(MESSAGES),
      });
    });

    test.each([
      [
        'its clients are disconnected',
        (_: RedisServer, operator: Redis) =>
          operator.call('CLIENT', 'KILL', 'TYPE', 'normal').catch(() => {}),
      ],
      ['it is killed and restarted', (redis: RedisServer) => redis.restart()],
    ])('and %s, every accepted message is sent once', async (_how, fail) => {
      const { redis, gmail, services, operator } = await start();
      let failures = 0;
      let sent: Awaited<ReturnType<typeof sendAll>>;
      {
        await using _failing = repeat(async () => {
          if (failures < FAILURES) await fail(redis, operator);
          failures += 1;
          await operator.script('FLUSH', 'SYNC').catch(() => {});
          await delay(200);
        });
        sent = await sendAll(services);
      }
      const settled = await Promise.all(sent.ids.map((id) => services[0]?.settled(id)));
      expect(settled.map((message) => message?.status)).toEqual(sent.ids.map(() => 'sent'));
      expect(new Set(sent.ids).size).toBe(MESSAGES);
      expect(gmail.messages).toHaveLength(MESSAGES);
    });
  },
);
