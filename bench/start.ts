import { startToLivez } from './parts/command.ts';
import { environment } from './processes.ts';
import { atMost, median, type Row } from './report-row.ts';

/** Time from the start of the process to the first response of /livez. */
export async function startUp(): Promise<Row[]> {
  const nowhere = { url: 'smtp://127.0.0.1:1', user: 'bench@simulator.test', password: 'abcdefghijklmnop' };
  const times: number[] = [];
  for (let round = 0; round < 5; round += 1) times.push(await startToLivez(environment(nowhere)));
  const ms = median(times);
  return [atMost('startup to the first /livez', `${Math.round(ms)} ms`, ms, 1000)];
}
