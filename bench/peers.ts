import { BACKING_NAMES, BACKINGS, hasRedis } from './parts/backing.ts';
import type { Child } from './parts/children.ts';
import { type Program, startProgram } from './parts/command.ts';
import type { Usage } from './parts/probe.ts';
import { readRedisUsage } from './parts/redis-usage.ts';
import type { Settings } from './peers/mail.ts';
import { BODY, KEY, post, ROUNDS, type Sink, startLoad, startOn, startSink } from './processes.ts';
import { costOver, duration, leftOut, median, over, perSecond, type Report, type Row } from './report.ts';

const COUNT = 2000;
const CLIENTS = 50;
const NEEDS_REDIS = 'needs redis-server';

/** Peers by their names in the table: script, arguments, and whether an accepted message survives a crash. */
const PEERS = {
  'Express + nodemailer': { file: 'express', args: [], durable: false },
  'Express + nodemailer with a pool': { file: 'express', args: ['pool'], durable: false },
  'Fastify + array + pool': { file: 'fastify-array', args: [], durable: false },
  'Fastify + BullMQ + pool': { file: 'bullmq', args: [], durable: true },
} as const;
const BULLMQ = 'Fastify + BullMQ + pool';

interface Contestant {
  readonly name: string;
  readonly isOurs: boolean;
  readonly isDurable: boolean;
  readonly program: Program;
  readonly queueUrl: string;
  readonly measured: Measured[];
}

/** One round of one contestant. */
interface Measured {
  readonly acceptedPerSecond: number;
  readonly deliveredPerSecond: number;
  /** CPU time of the process per message, in ms. */
  readonly cpuMs: number;
  /** The same of Redis. */
  readonly redisMs: number;
  readonly p99Ms: number;
}

/**
 * From HTTP to the sink, with 50 clients: Outtray on each queue, and what an engineer would build in
 * its place.
 */
export async function comparePeers(): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const sink = stack.use(await startSink());
  const load = stack.use(await startLoad());
  const contestants = [...(await startPeers(sink, stack)), ...(await startOurs(sink, stack))];
  for (let round = 0; round < ROUNDS + 1; round += 1) {
    for (const contestant of contestants) {
      const measured = await measure(contestant, sink, load);
      // The first round is a warm-up.
      if (round > 0) contestant.measured.push(measured);
    }
  }
  return { rows: toRows(contestants), table: toTable(contestants) };
}

async function startPeers({ hello }: Sink, stack: AsyncDisposableStack): Promise<Contestant[]> {
  const started: Contestant[] = [];
  for (const [name, { file, args, durable }] of Object.entries(PEERS)) {
    if (durable && !hasRedis()) continue;
    const { url } = stack.use(await BACKINGS[durable ? 'redis' : 'memory']());
    const settings: Omit<Settings, 'PORT'> = {
      API_KEY: KEY,
      SMTP_PORT: String(hello.port),
      SMTP_USER: hello.user,
      SMTP_PASSWORD: hello.password,
      REDIS_PORT: durable ? new URL(url).port : '',
    };
    const env = { ...settings, NODE_ENV: 'production', NODE_EXTRA_CA_CERTS: hello.caFile };
    const script = new URL(`./peers/${file}.ts`, import.meta.url);
    const program = stack.use(await startProgram(script, args, { env }));
    started.push({ name, isOurs: false, isDurable: durable, program, queueUrl: url, measured: [] });
  }
  return started;
}

async function startOurs(sink: Sink, stack: AsyncDisposableStack): Promise<Contestant[]> {
  const started: Contestant[] = [];
  for (const name of BACKING_NAMES) {
    if (name === 'redis' && !hasRedis()) continue;
    const { queueUrl, ...program } = await startOn(name, sink, stack);
    const isDurable = name !== 'memory';
    started.push({ name: `Outtray, ${name}`, isOurs: true, isDurable, program, queueUrl, measured: [] });
  }
  return started;
}

