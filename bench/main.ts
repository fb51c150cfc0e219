/**
 * npm run bench: ratios to baselines, both sides measured in this run, alternating, since machines are noisy. Prints a table and exits 1 if a ratio
 * misses its aim. Loopback only; ends by itself in about a minute and a half.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { startChild } from './parts/children.ts';
import type { GmailHello } from './parts/gmail.ts';
import type { Load, LoadResult } from './parts/load.ts';
import type { Pace, PacedResult } from './parts/paced.ts';

const KEY = 'bench-secret-0123456789-abcdefghij';
const CONNECTIONS = 3;
const ROUNDS = 3;
const MESSAGE = { to: 'ada@example.com', subject: 'A message of one kilobyte', text: 'All work and no play. '.repeat(40) };
const BODY = JSON.stringify(MESSAGE);

interface Row {
  readonly what: string;
  readonly ours: string;
  readonly baseline: string;
  readonly value: number;
  readonly aim: number;
  /** Whether more is better. */
  readonly atLeast: boolean;
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const perSecond = (rate: number) => `${Math.round(rate).toLocaleString('en')}/s`;

function environment(gmail: GmailHello, more: Record<string, string> = {}): Record<string, string> {
  const account = { GMAIL_USER: gmail.user, GMAIL_APP_PASSWORD: gmail.password, SMTP_URL: gmail.url };
  const limits = { RATE_LIMIT: '1000000/1s', GMAIL_DAILY_MESSAGES: '1000000', GMAIL_DAILY_RECIPIENTS: '1000000' };
  return { ...account, ...limits, API_KEYS: `bench:${KEY}`, SMTP_CONNECTIONS: String(CONNECTIONS), ...more };
}

const startGmail = () => startChild<GmailHello>('./gmail.ts', {});
const startOuttray = (env: Record<string, string>, ca?: string, nodeArgs?: string[]) =>
  startChild<{ port: number }>('./outtray.ts', { env, ca }, nodeArgs);
const startLoad = () => startChild<string>('./load.ts', {});

/** POST /send, the queue draining, over a bare Fastify route; and what the packages it is made of reach on their own. */
async function acceptRate(): Promise<Row[]> {
  const rates = { ours: [] as number[], bare: [] as number[], packages: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    await using load = await startLoad();
    const rateAt = async (port: number) => {
      const shape = { path: '/send', body: BODY, connections: 64, ms: 4000, port, key: KEY };
      return rateOf(await load.ask<LoadResult>('run', shape satisfies Load));
    };
    for (const name of ['bare', 'packages'] as const) {
      await using yardstick = await startChild<{ port: number }>(`./${name}.ts`, { key: KEY });
      rates[name].push(await rateAt(yardstick.hello.port));
    }
    await using gmail = await startGmail();
    const roomy = { QUEUE_MAX_MESSAGES: '10000000', QUEUE_MAX_BYTES: '16gb' };
    await using outtray = await startOuttray(environment(gmail.hello, roomy), gmail.hello.ca);
    rates.ours.push(await rateAt(outtray.hello.port));
  }
  const [ours, bare, packages] = [median(rates.ours), median(rates.bare), median(rates.packages)];
  const over = (what: string, rate: number, aim: number): Row => ({
    what,
    ours: perSecond(rate),
    baseline: perSecond(bare),
    value: rate / bare,
    aim,
    atLeast: true,
  });
  return [over('accepted, over a bare Fastify route', ours, 0.6), over('(its packages on their own, over the same route)', packages, 0)];
}

function rateOf({ answers, seconds }: LoadResult): number {
  const others = Object.keys(answers).filter((status) => status !== '202');
  if (others.length > 0) throw new Error(`answers other than 202: ${JSON.stringify(answers)}`);
  return (answers['202'] ?? 0) / seconds;
}

