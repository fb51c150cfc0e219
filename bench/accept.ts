import { availableBackings } from './parts/backing.ts';
import { startChild } from './parts/children.ts';
import { type RedisUsage, readRedisUsage, usageBetween } from './parts/redis-usage.ts';
import { acceptedPerSecond, KEY, ROOMY, ROUNDS, startLoad, startOn, startSink } from './processes.ts';
import { leftOut, over, type Report, redisRow } from './report.ts';

/** Requests before the measurement starts, so that the code is compiled. */
const WARM_UP = 20_000;
const COUNT = 10_000;

interface Side {
  readonly port: number;
  readonly queueUrl: string;
  readonly rates: number[];
  readonly redis: RedisUsage[];
}

/**
 * Rate of POST /send while nothing is delivered, compared with the packages that the route uses,
 * and of the durable queues compared with the one in memory.
 */
export async function acceptRates(): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const load = stack.use(await startLoad());
  const sink = stack.use(await startSink());
  await sink.ask('hold');
  const packages = stack.use(
    await startChild<{ readonly port: number }>('./packages-baseline.ts', { key: KEY }),
  );
  const packagesSide: Side = { port: packages.hello.port, queueUrl: '', rates: [], redis: [] };
  const sides = new Map<string, Side>([['packages', packagesSide]]);
  for (const name of availableBackings())
    sides.set(name, { ...(await startOn(name, sink, stack, ROOMY)), rates: [], redis: [] });
  for (const { port } of sides.values()) await acceptedPerSecond(load, port, WARM_UP);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { port, queueUrl, rates, redis } of sides.values()) {
      const before = await readRedisUsage(queueUrl);
      rates.push(await acceptedPerSecond(load, port, COUNT));
      redis.push(usageBetween(before, await readRedisUsage(queueUrl)));
    }
  }
  const ratesOf = (name: string) => sides.get(name)?.rates ?? [];
  const rows = [
    over('accepted in memory, vs its packages alone', ratesOf('memory'), ratesOf('packages'), 0.7),
    over('accepted on sqlite, vs memory', ratesOf('sqlite'), ratesOf('memory'), 0.8),
  ];
  const title = 'accepted on redis, vs memory';
  const redisSide = sides.get('redis');
  if (!redisSide) return { rows: [...rows, leftOut(title, 'needs redis-server')] };
  rows.push(over(title, redisSide.rates, ratesOf('memory'), 0.5));
  return { rows: [...rows, redisRow('accepted', redisSide.redis, COUNT)] };
}
