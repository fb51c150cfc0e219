import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { acceptedPerSecond, ROOMY, ROUNDS, startLoad, startOn, startSink } from './processes.ts';
import { costOver, leftOut, over, type Report } from './report.ts';

/** What a sync takes longer on the slow disk, in µs: as much as on many disks of clouds. */
const SLOW_US = 5000;
const ASK_EVERY_MS = 5;
const WARM_UP = 5000;
const COUNT = 10_000;

interface Measured {
  readonly acceptedPerSecond: number;
  /** p99 of GET /livez meanwhile, in ms. */
  readonly livezMs: number;
}

/** 64 clients on SQLite while each sync takes 5 ms longer, compared with a sync as it is. */
export async function slowDisk(): Promise<Report> {
  const what = `accepted on sqlite while a sync takes ${SLOW_US / 1000} ms longer, vs as it is`;
  if (spawnSync('strace', ['--version']).status !== 0) return { rows: [leftOut(what, 'needs strace')] };
  const fast: Measured[] = [];
  const slow: Measured[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    fast.push(await measure(0));
    slow.push(await measure(SLOW_US));
  }
  const rates = (all: readonly Measured[]) => all.map((one) => one.acceptedPerSecond);
  const latencies = (all: readonly Measured[]) => all.map((one) => one.livezMs);
  return {
    rows: [
      over(what, rates(slow), rates(fast), 0.7),
      costOver('p99 latency of /livez meanwhile', latencies(slow), latencies(fast), 1.5),
    ],
  };
}

async function measure(delayUs: number): Promise<Measured> {
  await using stack = new AsyncDisposableStack();
  const load = stack.use(await startLoad());
  const sink = stack.use(await startSink());
  await sink.ask('hold');
  const outtray = await startOn('sqlite', sink, stack, ROOMY, { wrapper: slowSyncs(delayUs) });
  await acceptedPerSecond(load, outtray.port, WARM_UP);
  const stop = new AbortController();
  const asking = askRepeatedly(outtray.port, stop.signal);
  const rate = await acceptedPerSecond(load, outtray.port, COUNT);
  stop.abort();
  const latencies = (await asking).toSorted((a, b) => a - b);
  return {
    acceptedPerSecond: rate,
    livezMs: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
  };
}

/** A wrapper that delays the end of each sync. */
function slowSyncs(delayUs: number): string[] {
  const inject = `inject=fsync,fdatasync:delay_exit=${delayUs}`;
  // The service keeps the process id that this process knows, and strace ends with it.
  return ['strace', '--daemonize', '-f', '-qq', '-o', '/dev/null', '-e', inject];
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
