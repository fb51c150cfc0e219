import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFile } from './parts/backing.ts';
import { acceptedPerSecond, environment, ROOMY, ROUNDS, startLoad, startSilence } from './processes.ts';
import { leftOut, median, over, type Row } from './report-row.ts';

/** What a sync takes longer on the slow disk, in µs: as much as on many disks of clouds. */
const SLOW_US = 5000;
const ASK_EVERY_MS = 5;

interface Measured {
  readonly acceptedPerSecond: number;
  /** p99 of GET /livez meanwhile, in ms. */
  readonly livezMs: number;
}

/** 64 clients on SQLite while each sync takes 5 ms longer, compared with a sync as it is. */
export async function slowDisk(): Promise<Row[]> {
  const what = `accepted on sqlite while a sync takes ${SLOW_US / 1000} ms longer, vs as it is`;
  if (spawnSync('strace', ['--version']).status !== 0) return [leftOut(what, 'needs strace')];
  const fast: Measured[] = [];
  const slow: Measured[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    fast.push(await measure(0));
    slow.push(await measure(SLOW_US));
  }
  const of = (all: readonly Measured[], key: keyof Measured) => median(all.map((one) => one[key]));
  const [slowMs, fastMs] = [of(slow, 'livezMs'), of(fast, 'livezMs')];
  return [
    over(what, of(slow, 'acceptedPerSecond'), of(fast, 'acceptedPerSecond'), 0.7),
    {
      what: 'p99 latency of /livez meanwhile',
      ours: `${slowMs.toFixed(1)} ms`,
      baseline: `${fastMs.toFixed(1)} ms`,
      value: slowMs / fastMs,
      aim: 1.5,
      atLeast: false,
    },
  ];
}

async function measure(delayUs: number): Promise<Measured> {
  await using silence = await startSilence();
  await using file = await openFile();
  await using load = await startLoad();
  await using outtray = await startTraced(environment(silence, { ...ROOMY, QUEUE_URL: file.url }), delayUs);
  await acceptedPerSecond(load, outtray.port);
  const stop = new AbortController();
  const asking = askRepeatedly(outtray.port, stop.signal);
  const rate = await acceptedPerSecond(load, outtray.port);
  stop.abort();
  const latencies = (await asking).toSorted((a, b) => a - b);
  return {
    acceptedPerSecond: rate,
    livezMs: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
  };
}

/** Starts the service under strace, which delays the end of each sync. */
async function startTraced(
  env: Record<string, string>,
  delayUs: number,
): Promise<{ readonly port: number } & AsyncDisposable> {
  const inject = `inject=fsync,fdatasync:delay_exit=${delayUs}`;
  const child = fork(new URL('./parts/outtray.ts', import.meta.url), [JSON.stringify({ env })], {
    execPath: 'strace',
    // The service keeps the process id that this process knows, and strace ends with it.
    execArgv: ['--daemonize', '-f', '-qq', '-o', '/dev/null', '-e', inject, process.execPath],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  return { port, [Symbol.asyncDispose]: () => end(child) };
}

async function end(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** Returns the latencies of GET /livez, in ms. */
async function askRepeatedly(port: number, signal: AbortSignal): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const latencies: number[] = [];
  while (!signal.aborted) {
    const startedAt = performance.now();
    const [response] = await once(get({ port, path: '/livez', agent }), 'response');
    response.resume();
    await once(response, 'end');
    latencies.push(performance.now() - startedAt);
    await sleep(ASK_EVERY_MS);
  }
  agent.destroy();
  return latencies;
}