async function measure({ program, queueUrl }: Contestant, sink: Child, load: Child): Promise<Measured> {
  const cpuTimes = async () => {
    const { cpuMs } = await program.ask<Usage>('usage');
    return { cpuMs, redisMs: (await readRedisUsage(queueUrl)).cpuMs };
  };
  const accepted = await sink.ask<number>('accepted');
  const before = await cpuTimes();
  const startedAt = performance.now();
  const shape = { path: '/send', body: BODY, connections: CLIENTS, port: program.port, key: KEY };
  const { seconds, latencies } = await post(load, { ...shape, requests: COUNT });
  await sink.ask('waitForAccepted', accepted + COUNT);
  const deliveredSeconds = (performance.now() - startedAt) / 1000;
  const after = await cpuTimes();
  return {
    acceptedPerSecond: COUNT / seconds,
    deliveredPerSecond: COUNT / deliveredSeconds,
    cpuMs: (after.cpuMs - before.cpuMs) / COUNT,
    redisMs: (after.redisMs - before.redisMs) / COUNT,
    p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
  };
}

function toTable(contestants: readonly Contestant[]): string[] {
  const lines = contestants.map(({ name, measured }) => {
    const of = (key: keyof Measured) => median(measured.map((round) => round[key]));
    const redisMs = of('redisMs');
    return [
      name,
      perSecond(of('acceptedPerSecond')),
      perSecond(of('deliveredPerSecond')),
      duration(of('cpuMs')) + (redisMs > 0 ? ` + ${duration(redisMs)} in Redis` : ''),
      duration(of('p99Ms')),
    ];
  });
  return [
    '| from HTTP to the server, 50 clients | accepted | delivered | CPU per message | p99 |',
    '| --- | --- | --- | --- | --- |',
    ...lines.map((cells) => `| ${cells.join(' | ')} |`),
  ];
}

function toRows(contestants: readonly Contestant[]): Row[] {
  const find = (name: string) => contestants.find((contestant) => contestant.name === name);
  const of = (contestant: Contestant | undefined, key: keyof Measured) =>
    contestant?.measured.map((round) => round[key]) ?? [];
  const totalOf = (contestant: Contestant | undefined) =>
    contestant?.measured.map(({ cpuMs, redisMs }) => cpuMs + redisMs) ?? [];
  const bestPeer = (key: keyof Measured, sign: number) =>
    contestants
      .filter(({ isOurs, isDurable }) => !isOurs && !isDurable)
      .toSorted((a, b) => sign * (median(of(a, key)) - median(of(b, key))))[0];
  const [memory, sqlite, redis] = ['memory', 'sqlite', 'redis'].map((name) => find(`Outtray, ${name}`));
  const [fastest, thriftiest] = [bestPeer('deliveredPerSecond', -1), bestPeer('cpuMs', 1)];
  const bullmq = find(BULLMQ);
  const rows = [
    over(
      `delivered in memory, from HTTP, vs ${fastest?.name}, the fastest peer`,
      of(memory, 'deliveredPerSecond'),
      of(fastest, 'deliveredPerSecond'),
      1,
    ),
    costOver(
      `CPU time of the same, vs ${thriftiest?.name}, the cheapest peer`,
      of(memory, 'cpuMs'),
      of(thriftiest, 'cpuMs'),
      1,
    ),
  ];
  if (!bullmq) return [...rows, leftOut(`delivered on sqlite and redis, vs ${BULLMQ}`, NEEDS_REDIS)];
  for (const [name, ours, aim] of [
    ['sqlite', sqlite, 1.5],
    ['redis', redis, 1.1],
  ] as const) {
    const title = `delivered on ${name}, from HTTP, vs BullMQ and nodemailer's pool`;
    rows.push(
      over(title, of(ours, 'deliveredPerSecond'), of(bullmq, 'deliveredPerSecond'), aim),
      costOver('CPU time of the same, with that of Redis', totalOf(ours), totalOf(bullmq), 1),
    );
  }
  return rows;
}
