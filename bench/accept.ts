import { startChild } from './parts/children.ts';
import {
  acceptedPerSecond,
  environment,
  KEY,
  ROOMY,
  ROUNDS,
  startGmail,
  startLoad,
  startOuttray,
} from './processes.ts';
import { median, over, type Row } from './report-row.ts';

/**
 * Rate of POST /send while the queue drains, compared with a bare Fastify route. The packages that
 * Outtray uses are measured on their own too.
 */
export async function acceptRate(): Promise<Row[]> {
  const rates = { ours: [] as number[], fastify: [] as number[], packages: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    await using load = await startLoad();
    for (const name of ['fastify', 'packages'] as const) {
      await using baseline = await startChild<{ port: number }>(`./${name}-baseline.ts`, { key: KEY });
      rates[name].push(await acceptedPerSecond(load, baseline.hello.port));
    }
    await using gmail = await startGmail();
    await using outtray = await startOuttray(environment(gmail.hello, ROOMY), gmail.hello.ca);
    rates.ours.push(await acceptedPerSecond(load, outtray.hello.port));
  }
  const fastify = median(rates.fastify);
  return [
    over('accepted, vs a bare Fastify route', median(rates.ours), fastify, 0.6),
    over('(the packages on their own, vs the same route)', median(rates.packages), fastify, null),
  ];
}