/** From HTTP to the simulator's 250, over nodemailer's own pool. */
async function deliveryRate(): Promise<Row[]> {
  const count = 4000;
  const rates = { ours: [] as number[], direct: [] as number[] };
  await using gmail = await startGmail();
  await using load = await startLoad();
  await using direct = await startChild<string>('./direct.ts', { ...gmail.hello, connections: CONNECTIONS });
  await using outtray = await startOuttray(environment(gmail.hello), gmail.hello.ca);
  let accepted = 0;
  for (let round = 0; round < ROUNDS + 1; round += 1) {
    const directRate = count / (await direct.ask<number>('send', { count, message: MESSAGE }));
    accepted += count;
    const startedAt = performance.now();
    const shape = { path: '/send', body: BODY, connections: 8, requests: count, port: outtray.hello.port, key: KEY };
    await load.ask<LoadResult>('run', shape satisfies Load);
    accepted += count;
    await gmail.ask('waitForAccepted', accepted);
    const ourRate = count / ((performance.now() - startedAt) / 1000);
    // The first round warms both up.
    if (round === 0) continue;
    rates.direct.push(directRate);
    rates.ours.push(ourRate);
  }
  const [ours, baseline] = [median(rates.ours), median(rates.direct)];
  return [
    {
      what: 'delivered, over nodemailer’s own pool',
      ours: perSecond(ours),
      baseline: perSecond(baseline),
      value: ours / baseline,
      aim: 0.85,
      atLeast: true,
    },
  ];
}

/** Delivery while 64 connections post without pause, over delivery in quiet. */
async function floodedRate(): Promise<Row[]> {
  await using gmail = await startGmail();
  await using load = await startLoad();
  await using outtray = await startOuttray(environment(gmail.hello), gmail.hello.ca);
  const shape = { path: '/send', body: BODY, port: outtray.hello.port, key: KEY };
  const quietRates: number[] = [];
  const floodRates: number[] = [];
  let accepted = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const count = 3000;
    await load.ask('run', { ...shape, connections: 8, requests: count } satisfies Load);
    const before = await gmail.ask<number>('accepted');
    const quietAt = performance.now();
    accepted += count;
    await gmail.ask('waitForAccepted', accepted);
    quietRates.push((accepted - before) / ((performance.now() - quietAt) / 1000));

    const ms = 5000;
    const result = await load.ask<LoadResult>('run', { ...shape, connections: 64, ms } satisfies Load);
    const during = (await gmail.ask<number>('accepted')) - accepted;
    floodRates.push(during / result.seconds);
    accepted += result.answers['202'] ?? 0;
    await gmail.ask('waitForAccepted', accepted);
  }
  const [quiet, flood] = [median(quietRates), median(floodRates)];
  return [
    {
      what: 'delivered under a flood of accepts, over quiet',
      ours: perSecond(flood),
      baseline: perSecond(quiet),
      value: flood / quiet,
      aim: 1 / 3,
      atLeast: true,
    },
  ];
}

/** How long a small send takes at worst (p99) while messages of 20 MB stream in, four a second (640 Mbit/s), over when it is quiet. */
async function latencyUnderLarge(): Promise<Row[]> {
  const file = { filename: 'film.mp4', content: randomBytes(15 * 1024 * 1024).toString('base64') };
  const large = JSON.stringify({ ...MESSAGE, attachments: [file] });
  await using gmail = await startGmail();
  await using outtray = await startOuttray(environment(gmail.hello, { QUEUE_MAX_BYTES: '1gb' }), gmail.hello.ca);
  await using one = await startChild<string>('./paced.ts', {});
  await using other = await startChild<string>('./paced.ts', {});
  const shape = { path: '/send', port: outtray.hello.port, key: KEY };
  let accepted = 0;
  const sendTo = async (child: typeof one, body: string, everyMs: number, ms: number) => {
    const { latencies, answers } = await child.ask<PacedResult>('pace', { ...shape, body, everyMs, ms } satisfies Pace);
    accepted += answers['202'] ?? 0;
    return latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN;
  };
  const quiet: number[] = [];
  const busy: number[] = [];
  await sendTo(one, BODY, 10, 1000);
  for (let round = 0; round < ROUNDS; round += 1) {
    await gmail.ask('waitForAccepted', accepted);
    quiet.push(await sendTo(one, BODY, 10, 4000));
    const streaming = sendTo(other, large, 250, 8000);
    busy.push(await sendTo(one, BODY, 10, 8000));
    await streaming;
  }
  return [
    {
      what: 'p99 of small sends while four of 20 MB a second stream in, over quiet',
      ours: `${median(busy).toFixed(1)} ms`,
      baseline: `${median(quiet).toFixed(1)} ms`,
      value: median(busy) / median(quiet),
      aim: 5,
      atLeast: false,
    },
  ];
}

