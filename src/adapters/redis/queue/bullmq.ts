import {
  type IRedisClient,
  type JobJson,
  type MinimalJob,
  QueueKeys,
  RedisConnection,
  RedisQueueBackend,
  type WorkerOptions,
} from 'bullmq';
import type { Priority } from '../../../core/message/message.ts';
import type { Clock } from '../connection/clock.ts';
import type { Connection } from '../connection/connection.ts';
import type { Argument, Call, Script } from '../connection/scripts.ts';
import { PREFIX } from '../keys.ts';

/** BullMQ’s: the lower goes first; what has none would go before all. */
const PRIORITIES: Readonly<Record<Priority, number>> = { high: 1, normal: 2 };
/** BullMQ writes a stream of events that nobody reads here; it trims that to about this, a hundred at least. */
const MAX_EVENTS = 1;
/** Where BullMQ hands its script `moveToActive` the time of day. */
const TIME_IN_MOVE_TO_ACTIVE = 12;
/** A message whose instances keep dying is still not failed by the queue. */
const UNLIMITED = Number.MAX_SAFE_INTEGER;

export type NextJob =
  | { readonly id: string; readonly priority: Priority }
  | { readonly id: null; readonly dueAt: number | null };

/**
 * One queue of BullMQ. A job is an id and nothing else. It stands in `prioritized`; in `delayed` until it is due; in `active` while it is taken; or, when
 * its instance has died, in `wait`, which goes before all. It is taken by whoever holds its lock.
 *
 * This goes a step below BullMQ’s Worker: whoever takes an id here is a lane that comes for it by itself, works on it for as long as it needs and
 * settles it in its own way, and some of that must be one step with what is ours: methods that return a Call leave it to the caller to run it.
 */
export interface BullMqQueue {
  /** Fit for a key. */
  readonly name: string;
  readonly keys: Readonly<
    Record<'active' | 'delayed' | 'marker' | 'prioritized' | 'stalled' | 'stalled-check' | 'wait', string>
  >;
  /** The key of an id’s job. */
  job(id: string): string;
  /** Adds an id, unless it is there already. */
  add(id: string, priority: Priority, dueAt: number): Call;
  /** Removes an id that is taken with the token; does nothing if it is taken otherwise. */
  finish(id: string, token: string): Call;
  /** Removes an id that waits; does nothing if it is taken. */
  remove(id: string): Call;
  /** Takes the next id that is due; or says when the next one will be. */
  next(token: string): Promise<NextJob>;
  /** Gives back what was taken with the token, due later; does nothing if it is taken otherwise. */
  delay(id: string, token: string, dueAt: number): Promise<void>;
  /** Gives back what was taken with the token and never worked on: it goes before the others of its priority. */
  giveBack(id: string, token: string): Promise<void>;
  /** Makes those due again that were taken by somebody who has died, and answers them: those who had no lock, at this time and at the last. */
  reclaim(): Call;
}

export interface BullMqOptions {
  readonly connection: Connection;
  /** How long an id stays taken by an instance that has died. */
  readonly lockMs: number;
  /** How often somebody looks for such ids, whoever does. */
  readonly reclaimEveryMs: number;
}

/** Answers what opens the queue for a channel. */
export async function connectBullMq({
  connection,
  lockMs,
  reclaimEveryMs,
}: BullMqOptions): Promise<(channel: string) => BullMqQueue> {
  const { redis, clock, findScript } = connection;
  const shared = new RedisConnection(redis, { shared: true, blocking: false, skipVersionCheck: true });
  shared.on('error', () => {});
  const client = await shared.client;
  const names = new QueueKeys(PREFIX);
  const options: WorkerOptions = {
    connection: redis,
    prefix: PREFIX,
    lockDuration: lockMs,
  };

  return (channel) => {
    const name = encodeURIComponent(channel);
    const backend = new RedisQueueBackend(
      shared,
      name,
      names.getKeys(name),
      (type) => names.toKey(name, type),
      options,
      undefined,
      false,
    );
    useSharedClock(backend, clock);
    backend.setQueueMeta({ 'opts.maxLenEvents': MAX_EVENTS }).catch(() => {});
    return toQueue(name, backend, client, { clock, findScript, reclaimEveryMs });
  };
}

