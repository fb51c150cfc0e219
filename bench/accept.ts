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

/** POST /send, the queue draining, over a bare Fastify route; and what the packages it is made of reach on their own. */
export async function acceptRate(): Promise<Row[]> {
  const rates = { ours: [] as number[], bare: [] as number[], packages: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    await using load = await startLoad();
    for (const name of ['bare', 'packages'] as const) {
      await using yardstick = await startChild<{ port: number }>(`./${name}.ts`, { key: KEY });
      rates[name].push(await acceptedPerSecond(load, yardstick.hello.port));
    }
    await using gmail = await startGmail();
    await using outtray = await startOuttray(environment(gmail.hello, ROOMY), gmail.hello.ca);
    rates.ours.push(await acceptedPerSecond(load, outtray.hello.port));
  }
  const bare = median(rates.bare);
  return [
    over('accepted, over a bare Fastify route', median(rates.ours), bare, 0.6),
    over('(its packages on their own, over the same route)', median(rates.packages), bare, null),
  ];
}
