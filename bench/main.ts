/**
 * npm run bench [-- <name> …]: measures ratios to baselines. Both sides are measured in the same
 * run, alternating, since machines are noisy. Prints a table and exits with 1 if a value misses its
 * aim. Uses only loopback connections.
 */
import { tmpdir } from 'node:os';
import { acceptRates } from './accept.ts';
import { backlogCosts } from './backlog.ts';
import { deliveryCosts } from './delivery.ts';
import { floodedRates } from './flood.ts';
import { historyRates } from './history.ts';
import { instanceRates } from './instances.ts';
import { latencyBesideLarge } from './latency.ts';
import { memoryUse } from './memory.ts';
import { worstPauses } from './pause.ts';
import { CONNECTIONS, ROUNDS } from './processes.ts';
import { isMissed, type Report, TABLE_HEAD, toLine } from './report.ts';
import { startTimes } from './start.ts';

const BENCHES: Readonly<Record<string, () => Promise<Report>>> = {
  delivery: deliveryCosts,
  accept: acceptRates,
  flood: floodedRates,
  latency: latencyBesideLarge,
  pause: worstPauses,
  history: historyRates,
  memory: memoryUse,
  backlog: backlogCosts,
  start: startTimes,
  instances: instanceRates,
};

const wanted = process.argv.slice(2);
console.log(
  `Node ${process.version}, ${CONNECTIONS} SMTP connections, medians of ${ROUNDS} rounds, files in ${tmpdir()}\n`,
);
console.log(TABLE_HEAD.join('\n'));
for (const [name, bench] of Object.entries(BENCHES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const { rows } = await bench();
  for (const row of rows) console.log(toLine(row));
  if (rows.some(isMissed)) process.exitCode = 1;
}
