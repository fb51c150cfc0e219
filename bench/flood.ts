import type { Load, LoadResult } from './parts/load.ts';
import { BODY, environment, KEY, ROUNDS, startGmail, startLoad, startOuttray } from './processes.ts';
import { median, over, type Row } from './report-row.ts';

/** Delivery rate while 64 connections post without a pause, compared with a quiet service. */
export async function floodedRate(): Promise<Row[]> {
  await using gmail = await startGmail();
  await using load = await startLoad();
  await using outtray = await startOuttray(environment(gmail.hello), gmail.hello.ca);
  const shape = { path: '/send', body: BODY, port: outtray.hello.port, key: KEY };
  const quietRates: number[] = [];
  const floodRates: number[] = [];
  let accepted = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const count = 3000;
    await load.ask('run', { ...shape, connections: 8, requests: count } satisfies Load);
    const before = await gmail.ask<number>('accepted');
    const quietAt = performance.now();
    accepted += count;
    await gmail.ask('waitForAccepted', accepted);
    quietRates.push((accepted - before) / ((performance.now() - quietAt) / 1000));

    const ms = 5000;
    // The queue may become full: other statuses than 202 are expected.
    const result = await load.ask<LoadResult>('run', { ...shape, connections: 64, ms } satisfies Load);
    const delivered = (await gmail.ask<number>('accepted')) - accepted;
    floodRates.push(delivered / result.seconds);
    accepted += result.statuses['202'] ?? 0;
    await gmail.ask('waitForAccepted', accepted);
  }
  return [
    over('delivered under a flood of requests, vs quiet', median(floodRates), median(quietRates), 1 / 3),
  ];
}
