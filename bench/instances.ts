import { setTimeout as sleep } from 'node:timers/promises';
import { hasRedis, startRedis } from './parts/backing.ts';
import type { Child } from './parts/children.ts';
import type { SessionCounts } from './parts/counting-proxy.ts';
import type { GmailHello, GmailSetup } from './parts/gmail.ts';
import {
  environment,
  KEY,
  MESSAGE,
  post,
  ROUNDS,
  startLoad,
  startOuttray,
  startServer,
} from './processes.ts';
import { atMost, leftOut, over, type Report, type Row } from './report.ts';

const CONNECTIONS = 12;
const PER_INSTANCE = 6;
const RATE = 20;
/** The simulator replies after 50 ms. */
const BODY = JSON.stringify({ ...MESSAGE, to: 'slow+50ms@simulator.test' });
/** Messages per instance: enough to keep it busy. */
const QUEUED = 1500;
const MEASURED = 500;
/** Maximum wait until each instance has its share of the connections. A heartbeat takes 2 s. */
const SHARES_WITHIN_MS = 8000;

type Gmail = Child & { readonly hello: GmailHello & { readonly caFile: string } };

/** Starts the simulator, which can reply late. */
const startGmail = (setup: Partial<GmailSetup>): Promise<Gmail> =>
  startServer<GmailHello>('./gmail.ts', { retain: 10, counts: false, ...setup });

/**
 * Delivery rate of two instances that share a queue, compared with one. Also checks that both
 * together keep the limits of the account.
 */
export async function instanceRates(): Promise<Report> {
  const title = 'delivered by two instances on one Redis, vs one';
  if (!hasRedis()) return { rows: [leftOut(title, 'needs redis-server')] };
  const rates = { one: [] as number[], two: [] as number[] };
  await using gmail = await startGmail({ counts: true });
  for (let round = 0; round < ROUNDS; round += 1) {
    rates.one.push(await rateOf(1, gmail));
    rates.two.push(await rateOf(2, gmail));
  }
  const { atMostOpen } = await gmail.ask<SessionCounts>('sessions');
  return {
    rows: [
      over(title, rates.two, rates.one, 1.8),
      atMost('maximum concurrent sessions of both', String(atMostOpen), atMostOpen, CONNECTIONS),
      await rateLimitRow(),
    ],
  };
}

async function rateOf(count: number, gmail: Gmail): Promise<number> {
  await using instances = await startInstances(count, gmail);
  await instances.queue(QUEUED * count);
  for (let leftMs = SHARES_WITHIN_MS; leftMs > 0; leftMs -= 100) {
    const { open } = await gmail.ask<SessionCounts>('sessions');
    if (open >= count * PER_INSTANCE) break;
    await sleep(100);
  }
  const before = await gmail.ask<number>('accepted');
  const startedAt = performance.now();
  await gmail.ask('waitForAccepted', before + MEASURED * count);
  return (MEASURED * count) / ((performance.now() - startedAt) / 1000);
}

async function rateLimitRow(): Promise<Row> {
  const seconds = 10;
  await using gmail = await startGmail({ retain: RATE * seconds });
  await using instances = await startInstances(2, gmail, { SMTP_RATE: String(RATE) });
  await instances.queue(RATE * seconds);
  await gmail.ask('waitForAccepted', RATE * seconds);
  const times = await gmail.ask<number[]>('begun');
  const most = busiestSecond(times);
  const average = (times.length - 1) / (((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1000);
  return atMost(
    `maximum messages of both in any second with SMTP_RATE=${RATE}`,
    `${most} (${average.toFixed(1)} on average)`,
    most,
    RATE,
  );
}

/** Returns the maximum number of these times (ms) within any second. */
function busiestSecond(times: readonly number[]): number {
  return Math.max(...times.map((start) => times.filter((at) => at >= start && at < start + 1000).length));
}

interface Instances extends AsyncDisposable {
  /** Queues messages, an equal number at each instance. */
  queue(messages: number): Promise<void>;
}

/** Starts instances on their own Redis, which ends with them. */
async function startInstances(
  count: number,
  gmail: Gmail,
  more: Record<string, string> = {},
): Promise<Instances> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis());
  const load = stack.use(await startLoad());
  const connections = {
    SMTP_CONNECTIONS: String(CONNECTIONS),
    SMTP_CONNECTIONS_PER_INSTANCE: String(PER_INSTANCE),
  };
  const env = environment(gmail.hello, { ...connections, ...more, QUEUE_URL: redis.url });
  const started = await Promise.all(Array.from({ length: count }, () => startOuttray(env)));
  for (const instance of started) stack.use(instance);
  const owned = stack.move();
  return {
    async queue(messages) {
      const shape = { path: '/send', body: BODY, connections: 8, requests: messages / count, key: KEY };
      for (const { port } of started) await post(load, { ...shape, port });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
