import { BACKINGS } from './parts/backing.ts';
import type { Child } from './parts/children.ts';
import {
  BODY,
  deliveredPerSecond,
  environment,
  KEY,
  post,
  startGmail,
  startLoad,
  startOuttray,
} from './processes.ts';
import { median, over, type Row } from './report-row.ts';

/** Short rounds in pairs, so that both sides meet the same load of the machine. */
const COUNT = 500;
const PAIRS = 12;
/** One message in each bucket of the usage, for a day. */
const HISTORY = 145;
const BUCKET_MS = 10 * 60_000;

/** Delivery by an account that has sent for a day, vs one that has just started. */
export async function historyRates(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const name of ['memory', 'sqlite'] as const) {
    const pairs = await measurePairs(name);
    const rateOf = (side: keyof Pair) => median(pairs.map((pair) => pair[side]));
    const row = over(
      `delivered on ${name} after a day of sending, vs a fresh start`,
      rateOf('old'),
      rateOf('fresh'),
      0.95,
    );
    rows.push({ ...row, value: median(pairs.map(({ old, fresh }) => old / fresh)) });
  }
  return rows;
}

/** Messages delivered per second. */
interface Pair {
  old: number;
  fresh: number;
}

async function measurePairs(name: 'memory' | 'sqlite'): Promise<Pair[]> {
  await using stack = new AsyncDisposableStack();
  const gmail = stack.use(await startGmail());
  const load = stack.use(await startLoad());
  const start = async (stepMs: number) => {
    const backing = stack.use(await BACKINGS[name]());
    const env = environment(gmail.hello, { QUEUE_URL: backing.url });
    const outtray = stack.use(await startOuttray(env, gmail.hello.ca));
    await sendHistory(outtray, stepMs, gmail, load);
    // Warms up: by then the code is compiled.
    await deliveredPerSecond(2 * COUNT, gmail, load, outtray.hello.port);
    return outtray.hello.port;
  };
  const ports = { old: await start(BUCKET_MS), fresh: await start(0) };
  const pairs: Pair[] = [];
  for (let n = 0; n < PAIRS; n += 1) {
    const pair: Pair = { old: 0, fresh: 0 };
    const sides = n % 2 === 0 ? (['old', 'fresh'] as const) : (['fresh', 'old'] as const);
    for (const side of sides) pair[side] = await deliveredPerSecond(COUNT, gmail, load, ports[side]);
    pairs.push(pair);
  }
  return pairs;
}

/** Sends messages one at a time, and moves the clock of the service on before each. */
async function sendHistory(
  outtray: Child & { readonly hello: { readonly port: number } },
  stepMs: number,
  gmail: Child,
  load: Child,
): Promise<void> {
  const accepted = await gmail.ask<number>('accepted');
  const shape = {
    path: '/send',
    body: BODY,
    connections: 1,
    requests: 1,
    port: outtray.hello.port,
    key: KEY,
  };
  for (let sent = 1; sent <= HISTORY; sent += 1) {
    await outtray.ask('passTime', stepMs);
    await post(load, shape);
    await gmail.ask('waitForAccepted', accepted + sent);
  }
}
