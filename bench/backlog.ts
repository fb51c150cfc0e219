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
/** Delivered before anything is measured: by then the code is compiled. */
const WARM_UP = 2000;
/** Delivered until it is looked at the memory again. */
const A_WHILE = 10_000;
/** Those that were under way when their process was ended are tried again only after a while: nothing waits for them. */
const SPARE = 50;
const MB = 1024 * 1024;

type Gmail = Child & { readonly hello: GmailHello };

/** What it costs that 100,000 messages of 1 KB wait in a file. */
export async function backlogCosts(): Promise<Row[]> {
  await using gmail = await startGmail();
  const { user, password } = gmail.hello;
  await using silence = await startSilence(user, password);
  await using full = await openFile();
  await fill(full, MANY, silence);
  const rows = [...(await startRows(full, silence)), ...(await memoryRows(full, gmail))];
  await fill(full, A_WHILE, silence);
  return [...rows, ...(await costRows(full, silence, gmail))];
}

/** To a server that never greets: nothing is sent. */
async function fill({ url }: Backing, count: number, silence: Login): Promise<void> {
  await using load = await startLoad();
  await using outtray = await startOuttray(environment(silence, { ...ROOMY, QUEUE_URL: url }));
  const shape = { path: '/send', body: BODY, connections: 64, port: outtray.hello.port, key: KEY };
  const { answers } = await post(load, { ...shape, requests: count, ms: 100_000 });
  if (answers['202'] !== count)
    throw new Error(`no more than ${answers['202']} of ${count} messages were queued in time`);
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
    row('start to the first /livez with 100,000 queued on sqlite', median(times.full), 3000),
    row('(the same with an empty file)', median(times.empty), null),
  ];
}

async function memoryRows(full: Backing, gmail: Gmail): Promise<Row[]> {
  const before = await gmail.ask<number>('accepted');
  await using outtray = await startOn(full, gmail);
  const started = await outtray.ask<Usage>('usage');
  await gmail.ask('waitForAccepted', before + A_WHILE);
  const { peakBytes } = await outtray.ask<Usage>('usage');
  const row = (what: string, bytes: number) => atMost(what, `${Math.round(bytes / MB)} MB`, bytes / MB, 200);
  return [
    row('memory (RSS) once it has started on them', started.rssBytes),
    row('the same at its highest, while 10,000 of them were delivered', peakBytes),
  ];
}

/** What the next thousand deliveries cost, with as many messages waiting as there are. */
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
    row('CPU time for each delivery with 100,000 queued, over 1,000', 'cpuMs', 1.5),
    row('(the same in time that passes)', 'wallMs', null),
  ];
}

/** Of one delivery. */
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
