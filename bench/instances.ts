import { setTimeout as sleep } from 'node:timers/promises';
import { hasRedis, startRedis } from './parts/backing.ts';
import type { Child } from './parts/children.ts';
import type { Passed } from './parts/counting-proxy.ts';
import type { GmailHello } from './parts/gmail.ts';
import { environment, KEY, MESSAGE, post, ROUNDS, startGmail, startLoad, startOuttray } from './processes.ts';
import { atMost, leftOut, median, over, type Row } from './report-row.ts';

const CONNECTIONS = 12;
const PER_INSTANCE = 6;
const RATE = 20;
/** The simulator answers to it after 50 ms. */
const BODY = JSON.stringify({ ...MESSAGE, to: 'slow+50ms@simulator.test' });
/** For each instance: enough for it to send all the time. */
const QUEUED = 1500;
const MEASURED = 500;
/** An instance says every two seconds that it is there: how long it may take until all have their part of the connections. */
const SETTLE_MS = 8000;

type Gmail = Child & { readonly hello: GmailHello };

/** Two instances that share a queue, over one; and whether both together keep to the limits of the account. */
export async function instanceRates(): Promise<Row[]> {
  const what = 'delivered by two instances on one Redis, over one';
  if (!hasRedis()) return [leftOut(what, 'needs redis-server')];
  const rates = { one: [] as number[], two: [] as number[] };
  await using gmail = await startGmail({ counts: true });
  for (let round = 0; round < ROUNDS; round += 1) {
    rates.one.push(await rateOf(1, gmail));
    rates.two.push(await rateOf(2, gmail));
  }
  const { atMostOpen } = await gmail.ask<Passed>('sessions');
  return [
    over(what, median(rates.two), median(rates.one), 1.8),
    atMost('sessions of both at once, at most', String(atMostOpen), atMostOpen, CONNECTIONS),
    await pacedRow(),
  ];
}

async function rateOf(count: number, gmail: Gmail): Promise<number> {
  await using instances = await startInstances(count, gmail);
  await instances.queue(QUEUED * count);
  for (let leftMs = SETTLE_MS; leftMs > 0; leftMs -= 100) {
    const { open } = await gmail.ask<Passed>('sessions');
    if (open >= count * PER_INSTANCE) break;
    await sleep(100);
  }
  const before = await gmail.ask<number>('accepted');
  const startedAt = performance.now();
  await gmail.ask('waitForAccepted', before + MEASURED * count);
  return (MEASURED * count) / ((performance.now() - startedAt) / 1000);
}

async function pacedRow(): Promise<Row> {
  const seconds = 10;
  await using gmail = await startGmail({ retain: RATE * seconds });
  await using instances = await startInstances(2, gmail, { SMTP_RATE: String(RATE) });
  await instances.queue(RATE * seconds);
  await gmail.ask('waitForAccepted', RATE * seconds);
  const times = await gmail.ask<number[]>('begun');
  const most = busiestSecond(times);
  const average = (times.length - 1) / (((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1000);
  return atMost(
    `messages of both in any second with SMTP_RATE=${RATE}, at most`,
    `${most} (${average.toFixed(1)} on average)`,
    most,
    RATE,
  );
}

/** The most of these times that lie within any second. */
function busiestSecond(times: readonly number[]): number {
  return Math.max(...times.map((start) => times.filter((at) => at >= start && at < start + 1000).length));
}

interface Instances extends AsyncDisposable {
  /** Hands so many messages in, to each the same part. */
  queue(messages: number): Promise<void>;
}

/** On a Redis of their own, which goes with them. */
async function startInstances(
  count: number,
  gmail: Gmail,
  more: Record<string, string> = {},
): Promise<Instances> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis());
  const load = stack.use(await startLoad());
  const seats = {
    SMTP_CONNECTIONS: String(CONNECTIONS),
    SMTP_CONNECTIONS_PER_INSTANCE: String(PER_INSTANCE),
  };
  const env = environment(gmail.hello, { ...seats, ...more, QUEUE_URL: redis.url });
  const started = await Promise.all(Array.from({ length: count }, () => startOuttray(env, gmail.hello.ca)));
  for (const instance of started) stack.use(instance);
  const owned = stack.move();
  return {
    async queue(messages) {
      const shape = { path: '/send', body: BODY, connections: 8, requests: messages / count, key: KEY };
      for (const { hello } of started) await post(load, { ...shape, port: hello.port });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
