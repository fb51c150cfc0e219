import { type Backing, openFile } from './parts/backing.ts';
import type { Child } from './parts/children.ts';
import { startToLivez } from './parts/command.ts';
import type { GmailHello } from './parts/gmail.ts';
import type { Usage } from './parts/outtray.ts';
import {
  BODY,
  environment,
  KEY,
  type Login,
  post,
  ROOMY,
  ROUNDS,
  startGmail,
  startLoad,
  startOuttray,
  startSilence,
} from './processes.ts';
import { atMost, median, type Row } from './report-row.ts';

const MANY = 100_000;
const FEW = 1000;
/** Deliveries before the measurement starts, so that the code is compiled. */
const WARM_UP = 2000;
/** Deliveries before the memory is measured again. */
const DELIVERED = 10_000;
/** Messages in flight when a process is killed are retried later. So many more are queued. */
const SPARE = 50;
const MB = 1024 * 1024;

type Gmail = Child & { readonly hello: GmailHello };

/** Startup time, memory and CPU with 100,000 messages of 1 KB waiting in an SQLite file. */
export async function backlogCosts(): Promise<Row[]> {
  await using gmail = await startGmail();
  const { user, password } = gmail.hello;
  await using silence = await startSilence(user, password);
  await using full = await openFile();
  await fill(full, MANY, silence);
  const rows = [...(await startRows(full, silence)), ...(await memoryRows(full, gmail))];
  await fill(full, DELIVERED, silence);
  return [...rows, ...(await costRows(full, silence, gmail))];
}

/** Queues messages for a server that never greets, so none is sent. */
async function fill({ url }: Backing, count: number, silence: Login): Promise<void> {
  await using load = await startLoad();
  await using outtray = await startOuttray(environment(silence, { ...ROOMY, QUEUE_URL: url }));
  const shape = { path: '/send', body: BODY, connections: 64, port: outtray.hello.port, key: KEY };
  const { statuses } = await post(load, { ...shape, requests: count, ms: 100_000 });
  if (statuses['202'] !== count)
    throw new Error(`only ${statuses['202']} of ${count} messages were queued in time`);
}

async function startRows(full: Backing, silence: Login): Promise<Row[]> {
  const times = { full: [] as number[], empty: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    await using empty = await openFile();
    for (const [name, { url }] of Object.entries({ full, empty })) {
      times[name as keyof typeof times].push(
        await startToLivez(environment(silence, { ...ROOMY, QUEUE_URL: url })),
      );
    }
  }
  const row = (what: string, ms: number, aim: number | null) => atMost(what, `${Math.round(ms)} ms`, ms, aim);
  return [
    row('startup to the first /livez with 100,000 queued on sqlite', median(times.full), 3000),
    row('(the same with an empty file)', median(times.empty), null),
  ];
}

async function memoryRows(full: Backing, gmail: Gmail): Promise<Row[]> {
  const before = await gmail.ask<number>('accepted');
  await using outtray = await startOn(full, gmail);
  const started = await outtray.ask<Usage>('usage');
  await gmail.ask('waitForAccepted', before + DELIVERED);
  const { peakBytes } = await outtray.ask<Usage>('usage');
  const row = (what: string, bytes: number) => atMost(what, `${Math.round(bytes / MB)} MB`, bytes / MB, 200);
  return [
    row('memory (RSS) after startup with them', started.rssBytes),
    row('(peak while delivering 10,000 of them)', peakBytes),
  ];
}

/** Cost of a thousand deliveries with the whole backlog waiting, compared with a short one. */
async function costRows(full: Backing, silence: Login, gmail: Gmail): Promise<Row[]> {
  const costs = { full: [] as Cost[], few: [] as Cost[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    await using few = await openFile();
    await fill(few, WARM_UP + FEW + SPARE, silence);
    costs.few.push(await costOn(few, gmail));
    costs.full.push(await costOn(full, gmail));
  }
  const row = (what: string, key: keyof Cost, aim: number | null): Row => {
    const [ours, baseline] = [costs.full, costs.few].map((many) => median(many.map((cost) => cost[key]))) as [
      number,
      number,
    ];
    const [shown, shownBaseline] = [ours, baseline].map((ms) => `${ms.toFixed(2)} ms`) as [string, string];
    return { what, ours: shown, baseline: shownBaseline, value: ours / baseline, aim, atLeast: false };
  };
  return [
    row('CPU time per delivery with 100,000 queued, vs 1,000', 'cpuMs', 1.5),
    row('(wall-clock time)', 'wallMs', null),
  ];
}

/** Cost of one delivery. */
interface Cost {
  readonly cpuMs: number;
  readonly wallMs: number;
}

async function costOn(file: Backing, gmail: Gmail): Promise<Cost> {
  const before = await gmail.ask<number>('accepted');
  await using outtray = await startOn(file, gmail);
  const usageAt = async (count: number) => {
    await gmail.ask('waitForAccepted', before + count);
    return { ...(await outtray.ask<Usage>('usage')), at: performance.now() };
  };
  const first = await usageAt(WARM_UP);
  const last = await usageAt(WARM_UP + FEW);
  return { cpuMs: (last.cpuMs - first.cpuMs) / FEW, wallMs: (last.at - first.at) / FEW };
}

function startOn({ url }: Backing, { hello }: Gmail) {
  return startOuttray(environment(hello, { ...ROOMY, QUEUE_URL: url }), hello.ca);
}
