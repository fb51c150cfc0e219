import { randomBytes } from 'node:crypto';
import { startChild } from './parts/children.ts';
import type { OpenLoopLoad, OpenLoopResult } from './parts/open-loop-load.ts';
import { BODY, environment, KEY, MESSAGE, ROUNDS, startGmail, startOuttray } from './processes.ts';
import { median, type Row } from './report-row.ts';

/**
 * Latency (p99) of small requests while four messages of 20 MB a second stream in (640 Mbit/s),
 * compared with a quiet service.
 */
export async function latencyUnderLarge(): Promise<Row[]> {
  const file = { filename: 'film.mp4', content: randomBytes(15 * 1024 * 1024).toString('base64') };
  const large = JSON.stringify({ ...MESSAGE, attachments: [file] });
  await using gmail = await startGmail();
  await using outtray = await startOuttray(
    environment(gmail.hello, { QUEUE_MAX_BYTES: '1gb' }),
    gmail.hello.ca,
  );
  await using smallLoad = await startChild<string>('./open-loop-load.ts', {});
  await using largeLoad = await startChild<string>('./open-loop-load.ts', {});
  const shape = { path: '/send', port: outtray.hello.port, key: KEY };
  let accepted = 0;
  const run = async (load: typeof smallLoad, body: string, everyMs: number, ms: number) => {
    const { latencies, statuses } = await load.ask<OpenLoopResult>('run', {
      ...shape,
      body,
      everyMs,
      ms,
    } satisfies OpenLoopLoad);
    accepted += statuses['202'] ?? 0;
    return latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN;
  };
  const quiet: number[] = [];
  const busy: number[] = [];
  await run(smallLoad, BODY, 10, 1000);
  for (let round = 0; round < ROUNDS; round += 1) {
    await gmail.ask('waitForAccepted', accepted);
    quiet.push(await run(smallLoad, BODY, 10, 4000));
    const streaming = run(largeLoad, large, 250, 8000);
    busy.push(await run(smallLoad, BODY, 10, 8000));
    await streaming;
  }
  return [
    {
      what: 'p99 latency of small requests while 20 MB requests stream in, vs quiet',
      ours: `${median(busy).toFixed(1)} ms`,
      baseline: `${median(quiet).toFixed(1)} ms`,
      value: median(busy) / median(quiet),
      aim: 5,
      atLeast: false,
    },
  ];
}
