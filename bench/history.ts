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

const COUNT = 1500;
const HISTORY_ROUNDS = 5;
/** One message in each bucket of the usage, for a day. */
const HISTORY = 145;
const BUCKET_MS = 10 * 60_000;

/** Delivery by an account that has sent for a day, over one that has just started. */
export async function historyRates(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const name of ['memory', 'sqlite'] as const) {
    const rates = await ratesOn(name);
    const what = `delivered on ${name} after a day of sending, over a fresh start`;
    rows.push(over(what, median(rates.old), median(rates.fresh), 0.95));
  }
  return rows;
}

async function ratesOn(name: 'memory' | 'sqlite') {
  await using gmail = await startGmail();
  await using load = await startLoad();
  await using oldBacking = await BACKINGS[name]();
  await using freshBacking = await BACKINGS[name]();
  await using old = await startOuttray(
    environment(gmail.hello, { QUEUE_URL: oldBacking.url }),
    gmail.hello.ca,
  );
  await using fresh = await startOuttray(
    environment(gmail.hello, { QUEUE_URL: freshBacking.url }),
    gmail.hello.ca,
  );
  await sendHistory(old, BUCKET_MS, gmail, load);
  await sendHistory(fresh, 0, gmail, load);
  const rates = { old: [] as number[], fresh: [] as number[] };
  for (let round = 0; round < HISTORY_ROUNDS + 1; round += 1) {
    const oldRate = await deliveredPerSecond(COUNT, gmail, load, old.hello.port);
    const freshRate = await deliveredPerSecond(COUNT, gmail, load, fresh.hello.port);
    // The first round warms both up.
    if (round === 0) continue;
    rates.old.push(oldRate);
    rates.fresh.push(freshRate);
  }
  return rates;
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
