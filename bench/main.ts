/**
 * npm run bench [-- [--write] <name> …]: measures ratios to baselines. Both sides are measured in
 * the same run, alternating, since machines are noisy. Prints tables and exits with 1 if a value
 * misses its aim. With --write it also writes docs/benchmarks.md. Uses only loopback connections.
 */
import { parseArgs } from 'node:util';
import { acceptRates } from './accept.ts';
import { backlogCosts } from './backlog.ts';
import { deliveryCosts } from './delivery.ts';
import { floodedRates } from './flood.ts';
import { historyRates } from './history.ts';
import { instanceRates } from './instances.ts';
import { latencyBesideLarge } from './latency.ts';
import { memoryUse } from './memory.ts';
import { readEnvironment, type Section, writePage } from './page.ts';
import { worstPauses } from './pause.ts';
import { comparePeers } from './peers.ts';
import { isMissed, type Report, TABLE_HEAD, toLine } from './report.ts';
import { startTimes } from './start.ts';

const BENCHES: Readonly<Record<string, { title: string; run: () => Promise<Report> }>> = {
  delivery: { title: 'Delivery of a backlog', run: deliveryCosts },
  peers: { title: 'From HTTP to the server', run: comparePeers },
  accept: { title: 'Accepting', run: acceptRates },
  flood: { title: 'Delivery under a flood of requests', run: floodedRates },
  latency: { title: 'Small requests beside large ones', run: latencyBesideLarge },
  pause: { title: 'Pauses of the event loop', run: worstPauses },
  history: { title: 'After a day of sending', run: historyRates },
  memory: { title: 'Memory', run: memoryUse },
  backlog: { title: 'A backlog of 100,000 messages', run: backlogCosts },
  start: { title: 'Start', run: startTimes },
  instances: { title: 'Two instances', run: instanceRates },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { write: { type: 'boolean' } },
});
const unknown = positionals.filter((name) => !(name in BENCHES));
if (unknown.length > 0) throw new Error(`no bench ${unknown}; there are ${Object.keys(BENCHES).join(', ')}`);
const wanted = positionals.length > 0 ? positionals : Object.keys(BENCHES);

const environment = readEnvironment();
const sections: Section[] = [];
for (const [name, { title, run }] of Object.entries(BENCHES)) {
  if (!wanted.includes(name)) continue;
  const startedAt = performance.now();
  const report = await run();
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  console.log(`\n${title} (${name}, ${seconds} s)\n`);
  if (report.table) console.log(`${report.table.join('\n')}\n`);
  console.log([...TABLE_HEAD, ...report.rows.map(toLine)].join('\n'));
  if (report.rows.some(isMissed)) process.exitCode = 1;
  sections.push({ name, title, report });
}
const omitted = Object.keys(BENCHES).filter((name) => !wanted.includes(name));
if (values.write) await writePage(environment, sections, omitted);
