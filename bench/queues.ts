import { BACKINGS, type BackingName, hasRedis } from './parts/backing.ts';
import {
  acceptedPerSecond,
  deliveredPerSecond,
  environment,
  ROOMY,
  ROUNDS,
  startGmail,
  startLoad,
  startOuttray,
} from './processes.ts';
import { leftOut, median, over, type Row } from './report-row.ts';

const COUNT = 4000;
const AIMS = { accepted: { sqlite: 0.5, redis: 0.3 }, delivered: { sqlite: 0.8, redis: 0.6 } } as const;

type Rates = Readonly<Record<BackingName, number[]>>;

/** Rates of the queues that survive a crash, compared with the one in memory. */
export async function queueRates(): Promise<Row[]> {
  const names: BackingName[] = hasRedis() ? ['memory', 'sqlite', 'redis'] : ['memory', 'sqlite'];
  return [
    ...toRows('accepted', await acceptRates(names)),
    ...toRows('delivered', await deliveryRates(names)),
  ];
}

function toRows(what: keyof typeof AIMS, rates: Rates): Row[] {
  return (['sqlite', 'redis'] as const).map((name) => {
    const title = `${what} on ${name}, vs memory`;
    if (rates[name].length === 0) return leftOut(title, 'needs redis-server');
    return over(title, median(rates[name]), median(rates.memory), AIMS[what][name]);
  });
}

/** Accept rates while the queue drains, each with a new service and an empty queue. */
async function acceptRates(names: readonly BackingName[]): Promise<Rates> {
  const rates: Rates = { memory: [], sqlite: [], redis: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    await using load = await startLoad();
    for (const name of names) {
      await using backing = await BACKINGS[name]();
      await using gmail = await startGmail();
      await using outtray = await startOuttray(
        environment(gmail.hello, { ...ROOMY, QUEUE_URL: backing.url }),
        gmail.hello.ca,
      );
      rates[name].push(await acceptedPerSecond(load, outtray.hello.port));
    }
  }
  return rates;
}

/** Delivery rates from HTTP to the simulator's 250. */
async function deliveryRates(names: readonly BackingName[]): Promise<Rates> {
  const rates: Rates = { memory: [], sqlite: [], redis: [] };
  await using stack = new AsyncDisposableStack();
  const gmail = stack.use(await startGmail());
  const load = stack.use(await startLoad());
  const ports: [BackingName, number][] = [];
  for (const name of names) {
    const backing = stack.use(await BACKINGS[name]());
    const outtray = stack.use(
      await startOuttray(environment(gmail.hello, { QUEUE_URL: backing.url }), gmail.hello.ca),
    );
    ports.push([name, outtray.hello.port]);
  }
  for (let round = 0; round < ROUNDS + 1; round += 1) {
    for (const [name, port] of ports) {
      const rate = await deliveredPerSecond(COUNT, gmail, load, port);
      // The first round is a warm-up.
      if (round > 0) rates[name].push(rate);
    }
  }
  return rates;
}
