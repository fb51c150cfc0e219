import { type IRedisClient, QueueKeys, RedisConnection, RedisQueueBackend, type WorkerOptions } from 'bullmq';
import type { Priority } from '../../../core/message/message.ts';
import type { Connection } from '../connection/connection.ts';
import type { Argument, Call, Script } from '../connection/scripts.ts';
import { PREFIX } from '../keys.ts';

/** BullMQ's priorities: lower goes first, and a job without one would go before all others. */
export const PRIORITIES: Readonly<Record<Priority, number>> = { high: 1, normal: 2 };
/**
 * BullMQ's event stream is not used. It is trimmed to about this length, but keeps a hundred at
 * least.
 */
const MAX_EVENTS = 1;
/** Maximum number of times an id may be reclaimed: the queue never fails a message. */
const MAX_RECLAIMS = Number.MAX_SAFE_INTEGER;

/**
 * One BullMQ queue: the ids of one channel. A job is an id and nothing else.
 *
 * A job is in `prioritized` while it is due, in `delayed` until then, and in `active` while it is
 * taken. When its instance dies it moves to `wait`, which goes before all others. The holder of its
 * lock has taken it.
 *
 * This works one level below BullMQ's Worker. Outtray's workers fetch an id when they are free,
 * hold it as long as they need, and finish it in a step that also changes Outtray's own keys.
 * Methods that return a Call leave it to the caller to run it, alone or joined with others.
 */
export interface BullMqQueue {
  /** The channel, encoded for use in a key. */
  readonly name: string;
  readonly keys: Readonly<
    Record<
      'active' | 'delayed' | 'marker' | 'pc' | 'prioritized' | 'stalled' | 'stalled-check' | 'wait',
      string
    >
  >;
  /** Returns the key of an id's job. */
  job(id: string): string;
  /** Removes an id that waits; does nothing if it is taken. */
  remove(id: string): Call;
  /** Returns an id that is taken with the token to the queue, due later; does nothing otherwise. */
  delay(id: string, token: string, dueAt: number): Call;
  /** Undoes a take with the token: the id goes ahead of other ids of its priority. */
  giveBack(id: string, token: string): Promise<void>;
  /**
   * Makes ids of dead instances due again: those taken ones that had no lock now and at the
   * previous call. Its script returns them.
   */
  reclaim(): Call;
}

export interface BullMqOptions {
  readonly connection: Connection;
  /** Time for which an id stays taken by an instance that has died, in ms. */
  readonly lockMs: number;
  /** Interval between searches for such ids, in ms. All instances together search once. */
  readonly reclaimEveryMs: number;
}

/** Connects BullMQ. Returns a function that opens the queue of a channel. */
export async function connectBullMq({
  connection,
  lockMs,
  reclaimEveryMs,
}: BullMqOptions): Promise<(channel: string) => BullMqQueue> {
  const { redis } = connection;
  const shared = new RedisConnection(redis, { shared: true, blocking: false, skipVersionCheck: true });
  shared.on('error', () => {});
  await shared.client;
  const names = new QueueKeys(PREFIX);
  const options: WorkerOptions = { connection: redis, prefix: PREFIX, lockDuration: lockMs };

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
    backend.setQueueMeta({ 'opts.maxLenEvents': MAX_EVENTS }).catch(() => {});
    return toQueue(name, backend, connection, reclaimEveryMs);
  };
}

function toQueue(
  name: string,
  backend: RedisQueueBackend,
  { clock, findScript }: Pick<Connection, 'clock' | 'findScript'>,
  reclaimEveryMs: number,
): BullMqQueue {
  /** Whole milliseconds from now, rounded so that no id is due early. */
  function delayUntil(dueAt: number): number {
    const now = clock.now();
    return dueAt > now ? Math.ceil(dueAt) - Math.floor(now) : 0;
  }

  return {
    name,
    keys: backend.keys as unknown as BullMqQueue['keys'],
    job: (id) => backend.toKey(id),
    remove(id) {
      const args = [backend.toKey(id), backend.toKey('repeat'), id, 0, backend.toKey('')];
      return captureCall(findScript, (recorder) => backend.execCommand(recorder, 'removeJob', args));
    },
    delay(id, token, dueAt) {
      const args = backend.moveToDelayedArgs(id, Math.floor(clock.now()), token, delayUntil(dueAt), {
        skipAttempt: true,
      });
      return captureCall(findScript, (recorder) => backend.execCommand(recorder, 'moveToDelayed', args));
    },
    async giveBack(id, token) {
      await backend.moveJobFromActiveToWait(id, token);
    },
    reclaim() {
      const { active, events, marker, meta, paused, repeat, stalled, wait } = backend.keys;
      const stalledCheck = backend.keys['stalled-check'];
      const keys = [stalled, wait, active, stalledCheck, meta, paused, marker, events, repeat];
      const args = [...keys, MAX_RECLAIMS, backend.toKey(''), Math.floor(clock.now()), reclaimEveryMs];
      return captureCall(findScript, (recorder) =>
        backend.execCommand(recorder, 'moveStalledJobsToWait', args),
      );
    },
  };
}

/** Captures the script call that BullMQ would send, without sending it. */
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
  if (!call) throw new Error('BullMQ sent no script');
  return call;
}
