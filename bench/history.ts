import type { Child } from './parts/children.ts';
import type { Program } from './parts/command.ts';
import { BODY, deliveredPerSecond, KEY, post, startLoad, startOn, startSink } from './processes.ts';
import { over, type Report, type Row } from './report.ts';

/** Short rounds in pairs, so that both sides meet the same load of the machine. */
const COUNT = 1000;
const PAIRS = 12;
/** One message in each bucket of the usage, for a day. */
const HISTORY = 145;
const BUCKET_MS = 10 * 60_000;

/** Delivery by an account that has sent for a day, vs one that has just started. */
export async function historyRates(): Promise<Report> {
  const rows: Row[] = [];
  for (const name of ['memory', 'sqlite'] as const) {
    const { old, fresh } = await measurePairs(name);
    rows.push(over(`delivered on ${name} after a day of sending, vs a fresh start`, old, fresh, 0.95));
  }
  return { rows };
}

/** Messages delivered per second. */
async function measurePairs(name: 'memory' | 'sqlite') {
  await using stack = new AsyncDisposableStack();
  const sink = stack.use(await startSink());
  const load = stack.use(await startLoad());
  const start = async (stepMs: number) => {
    const outtray = await startOn(name, sink, stack);
    await sendHistory(outtray, stepMs, sink, load);
    // Warms up: by then the code is compiled.
    await deliveredPerSecond(2 * COUNT, sink, load, outtray.port);
    return outtray.port;
  };
  const ports = { old: await start(BUCKET_MS), fresh: await start(0) };
  const rates = { old: [] as number[], fresh: [] as number[] };
  for (let n = 0; n < PAIRS; n += 1) {
    const sides = n % 2 === 0 ? (['old', 'fresh'] as const) : (['fresh', 'old'] as const);
    for (const side of sides) rates[side].push(await deliveredPerSecond(COUNT, sink, load, ports[side]));
  }
  return rates;
}

/** Sends messages one at a time, and moves the clock of the service on before each. */
async function sendHistory(outtray: Program, stepMs: number, sink: Child, load: Child): Promise<void> {
  const accepted = await sink.ask<number>('accepted');
  const shape = { path: '/send', body: BODY, connections: 1, requests: 1, port: outtray.port, key: KEY };
  for (let sent = 1; sent <= HISTORY; sent += 1) {
    await outtray.ask('passTime', stepMs);
    await post(load, shape);
    await sink.ask('waitForAccepted', accepted + sent);
  }
}
