import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, type TestContext, test, vi } from 'vitest';
import type { MessageResource } from '../../src/http/schemas/message.ts';
import { hasFaketime, startFakeClock } from '../helpers/fake-clock.ts';
import { type Running, serveAgainst } from '../helpers/process.ts';
import { hasRedis, startRedis } from '../helpers/redis.ts';
import { API_KEY } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

// These tests wait for real back-offs of 5 s, so several wait at the same time.
vi.setConfig({ maxConcurrency: 6 });

const HOUR_S = 3600;
/** The certificate of the simulator is valid from a day ago. */
const DAY_S = 24 * HOUR_S;
/** A third of the promised delay. */
const SOON = { timeout: 20_000, interval: 50 };
/** The first back-off is 5 s, plus or minus 20 %. */
const FIRST_BACKOFF_MS = { least: 4000, most: 6000 };

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };
const RETRIED = { ...HELLO, to: 'drop-in-body@simulator.test' };

const QUEUES = [
  { queue: 'memory', runs: true },
  { queue: 'sqlite', runs: true },
  { queue: 'redis', runs: hasRedis },
] as const;

/**
 * Starts a service, and its queue, under a wall clock that can jump. They are closed when the test
 * ends.
 */
async function start(queue: (typeof QUEUES)[number]['queue'], { onTestFinished }: TestContext) {
  await using stack = new AsyncDisposableStack();
  const clock = stack.use(await startFakeClock());
  const gmail = stack.use(await startSimulator());
  const folder = await mkdtemp(join(tmpdir(), 'outtray-clock-'));
  stack.defer(() => rm(folder, { recursive: true }));
  const redis = queue === 'redis' ? stack.use(await startRedis(['appendonly yes'])) : null;
  const url = { memory: 'memory:', sqlite: `sqlite:${join(folder, 'queue.db')}`, redis: redis?.url() ?? '' }[
    queue
  ];
  const serve = () =>
    serveAgainst(gmail, {
      API_KEYS: `crm:${API_KEY}`,
      RATE_LIMIT: '100000/1m',
      QUEUE_URL: url,
      ...clock.env,
    });
  const service = stack.use(await serve());
  const owned = stack.move();
  onTestFinished(() => owned.disposeAsync());
  return { clock, gmail, service, serve, inS: (s: number) => new Date(clock.now() + s * 1000).toISOString() };
}

type Service = Running & { readonly url: string };

async function request({ url }: Service, path: string, init: RequestInit = {}) {
  const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json', ...init.headers };
  const response = await fetch(url + path, { ...init, headers });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as MessageResource,
  };
}

async function send(service: Service, message: object, headers: Record<string, string> = {}) {
  return request(service, '/send', { method: 'POST', body: JSON.stringify(message), headers });
}

async function accept(service: Service, message: object): Promise<string> {
  const { status, body } = await send(service, message);
  expect([status, body.id]).toEqual([202, expect.any(String)]);
  return body.id;
}

const get = async (service: Service, id: string) => (await request(service, `/messages/${id}`)).body;
const statusOf = async (service: Service, id: string) => (await get(service, id)).status;
const attemptsOf = async (service: Service, id: string) => (await get(service, id)).attempts.length;

/** Polls until `read` returns this value. Unlike `expect.poll` it works in concurrent tests. */
const eventually = <T>(read: () => Promise<T>, value: T) =>
  vi.waitFor(async () => expect(await read()).toBe(value), SOON);

/** Resolves once the first attempt has failed. Returns the time then, by the monotonic clock. */
async function deferred(service: Service, id: string): Promise<number> {
  await eventually(() => statusOf(service, id), 'deferred');
  return performance.now();
}

