import type { Usage } from './parts/probe.ts';
import { BODY, deliveredPerSecond, KEY, post, startLoad, startOn, startSink } from './processes.ts';
import { atMost, type Report, type Row } from './report.ts';

const QUEUED = 50_000;
const DELIVERED = 30_000;

/** Memory per queued message of 1 KB, and of the process after many messages. */
export async function memoryUse(): Promise<Report> {
  return { rows: [await queuedRow(), await deliveredRow()] };
}

/** Queues messages while the server accepts none. */
async function queuedRow(): Promise<Row> {
  await using stack = new AsyncDisposableStack();
  const sink = stack.use(await startSink());
  const load = stack.use(await startLoad());
  await sink.ask('hold');
  const outtray = await startOn(
    'memory',
    sink,
    stack,
    { QUEUE_MAX_MESSAGES: '100000' },
    { nodeArgs: ['--expose-gc'] },
  );
  const shape = { path: '/send', body: BODY, connections: 16, port: outtray.port, key: KEY };
  await post(load, { ...shape, requests: 2000 });
  const before = await outtray.ask<number>('memory');
  await post(load, { ...shape, requests: QUEUED });
  const bytes = ((await outtray.ask<number>('memory')) - before) / QUEUED;
  return atMost('memory per queued message of 1 KB', `${Math.round(bytes)} B`, bytes, 4096);
}

async function deliveredRow(): Promise<Row> {
  await using stack = new AsyncDisposableStack();
  const sink = stack.use(await startSink());
  const load = stack.use(await startLoad());
  const outtray = await startOn('memory', sink, stack);
  await deliveredPerSecond(DELIVERED, sink, load, outtray.port);
  const { rssBytes } = await outtray.ask<Usage>('usage');
  return megabytes('memory (RSS) after 30,000 messages', rssBytes, 250);
}

/** @param aim in MB */
export function megabytes(what: string, bytes: number, aim: number): Row {
  const value = bytes / (1024 * 1024);
  return atMost(what, `${Math.round(value)} MB`, value, aim);
}
