import { megabytes } from './memory.ts';
import { type Backing, openFile } from './parts/backing.ts';
import { startToLivez } from './parts/command.ts';
import type { Usage } from './parts/probe.ts';
import {
  environment,
  KEY,
  MESSAGE,
  post,
  ROOMY,
  ROUNDS,
  type Sink,
  startLoad,
  startOuttray,
  startSink,
} from './processes.ts';
import { atMost, costOver, duration, median, type Report, type Row } from './report.ts';

const MANY = 100_000;
const FEW = 1000;
/** Messages are queued in batches: it is the backlog that is measured, not how it came about. */
const BATCH = 100;
const BODY = JSON.stringify({ messages: Array.from({ length: BATCH }, () => MESSAGE) });
/** Deliveries before the measurement starts, so that the code is compiled. */
const WARM_UP = 2000;
/** Deliveries before the memory is measured again. */
const DELIVERED = 10_000;
/** Messages in flight when a process is killed are retried later. So many more are queued. */
const SPARE = 100;

/** Startup time, memory and CPU with 100,000 messages of 1 KB waiting in an SQLite file. */
export async function backlogCosts(): Promise<Report> {
  await using sink = await startSink();
  await using full = await openFile();
  await fill(full, MANY, sink);
  const rows = [...(await startRows(full, sink)), ...(await memoryRows(full, sink))];
  await fill(full, DELIVERED, sink);
  return { rows: [...rows, ...(await costRows(full, sink))] };
}

/** Queues messages while the sink accepts none. */
async function fill(file: Backing, count: number, sink: Sink): Promise<void> {
  await sink.ask('hold');
  await using load = await startLoad();
  await using outtray = await startOnFile(file, sink);
  const shape = { path: '/send/batch', body: BODY, connections: 8, port: outtray.port, key: KEY };
  await post(load, { ...shape, requests: count / BATCH, ms: 200_000 });
}

async function startRows(full: Backing, sink: Sink): Promise<Row[]> {
  const times = { full: [] as number[], empty: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    await using empty = await openFile();
    for (const [name, { url }] of Object.entries({ full, empty })) {
      times[name as keyof typeof times].push(
        await startToLivez(environment(sink.hello, { ...ROOMY, QUEUE_URL: url })),
      );
    }
  }
  const ms = median(times.full);
  return [
    atMost('startup to the first /livez with 100,000 queued on sqlite', duration(ms), ms, 3000),
    costOver('the same, vs an empty file', times.full, times.empty, null),
  ];
}

async function memoryRows(full: Backing, sink: Sink): Promise<Row[]> {
  const before = await sink.ask<number>('accepted');
  await using outtray = await startOnFile(full, sink);
  const started = await outtray.ask<Usage>('usage');
  await sink.ask('release');
  await sink.ask('waitForAccepted', before + DELIVERED);
  const { peakBytes } = await outtray.ask<Usage>('usage');
  return [
    megabytes('memory (RSS) after startup with them', started.rssBytes, 250),
    megabytes('peak of it while 10,000 of them are delivered', peakBytes, 250),
  ];
}

/** Cost of a thousand deliveries with the whole backlog waiting, compared with a short one. */
async function costRows(full: Backing, sink: Sink): Promise<Row[]> {
  const costs = { full: [] as Cost[], few: [] as Cost[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    await using few = await openFile();
    await fill(few, WARM_UP + FEW + SPARE, sink);
    costs.few.push(await costOn(few, sink));
    costs.full.push(await costOn(full, sink));
  }
  const row = (what: string, key: keyof Cost, aim: number | null) =>
    costOver(
      what,
      costs.full.map((cost) => cost[key]),
      costs.few.map((cost) => cost[key]),
      aim,
    );
  return [
    row('CPU time per delivery with 100,000 queued, vs 1,000', 'cpuMs', 1.5),
    row('wall-clock time of the same', 'wallMs', null),
  ];
}

/** Cost of one delivery. */
interface Cost {
  readonly cpuMs: number;
  readonly wallMs: number;
}

async function costOn(file: Backing, sink: Sink): Promise<Cost> {
  const before = await sink.ask<number>('accepted');
  await sink.ask('release');
  await using outtray = await startOnFile(file, sink);
  const usageAt = async (count: number) => {
    await sink.ask('waitForAccepted', before + count);
    return { ...(await outtray.ask<Usage>('usage')), at: performance.now() };
  };
  const first = await usageAt(WARM_UP);
  const last = await usageAt(WARM_UP + FEW);
  return { cpuMs: (last.cpuMs - first.cpuMs) / FEW, wallMs: (last.at - first.at) / FEW };
}

function startOnFile({ url }: Backing, { hello }: Sink) {
  return startOuttray(environment(hello, { ...ROOMY, QUEUE_URL: url }));
}
