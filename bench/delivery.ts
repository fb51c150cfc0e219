import { startChild } from './parts/children.ts';
import {
  CONNECTIONS,
  deliveredPerSecond,
  environment,
  MESSAGE,
  ROUNDS,
  startGmail,
  startLoad,
  startOuttray,
} from './processes.ts';
import { median, over, type Row } from './report-row.ts';

const COUNT = 4000;

/** From HTTP to the simulator's 250, over nodemailer's own pool. */
export async function deliveryRate(): Promise<Row[]> {
  const rates = { ours: [] as number[], direct: [] as number[] };
  await using gmail = await startGmail();
  await using load = await startLoad();
  await using direct = await startChild<string>('./direct.ts', { ...gmail.hello, connections: CONNECTIONS });
  await using outtray = await startOuttray(environment(gmail.hello), gmail.hello.ca);
  for (let round = 0; round < ROUNDS + 1; round += 1) {
    const directRate = COUNT / (await direct.ask<number>('send', { count: COUNT, message: MESSAGE }));
    const ourRate = await deliveredPerSecond(COUNT, gmail, load, outtray.hello.port);
    // The first round warms both up.
    if (round === 0) continue;
    rates.direct.push(directRate);
    rates.ours.push(ourRate);
  }
  return [over('delivered, over nodemailer’s own pool', median(rates.ours), median(rates.direct), 0.85)];
}
