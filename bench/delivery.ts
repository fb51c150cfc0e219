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

/** Delivery rate from HTTP to the simulator's 250, compared with nodemailer's own pool. */
export async function deliveryRate(): Promise<Row[]> {
  const rates = { ours: [] as number[], nodemailer: [] as number[] };
  await using gmail = await startGmail();
  await using load = await startLoad();
  const setup = { ...gmail.hello, connections: CONNECTIONS };
  await using nodemailer = await startChild<string>('./nodemailer-baseline.ts', setup);
  await using outtray = await startOuttray(environment(gmail.hello), gmail.hello.ca);
  for (let round = 0; round < ROUNDS + 1; round += 1) {
    const seconds = await nodemailer.ask<number>('send', { count: COUNT, message: MESSAGE });
    const ourRate = await deliveredPerSecond(COUNT, gmail, load, outtray.hello.port);
    // The first round is a warm-up.
    if (round === 0) continue;
    rates.nodemailer.push(COUNT / seconds);
    rates.ours.push(ourRate);
  }
  return [over("delivered, vs nodemailer's own pool", median(rates.ours), median(rates.nodemailer), 0.85)];
}
