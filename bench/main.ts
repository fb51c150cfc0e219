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
import { listTimes } from './list.ts';
import { memoryUse } from './memory.ts';
import { scrapedRates } from './metrics.ts';
import { readEnvironment, type Section, writePage } from './page.ts';
import { worstPauses } from './pause.ts';
import { comparePeers } from './peers.ts';
import { isMissed, type Report, TABLE_HEAD, toLine } from './report.ts';
import { slowDisk } from './slow-disk.ts';
import { startTimes } from './start.ts';

interface Bench {
  readonly title: string;
  readonly method: string;
  readonly run: () => Promise<Report>;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  delivery: {
    title: 'Delivery of a backlog',
    method: `All messages are queued before the measurement starts, so that it does not include accepting
them. nodemailer's pool gets the same messages in its own process.`,
    run: deliveryCosts,
  },
  peers: {
    title: 'From HTTP to the server',
    method: `50 clients each send their next request after the response to the last one. The peers in
\`bench/peers/\` are what an engineer would build instead.`,
    run: comparePeers,
  },
  accept: {
    title: 'Accepting',
    method: `64 connections, after 20,000 requests to each side. Nothing is delivered meanwhile. The packages
are Fastify, zod, @fastify/rate-limit and pino: \`bench/parts/packages-baseline.ts\`.`,
    run: acceptRates,
  },
  metrics: {
    title: 'Accepting while scraped',
    method: `One service, in memory. Each of twelve rounds has four parts: no scrapes, one a second, ten at
once every second, no scrapes. The baseline is the mean of the first and the last part.`,
    run: scrapedRates,
  },
  'slow-disk': {
    title: 'A slow disk',
    method: 'strace makes each sync of the service 5 ms longer. On the other side it traces the same calls.',
    run: slowDisk,
  },
  flood: {
    title: 'Delivery under a flood of requests',
    method: '64 connections send without a pause.',
    run: floodedRates,
  },
  latency: {
    title: 'Small requests beside large ones',
    method: 'One small request is due every 10 ms, whether earlier ones have been responded to or not.',
    run: latencyBesideLarge,
  },
  pause: {
    title: 'Pauses of the event loop',
    method: `The longest time for which no timer runs while one message is received, stored, composed and
sent. The row shows the three worst of ten shapes of text.`,
    run: worstPauses,
  },
  history: {
    title: 'After a day of sending',
    method: 'One side has sent a message in every ten minutes of a day.',
    run: historyRates,
  },
  memory: {
    title: 'Memory',
    method: 'Memory in use after a collection, and resident memory.',
    run: memoryUse,
  },
  backlog: {
    title: 'A backlog of 100,000 messages',
    method: 'They wait in an SQLite file when the service starts.',
    run: backlogCosts,
  },
  list: {
    title: 'Lists and statistics',
    method: '100,000 messages are stored, of which every tenth waits. The median of 15 reads.',
    run: listTimes,
  },
  start: {
    title: 'Start',
    method: 'From the start of a process to its first response, or to its end.',
    run: startTimes,
  },
  instances: {
    title: 'Two instances',
    method: 'Two instances share one Redis and one account. Each message takes the server 50 ms.',
    run: instanceRates,
  },
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
for (const [name, { title, method, run }] of Object.entries(BENCHES)) {
  if (!wanted.includes(name)) continue;
  const startedAt = performance.now();
  const report = await run();
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  console.log(`\n${title} (${name}, ${seconds} s)\n`);
  if (report.table) console.log(`${report.table.join('\n')}\n`);
  console.log([...TABLE_HEAD, ...report.rows.map(toLine)].join('\n'));
  if (report.rows.some(isMissed)) process.exitCode = 1;
  sections.push({ name, title, method, report });
}
const omitted = Object.keys(BENCHES).filter((name) => !wanted.includes(name));
if (values.write) await writePage(environment, sections, omitted);