describe.runIf(hasFaketime)(
  'when the wall clock jumps (skipped without libfaketime)',
  { timeout: 60_000, concurrent: true },
  () => {
    describe.each(QUEUES.filter(({ runs }) => runs))('with the queue in $queue', ({ queue }) => {
      test('ahead, sends a due message, expires an overdue one, and keeps the back-off as long as before', async (context) => {
        const { clock, service, inS } = await start(queue, context);
        const [scheduled, later] = [
          await accept(service, { ...HELLO, scheduled_at: inS(2 * HOUR_S) }),
          await accept(service, { ...HELLO, scheduled_at: inS(5 * HOUR_S) }),
        ];
        const [expiring, retried] = [
          await accept(service, { ...RETRIED, expires_at: inS(2 * HOUR_S) }),
          await accept(service, { ...RETRIED, expires_at: inS(5 * HOUR_S) }),
        ];
        await deferred(service, expiring);
        const deferredAt = await deferred(service, retried);
        await clock.jumpTo(3 * HOUR_S);
        await eventually(() => statusOf(service, scheduled), 'sent');
        await eventually(() => statusOf(service, expiring), 'expired');
        await eventually(() => attemptsOf(service, retried), 2);
        expect(performance.now() - deferredAt).toBeGreaterThan(FIRST_BACKOFF_MS.least - 1000);
        expect(await statusOf(service, later)).toBe('scheduled');
      });

      test('back, sends and expires no message early, and keeps the back-off as long as before', async (context) => {
        const { clock, service, inS } = await start(queue, context);
        const early = await accept(service, { ...HELLO, scheduled_at: inS(6) });
        const expiring = await accept(service, { ...RETRIED, expires_at: inS(6) });
        const retried = await accept(service, RETRIED);
        await deferred(service, expiring);
        const deferredAt = await deferred(service, retried);
        await clock.jumpTo(-HOUR_S);
        await eventually(() => attemptsOf(service, retried), 2);
        const tookMs = performance.now() - deferredAt;
        expect(tookMs).toBeGreaterThan(FIRST_BACKOFF_MS.least - 1000);
        expect(tookMs).toBeLessThan(2 * FIRST_BACKOFF_MS.most);
        await eventually(() => attemptsOf(service, expiring), 2);
        const { scheduled_at, ...rest } = await get(service, early);
        expect(rest.status).toBe('scheduled');
        expect(Date.parse(String(scheduled_at))).toBeGreaterThan(clock.now());
        await clock.jumpTo(0);
        await eventually(() => statusOf(service, early), 'sent');
        await eventually(() => statusOf(service, expiring), 'expired');
      });

      test('by days, keeps settled messages and Idempotency-Keys, and keeps lists in order', async (context) => {
        const { clock, service } = await start(queue, context);
        const key = { 'idempotency-key': 'k' };
        const first = (await send(service, HELLO, key)).body.id;
        await eventually(() => statusOf(service, first), 'sent');
        for (const offset of [3 * DAY_S, -DAY_S / 2]) {
          await clock.jumpTo(offset);
          const [again, between] = [await send(service, HELLO, key), await accept(service, HELLO)];
          expect([again.body.id, again.headers.get('idempotency-replayed')]).toEqual([first, 'true']);
          await eventually(() => statusOf(service, between), 'sent');
          expect(await statusOf(service, first)).toBe('sent');
        }
        const { body } = await request(service, '/messages');
        const { messages } = body as unknown as { messages: MessageResource[] };
        const times = messages.map(({ created_at }) => Date.parse(created_at));
        expect(times).toHaveLength(3);
        expect(times).toEqual(times.toSorted((a, b) => b - a));
      });
    });

    test.for([
      ['ahead', 3 * DAY_S],
      ['back', -DAY_S / 2],
    ] as const)(
      '%s by days, a restart on a file keeps messages, keys, back-off and schedule',
      async ([_where, offset], context) => {
        const { clock, service, serve, inS } = await start('sqlite', context);
        const key = { 'idempotency-key': 'k' };
        const first = (await send(service, HELLO, key)).body.id;
        await eventually(() => statusOf(service, first), 'sent');
        const retried = await accept(service, RETRIED);
        const deferredAt = await deferred(service, retried);
        const scheduled = await accept(service, { ...HELLO, scheduled_at: inS(offset > 0 ? HOUR_S : 2) });
        await clock.jumpTo(offset);
        service.signal('SIGTERM');
        await service.ended;
        await using again = await serve();
        const repeated = await send(again, HELLO, key);
        expect([repeated.body.id, repeated.headers.get('idempotency-replayed')]).toEqual([first, 'true']);
        await eventually(() => attemptsOf(again, retried), 2);
        expect(performance.now() - deferredAt).toBeGreaterThan(FIRST_BACKOFF_MS.least - 1000);
        if (offset > 0) await eventually(() => statusOf(again, scheduled), 'sent');
        else expect(await statusOf(again, scheduled)).toBe('scheduled');
      },
    );
  },
);
