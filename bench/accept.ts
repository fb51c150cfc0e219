import { type BackingName, hasRedis } from './parts/backing.ts';
import { startChild } from './parts/children.ts';
import { acceptedPerSecond, KEY, ROOMY, ROUNDS, startLoad, startOn, startSink } from './processes.ts';
import { leftOut, over, type Report } from './report.ts';

/** Requests before the measurement starts, so that the code is compiled. */
const WARM_UP = 20_000;
const COUNT = 10_000;

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
  const names: BackingName[] = hasRedis() ? ['memory', 'sqlite', 'redis'] : ['memory', 'sqlite'];
  const sides = new Map([['packages', { port: packages.hello.port, rates: [] as number[] }]]);
  for (const name of names) {
    const { port } = await startOn(name, sink, stack, ROOMY);
    sides.set(name, { port, rates: [] });
  }
  for (const { port } of sides.values()) await acceptedPerSecond(load, port, WARM_UP);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { port, rates } of sides.values()) rates.push(await acceptedPerSecond(load, port, COUNT));
  }
  const ratesOf = (name: string) => sides.get(name)?.rates ?? [];
  const redisTitle = 'accepted on redis, vs memory';
  return {
    rows: [
      over('accepted in memory, vs its packages alone', ratesOf('memory'), ratesOf('packages'), 0.7),
      over('accepted on sqlite, vs memory', ratesOf('sqlite'), ratesOf('memory'), 0.8),
      sides.has('redis')
        ? over(redisTitle, ratesOf('redis'), ratesOf('memory'), 0.5)
        : leftOut(redisTitle, 'needs redis-server'),
    ],
  };
}