/** BullMQ goes by the wall clock of whoever asks. Where that jumps, or is off, messages would be due early, or hours late. */
function useSharedClock(backend: RedisQueueBackend, clock: Clock) {
  const run = backend.execCommand.bind(backend);
  backend.execCommand = (client, command, args) =>
    run(
      client,
      command,
      command === 'moveToActive' ? args.with(TIME_IN_MOVE_TO_ACTIVE, Math.floor(clock.now())) : args,
    );
}

function toQueue(
  name: string,
  backend: RedisQueueBackend,
  client: IRedisClient,
  {
    clock,
    findScript,
    reclaimEveryMs,
  }: Pick<Connection, 'clock' | 'findScript'> & Pick<BullMqOptions, 'reclaimEveryMs'>,
): BullMqQueue {
  /** Whole milliseconds from now, rounded so that nothing is due too early. */
  function delayUntil(dueAt: number): number {
    const now = clock.now();
    return dueAt > now ? Math.ceil(dueAt) - Math.floor(now) : 0;
  }

  return {
    name,
    keys: backend.keys as unknown as BullMqQueue['keys'],
    job: (id) => backend.toKey(id),
    add(id, priority, dueAt) {
      const timestamp = Math.floor(clock.now());
      const opts = { priority: PRIORITIES[priority], delay: delayUntil(dueAt) };
      return captureCall(findScript, (recorder) =>
        backend.addJobToTransaction(recorder, { ...EMPTY_JOB, id, opts, timestamp }, id),
      );
    },
    finish(id, token) {
      const args = backend.moveToCompletedArgs({ id, opts: {} } as MinimalJob, null, true, token, false);
      return captureCall(findScript, (recorder) => backend.execCommand(recorder, 'moveToFinished', args));
    },
    remove(id) {
      const args = [backend.toKey(id), backend.toKey('repeat'), id, 0, backend.toKey('')];
      return captureCall(findScript, (recorder) => backend.execCommand(recorder, 'removeJob', args));
    },
    async next(token) {
      const [job, id, , dueAt] = await backend.moveToActive(token);
      if (!job) return { id: null, dueAt: dueAt > 0 ? Number(dueAt) : null };
      return { id, priority: Number(job.opts.priority) === PRIORITIES.high ? 'high' : 'normal' };
    },
    async delay(id, token, dueAt) {
      const args = backend.moveToDelayedArgs(id, Math.floor(clock.now()), token, delayUntil(dueAt), {
        skipAttempt: true,
      });
      await backend.execCommand(client, 'moveToDelayed', args);
    },
    async giveBack(id, token) {
      await backend.moveJobFromActiveToWait(id, token);
    },
    reclaim() {
      const { active, events, marker, meta, paused, repeat, stalled, wait } = backend.keys;
      const keys = [
        stalled,
        wait,
        active,
        backend.keys['stalled-check'],
        meta,
        paused,
        marker,
        events,
        repeat,
      ];
      const args = [...keys, UNLIMITED, backend.toKey(''), Math.floor(clock.now()), reclaimEveryMs];
      return captureCall(findScript, (recorder) =>
        backend.execCommand(recorder, 'moveStalledJobsToWait', args),
      );
    },
  };
}

/** Records the script that BullMQ would send, without sending it. */
function captureCall(
  findScript: (name: string) => Script,
  send: (recorder: IRedisClient) => Promise<unknown>,
): Call {
  const calls: Call[] = [];
  const recorder: Pick<IRedisClient, 'runCommand'> = {
    async runCommand(name, args) {
      calls.push({ script: findScript(name), args: args as Argument[] });
    },
  };
  void send(recorder as IRedisClient);
  const [call] = calls;
  if (!call) throw new Error('BullMQ has sent no script');
  return call;
}

/** What BullMQ keeps of an id besides. */
const EMPTY_JOB: Omit<JobJson, 'id' | 'opts' | 'timestamp'> = {
  name: '',
  data: '{}',
  progress: 0,
  attemptsMade: 0,
  attemptsStarted: 0,
  failedReason: '',
  returnvalue: '',
  stalledCounter: 0,
};
