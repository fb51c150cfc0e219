import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { hasRedis, startRedis } from '../helpers/redis.ts';
import { APP_PASSWORD, startService } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };
/** Longer than the test needs to accept its messages. */
const SLOW = { ...HELLO, to: 'slow+6000ms@simulator.test' };
const MESSAGES = 200;
const CLIENTS = 8;
const CONNECTIONS = 5;
/**
 * Scripts that an instance runs in a second whatever it sends: heartbeats, locks, leases,
 * retention.
 */
const BACKGROUND_SCRIPTS = 10;

async function start() {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis());
  const gmail = stack.use(await startSimulator({ password: APP_PASSWORD }));
  const env = {
    GMAIL_USER: gmail.user,
    QUEUE_URL: redis.url(),
    SMTP_CONNECTIONS: String(CONNECTIONS),
    LOG_LEVEL: 'error',
  };
  const service = stack.use(await startService({ smtp: gmail.url, ca: gmail.ca, env }));
  const operator = new Redis(redis.url());
  stack.defer(() => operator.disconnect());
  const owned = stack.move();
  onTestFinished(() => owned.disposeAsync());
  return { service, operator };
}

/** Runs `work`, and returns the scripts that Redis ran meanwhile beyond those of the background. */
async function countScripts(operator: Redis, work: () => Promise<void>): Promise<number> {
  await operator.config('RESETSTAT');
  const startedAt = performance.now();
  await work();
  const seconds = (performance.now() - startedAt) / 1000;
  return (await countCalls(operator, 'eval(?:sha)?')) - BACKGROUND_SCRIPTS * Math.ceil(seconds);
}

/** Returns the calls of commands since `RESETSTAT`. */
async function countCalls(operator: Redis, command: string): Promise<number> {
  const stats = await operator.info('commandstats');
  const calls = [...stats.matchAll(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'gm'))];
  return calls.reduce((sum, [, count]) => sum + Number(count), 0);
}

describe.skipIf(!hasRedis)('scripts that Redis runs (with redis-server)', { timeout: 60_000 }, () => {
  test('are at most 2 for a message that is accepted, and 3 for one that is delivered', async () => {
    const { service, operator } = await start();
    const waiting = async () => Number(await operator.hget('outtray:store:usage', 'messages'));
    const isIdle = () => vi.waitFor(async () => expect(await waiting()).toBe(0), { timeout: 30_000 });
    await service.send(HELLO, { wait: 20 });
    for (let i = 0; i < CONNECTIONS; i++) await service.send(SLOW);
    await vi.waitFor(async () => {
      const { body } = await service.request('/messages?status=sending');
      expect((body as unknown as { messages: unknown[] }).messages).toHaveLength(CONNECTIONS);
    });

    const accepting = await countScripts(operator, async () => {
      let left = MESSAGES;
      const client = async () => {
        while (left-- > 0) expect((await service.send(HELLO)).status).toBe(202);
      };
      await Promise.all(Array.from({ length: CLIENTS }, client));
    });
    expect(await waiting()).toBe(MESSAGES + CONNECTIONS);
    expect(accepting / MESSAGES).toBeLessThanOrEqual(2);
    // Instances are only woken for the first message that waits.
    expect(await countCalls(operator, 'publish')).toBeLessThan(MESSAGES / 10);
    expect((await countScripts(operator, isIdle)) / MESSAGES).toBeLessThanOrEqual(3);
  });

  test('are at most 5 for each message that is accepted and delivered alone', async () => {
    const { service, operator } = await start();
    const count = 20;
    const scripts = await countScripts(operator, async () => {
      for (let i = 0; i < count; i++)
        expect((await service.send(HELLO, { wait: 20 })).body.status).toBe('sent');
    });
    expect(scripts / count).toBeLessThanOrEqual(5);
  });
});
