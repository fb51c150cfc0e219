import { availableBackings, BACKING_NAMES, type BackingName } from './parts/backing.ts';
import { startChild } from './parts/children.ts';
import type { SendCost } from './parts/nodemailer-baseline.ts';
import {
  type BacklogCost,
  CONNECTIONS,
  deliverBacklog,
  MESSAGE,
  type Outtray,
  startLoad,
  startOn,
  startSink,
} from './processes.ts';
import { costOver, duration, leftOut, over, type Report, type Row, redisRow, reported } from './report.ts';

const COUNT = 3000;
const ROUNDS = 5;
/** Aim and goal of each ratio. */
const AIMS: Readonly<Record<BackingName, Record<'rate' | 'cpu', readonly [number | null, number?]>>> = {
  memory: { rate: [2], cpu: [0.5] },
  sqlite: { rate: [1, 1.4], cpu: [1, 0.8] },
  redis: { rate: [0.6], cpu: [null] },
};

/**
 * Delivery of a backlog, all of it due when the measurement starts, compared with nodemailer's own
 * pool: both with TLS, a login and five connections.
 */
export async function deliveryCosts(): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const sink = stack.use(await startSink());
  const load = stack.use(await startLoad());
  const { caFile } = sink.hello;
  const nodemailer = stack.use(
    await startChild<string>(
      './nodemailer-baseline.ts',
      { ...sink.hello, connections: CONNECTIONS },
      { env: { NODE_EXTRA_CA_CERTS: caFile } },
    ),
  );
  const services = new Map<BackingName, Outtray>();
  for (const name of availableBackings()) services.set(name, await startOn(name, sink, stack));
  const baseline: SendCost[] = [];
  const ours: Record<BackingName, BacklogCost[]> = { memory: [], sqlite: [], redis: [] };
  let sinkMs = 0;
  for (let round = 0; round < ROUNDS + 1; round += 1) {
    // The first round is a warm-up.
    const isMeasured = round > 0;
    if (round === 1) sinkMs -= await sink.ask<number>('cpuMs');
    const cost = await nodemailer.ask<SendCost>('send', { count: COUNT, message: MESSAGE });
    if (isMeasured) baseline.push(cost);
    for (const [name, service] of services) {
      const backlogCost = await deliverBacklog(COUNT, sink, load, service);
      if (isMeasured) ours[name].push(backlogCost);
    }
  }
  sinkMs += await sink.ask<number>('cpuMs');
  return {
    rows: [
      ...BACKING_NAMES.flatMap((name) => toRows(name, ours[name], baseline)),
      ...(ours.redis.length > 0
        ? [
            redisRow(
              'delivered',
              ours.redis.map(({ redis }) => redis),
              COUNT,
            ),
          ]
        : []),
      reported('CPU time of the sink per message', duration(sinkMs / (COUNT * ROUNDS * (services.size + 1)))),
    ],
  };
}

function toRows(name: BackingName, ours: readonly SendCost[], baseline: readonly SendCost[]): Row[] {
  const rateTitle = `delivered on ${name}, vs nodemailer's own pool`;
  if (ours.length === 0) return [leftOut(rateTitle, 'needs redis-server')];
  const rates = (costs: readonly SendCost[]) => costs.map(({ seconds }) => COUNT / seconds);
  const cpuTimes = (costs: readonly SendCost[]) => costs.map(({ cpuMs }) => cpuMs / COUNT);
  const cpuTitle = `CPU time per message delivered on ${name}, vs the same`;
  return [
    over(rateTitle, rates(ours), rates(baseline), ...AIMS[name].rate),
    costOver(cpuTitle, cpuTimes(ours), cpuTimes(baseline), ...AIMS[name].cpu),
  ];
}