/** Memory for each queued message of 1 KB, while the server never greets. */
async function queuedBytes(): Promise<Row[]> {
  const silent = net.createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as net.AddressInfo;
  const env = environment({ url: `smtp://127.0.0.1:${port}`, port, ca: '', user: 'bench@simulator.test', password: 'abcdefghijklmnop' });
  await using outtray = await startOuttray({ ...env, QUEUE_MAX_MESSAGES: '100000' }, undefined, ['--expose-gc']);
  await using load = await startLoad();
  const shape = { path: '/send', body: BODY, connections: 16, port: outtray.hello.port, key: KEY };
  await load.ask('run', { ...shape, requests: 2000 } satisfies Load);
  const before = await outtray.ask<number>('memory');
  const count = 50_000;
  await load.ask('run', { ...shape, requests: count } satisfies Load);
  const bytes = ((await outtray.ask<number>('memory')) - before) / count;
  silent.close();
  return [
    {
      what: 'memory for each queued message of 1 KB',
      ours: `${Math.round(bytes)} B`,
      baseline: '',
      value: bytes,
      aim: 4096,
      atLeast: false,
    },
  ];
}

/** From the start of the process to the first answer of /livez. */
async function startUp(): Promise<Row[]> {
  const times: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    const port = await freePort();
    const env = {
      ...process.env,
      API_KEYS: `bench:${KEY}`,
      GMAIL_USER: 'bench@gmail.com',
      GMAIL_APP_PASSWORD: 'abcdefghijklmnop',
      PORT: String(port),
    };
    const startedAt = performance.now();
    const service = spawn(process.execPath, ['src/main.ts', 'serve'], { env, stdio: 'ignore', cwd: new URL('..', import.meta.url) });
    while (!(await isAlive(port))) await new Promise((resolve) => setTimeout(resolve, 5));
    times.push(performance.now() - startedAt);
    const gone = once(service, 'exit');
    service.kill('SIGKILL');
    await gone;
  }
  const ms = median(times);
  return [{ what: 'start to the first /livez', ours: `${Math.round(ms)} ms`, baseline: '', value: ms, aim: 1000, atLeast: false }];
}

async function isAlive(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/livez`).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const BENCHES = {
  accept: acceptRate,
  delivery: deliveryRate,
  flood: floodedRate,
  memory: queuedBytes,
  latency: latencyUnderLarge,
  start: startUp,
} as const;

const wanted = process.argv.slice(2);
console.log(`Node ${process.version}, ${CONNECTIONS} SMTP connections, medians of ${ROUNDS} rounds\n`);
console.log('| what | Outtray | baseline | value | aim | |\n| --- | --- | --- | --- | --- | --- |');
for (const [name, bench] of Object.entries(BENCHES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  for (const row of await bench()) print(row);
}

function print({ what, ours, baseline, value, aim, atLeast }: Row): void {
  const holds = atLeast ? value >= aim : value <= aim;
  if (!holds) process.exitCode = 1;
  const shown = atLeast || baseline !== '' ? value.toFixed(2) : '';
  const bound = aim === 0 ? '' : atLeast ? `≥ ${aim.toFixed(2)}` : `≤ ${aim}`;
  console.log(`| ${what} | ${ours} | ${baseline} | ${shown} | ${bound} | ${aim === 0 ? '' : holds ? 'holds' : 'missed'} |`);
}
