import { randomBytes } from 'node:crypto';
import { startChild } from './parts/children.ts';
import type { Pace, PacedResult } from './parts/open-loop-load.ts';
import { BODY, environment, KEY, MESSAGE, ROUNDS, startGmail, startOuttray } from './processes.ts';
import { median, type Row } from './report-row.ts';

/** How long a small send takes at worst (p99) while messages of 20 MB stream in, four a second (640 Mbit/s), over when it is quiet. */
export async function latencyUnderLarge(): Promise<Row[]> {
  const file = { filename: 'film.mp4', content: randomBytes(15 * 1024 * 1024).toString('base64') };
  const large = JSON.stringify({ ...MESSAGE, attachments: [file] });
  await using gmail = await startGmail();
  await using outtray = await startOuttray(
    environment(gmail.hello, { QUEUE_MAX_BYTES: '1gb' }),
    gmail.hello.ca,
  );
  await using one = await startChild<string>('./paced.ts', {});
  await using other = await startChild<string>('./paced.ts', {});
  const shape = { path: '/send', port: outtray.hello.port, key: KEY };
  let accepted = 0;
  const sendTo = async (child: typeof one, body: string, everyMs: number, ms: number) => {
    const { latencies, answers } = await child.ask<PacedResult>('pace', {
      ...shape,
      body,
      everyMs,
      ms,
    } satisfies Pace);
    accepted += answers['202'] ?? 0;
    return latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN;
  };
  const quiet: number[] = [];
  const busy: number[] = [];
  await sendTo(one, BODY, 10, 1000);
  for (let round = 0; round < ROUNDS; round += 1) {
    await gmail.ask('waitForAccepted', accepted);
    quiet.push(await sendTo(one, BODY, 10, 4000));
    const streaming = sendTo(other, large, 250, 8000);
    busy.push(await sendTo(one, BODY, 10, 8000));
    await streaming;
  }
  return [
    {
      what: 'p99 of small sends while four of 20 MB a second stream in, over quiet',
      ours: `${median(busy).toFixed(1)} ms`,
      baseline: `${median(quiet).toFixed(1)} ms`,
      value: median(busy) / median(quiet),
      aim: 5,
      atLeast: false,
    },
  ];
}
