import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { runHealthcheck, runNode, startToLivez } from './parts/command.ts';
import { environment } from './processes.ts';
import { atMost, costOver, duration, median, type Report, type Row } from './report.ts';

const ROUNDS = 7;

/** Start of the service, and of the health check that an image runs every few seconds. */
export async function startTimes(): Promise<Report> {
  return { rows: [await livezRow(), await healthcheckRow()] };
}

/** Time from the start of the process to the first response of /livez. */
async function livezRow(): Promise<Row> {
  const nowhere = { url: 'smtp://127.0.0.1:1', user: 'bench@simulator.test', password: 'abcdefghijklmnop' };
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) times.push(await startToLivez(environment(nowhere)));
  const ms = median(times);
  return atMost('startup to the first /livez', duration(ms), ms, 1000);
}

async function healthcheckRow(): Promise<Row> {
  const server = createServer((_request, response) => response.end());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const times = { healthcheck: [] as number[], nothing: [] as number[] };
  for (let round = 0; round < 2 * ROUNDS; round += 1) {
    times.nothing.push(await runNode(['-e', '0']));
    times.healthcheck.push(await runHealthcheck(port));
  }
  server.closeAllConnections();
  server.close();
  return costOver('outtray healthcheck, vs node -e 0', times.healthcheck, times.nothing, 1.5);
}
