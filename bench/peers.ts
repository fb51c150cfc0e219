import { availableBackings, BACKINGS, hasRedis } from './parts/backing.ts';
import type { Child } from './parts/children.ts';
import { type Program, startProgram } from './parts/command.ts';
import type { Usage } from './parts/probe.ts';
import { readRedisUsage } from './parts/redis-usage.ts';
import type { Settings } from './peers/mail.ts';
import { BODY, KEY, post, ROUNDS, type Sink, startLoad, startOn, startSink } from './processes.ts';
import { costOver, duration, leftOut, median, over, perSecond, type Report, type Row } from './report.ts';

const COUNT = 2000;
const CLIENTS = 50;

/** By name: script, arguments, and whether an accepted message survives a crash. */
const PEERS = {
  'Express + nodemailer': { file: 'express', args: [], durable: false },
  'Express + nodemailer with a pool': { file: 'express', args: ['pool'], durable: false },
  'Fastify + array + pool': { file: 'fastify-array', args: [], durable: false },
  'Fastify + BullMQ + pool': { file: 'bullmq', args: [], durable: true },
} as const;
const BULLMQ = 'Fastify + BullMQ + pool';
/** Aims of the delivery rates over those of BullMQ. */
const OVER_BULLMQ = { sqlite: 1.5, redis: 1.1 } as const;

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
    const env = { ...settings, NODE_EXTRA_CA_CERTS: hello.caFile };
    const script = new URL(`./peers/${file}.ts`, import.meta.url);
    const program = stack.use(await startProgram(script, args, { env }));
    started.push({ name, isOurs: false, isDurable: durable, program, queueUrl: url, measured: [] });
  }
  return started;
}

async function startOurs(sink: Sink, stack: AsyncDisposableStack): Promise<Contestant[]> {
  const started: Contestant[] = [];
  for (const name of availableBackings()) {
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
  const inMemory = contestants.filter(({ isOurs, isDurable }) => !isOurs && !isDurable);
  const fastest = inMemory.toSorted((a, b) => median(ratesOf(b)) - median(ratesOf(a)))[0];
  const cheapest = inMemory.toSorted((a, b) => median(costsOf(a)) - median(costsOf(b)))[0];
  const memory = find('Outtray, memory');
  const rows = [
    over(
      `delivered in memory, from HTTP, vs ${fastest?.name}, the fastest peer`,
      ratesOf(memory),
      ratesOf(fastest),
      1,
    ),
    costOver(
      `CPU time of the same, vs ${cheapest?.name}, the cheapest peer`,
      costsOf(memory),
      costsOf(cheapest),
      1,
    ),
  ];
  const bullmq = find(BULLMQ);
  if (!bullmq) return [...rows, leftOut(`delivered on sqlite and redis, vs ${BULLMQ}`, 'needs redis-server')];
  for (const [name, aim] of Object.entries(OVER_BULLMQ)) {
    const ours = find(`Outtray, ${name}`);
    const title = `delivered on ${name}, from HTTP, vs BullMQ and nodemailer's pool`;
    rows.push(over(title, ratesOf(ours), ratesOf(bullmq), aim));
    rows.push(costOver('CPU time of the same, that of Redis included', costsOf(ours), costsOf(bullmq), 1));
  }
  return rows;
}

function ratesOf(contestant: Contestant | undefined): number[] {
  return contestant?.measured.map(({ deliveredPerSecond }) => deliveredPerSecond) ?? [];
}

function costsOf(contestant: Contestant | undefined): number[] {
  return contestant?.measured.map(({ cpuMs, redisMs }) => cpuMs + redisMs) ?? [];
}
