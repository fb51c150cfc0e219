import type { BackingName } from './parts/backing.ts';
import type { Load, LoadResult } from './parts/load.ts';
import { BODY, KEY, ROOMY, ROUNDS, startLoad, startOn, startSink } from './processes.ts';
import { over, type Report } from './report.ts';

/**
 * Delivery rate while 64 connections post without a pause, compared with a quiet service: while the
 * queue fills, and once it is full.
 */
export async function floodedRates(): Promise<Report> {
  const row = async (what: string, name: BackingName, env: Record<string, string>, ms: number) => {
    const { flooded, quiet } = await measure(name, env, ms);
    return over(what, flooded, quiet, 0.5);
  };
  return {
    rows: [
      await row('delivered from memory under a flood of requests, vs quiet', 'memory', ROOMY, 2000),
      await row('the same with a full queue', 'memory', {}, 5000),
      await row('delivered from sqlite under a flood of requests, vs quiet', 'sqlite', ROOMY, 2000),
    ],
  };
}

/** Deliveries per second under floods that last `ms`, and of a quiet service. */
async function measure(name: BackingName, env: Record<string, string>, ms: number) {
  await using stack = new AsyncDisposableStack();
  const sink = stack.use(await startSink());
  const load = stack.use(await startLoad());
  const { port } = await startOn(name, sink, stack, env);
  const shape = { path: '/send', body: BODY, port, key: KEY };
  const rates = { flooded: [] as number[], quiet: [] as number[] };
  let queued = 0;
  for (let round = 0; round < ROUNDS + 1; round += 1) {
    const count = 3000;
    await sink.ask('hold');
    await load.ask('run', { ...shape, connections: 8, requests: count } satisfies Load);
    queued += count;
    const quietAt = performance.now();
    await sink.ask('release');
    await sink.ask('waitForAccepted', queued);
    const quiet = count / ((performance.now() - quietAt) / 1000);

    // The queue may become full: other statuses than 202 are expected.
    const { seconds, statuses } = await load.ask<LoadResult>('run', {
      ...shape,
      connections: 64,
      ms,
    } satisfies Load);
    const flooded = ((await sink.ask<number>('accepted')) - queued) / seconds;
    queued += statuses['202'] ?? 0;
    await sink.ask('waitForAccepted', queued);
    // The first round is a warm-up.
    if (round === 0) continue;
    rates.quiet.push(quiet);
    rates.flooded.push(flooded);
  }
  return rates;
}
