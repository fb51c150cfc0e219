/**
 * npm run bench [-- <name> …]: measures ratios to baselines. Both sides are measured in the same
 * run, alternating, since machines are noisy. Prints a table and exits with 1 if a value misses its
 * aim. Uses only loopback connections.
 */
import { tmpdir } from 'node:os';
import { acceptRate } from './accept.ts';
import { backlogCosts } from './backlog.ts';
import { deliveryRate } from './delivery.ts';
import { floodedRate } from './flood.ts';
import { historyRates } from './history.ts';
import { instanceRates } from './instances.ts';
import { latencyUnderLarge } from './latency.ts';
import { queuedBytes } from './memory.ts';
import { CONNECTIONS, ROUNDS } from './processes.ts';
import { queueRates } from './queues.ts';
import type { Row } from './report-row.ts';
import { startUp } from './start.ts';

const BENCHES = {
  accept: acceptRate,
  delivery: deliveryRate,
  flood: floodedRate,
  memory: queuedBytes,
  latency: latencyUnderLarge,
  start: startUp,
  queues: queueRates,
  backlog: backlogCosts,
  history: historyRates,
  instances: instanceRates,
} as const;

const wanted = process.argv.slice(2);
console.log(
  `Node ${process.version}, ${CONNECTIONS} SMTP connections, medians of ${ROUNDS} rounds, files in ${tmpdir()}\n`,
);
console.log('| what | Outtray | baseline | value | aim | |\n| --- | --- | --- | --- | --- | --- |');
for (const [name, bench] of Object.entries(BENCHES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  for (const row of await bench()) print(row);
}

function print({ what, ours, baseline, value, aim, atLeast }: Row): void {
  const holds = aim === null || (atLeast ? value >= aim : value <= aim);
  if (!holds) process.exitCode = 1;
  const shown = atLeast || baseline !== '' ? value.toFixed(2) : '';
  const bound = aim === null ? '' : atLeast ? `≥ ${aim.toFixed(2)}` : `≤ ${aim}`;
  console.log(
    `| ${what} | ${ours} | ${baseline} | ${shown} | ${bound} | ${aim === null ? '' : holds ? 'met' : 'missed'} |`,
  );
}
