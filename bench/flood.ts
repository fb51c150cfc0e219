import type { Load, LoadResult } from './parts/load.ts';
import { BODY, environment, KEY, ROOMY, ROUNDS, startGmail, startLoad, startOuttray } from './processes.ts';
import { median, over, type Row } from './report-row.ts';

/**
 * Delivery rate while 64 connections post without a pause, compared with a quiet service: while the
 * queue fills, and once it is full.
 */
export async function floodedRate(): Promise<Row[]> {
  return [
    over('delivered under a flood of requests, vs quiet', ...(await rates({ ...ROOMY }, 2000)), 1 / 2),
    over('(the same with a full queue)', ...(await rates({}, 5000)), 1 / 2),
  ];
}

/** @returns the median rates of deliveries under a flood that lasts `ms`, and of a quiet service */
async function rates(env: Readonly<Record<string, string>>, ms: number): Promise<[number, number]> {
  await using gmail = await startGmail();
  await using load = await startLoad();
  await using outtray = await startOuttray({ ...environment(gmail.hello), ...env }, gmail.hello.ca);
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

    // The queue may become full: other statuses than 202 are expected.
    const result = await load.ask<LoadResult>('run', { ...shape, connections: 64, ms } satisfies Load);
    const delivered = (await gmail.ask<number>('accepted')) - accepted;
    floodRates.push(delivered / result.seconds);
    accepted += result.statuses['202'] ?? 0;
    await gmail.ask('waitForAccepted', accepted);
  }
  return [median(floodRates), median(quietRates)];
}
