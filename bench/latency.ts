import { randomBytes } from 'node:crypto';
import { startChild } from './parts/children.ts';
import type { OpenLoopLoad, OpenLoopResult } from './parts/open-loop-load.ts';
import { BODY, KEY, MESSAGE, ROUNDS, startOn, startSink } from './processes.ts';
import { costOver, type Report, type Row } from './report.ts';

/**
 * Latency (p99) of small requests while large ones stream in, compared with a quiet service: four
 * messages of 20 MB a second (640 Mbit/s), or one text of 10 MB a second.
 */
export async function latencyBesideLarge(): Promise<Report> {
  const file = { filename: 'film.mp4', content: randomBytes(15 * 1024 * 1024).toString('base64') };
  const text = 'All work and no play makes Jack a dull boy.\n'.repeat(240_000);
  return {
    rows: [
      await latencyRow('four 20 MB messages', { attachments: [file] }, 250),
      await latencyRow('one 10 MB text', { text }, 1000),
    ],
  };
}

async function latencyRow(what: string, part: object, everyMs: number): Promise<Row> {
  const large = JSON.stringify({ ...MESSAGE, ...part });
  await using stack = new AsyncDisposableStack();
  const sink = stack.use(await startSink());
  const { port } = await startOn('memory', sink, stack, { QUEUE_MAX_BYTES: '1gb' });
  const smallLoad = stack.use(await startChild<string>('./open-loop-load.ts', {}));
  const largeLoad = stack.use(await startChild<string>('./open-loop-load.ts', {}));
  let accepted = 0;
  const run = async (load: typeof smallLoad, shape: Pick<OpenLoopLoad, 'body' | 'everyMs' | 'ms'>) => {
    const request = { path: '/send', port, key: KEY, ...shape } satisfies OpenLoopLoad;
    const { latencies, statuses } = await load.ask<OpenLoopResult>('run', request);
    accepted += statuses['202'] ?? 0;
    return latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN;
  };
  const small = (ms: number) => run(smallLoad, { body: BODY, everyMs: 10, ms });
  const quiet: number[] = [];
  const busy: number[] = [];
  await small(2000);
  for (let round = 0; round < ROUNDS; round += 1) {
    await sink.ask('waitForAccepted', accepted);
    quiet.push(await small(4000));
    const streaming = run(largeLoad, { body: large, everyMs, ms: 8000 });
    busy.push(await small(8000));
    await streaming;
  }
  return costOver(`p99 latency of small requests beside ${what} a second, vs quiet`, busy, quiet, 5);
}
