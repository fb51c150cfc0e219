import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { KEYS } from '../keys.ts';
import { type Clock, createClock } from './clock.ts';
import { type Connections, connect, disconnect } from './connect.ts';
import { createPubSub, type PubSub } from './pubsub.ts';
import { RedisOpenError, reasonOf, toUnavailable } from './redis-errors.ts';
import {
  type Argument,
  adoptScripts,
  type Call,
  createCallJoiner,
  evalScript,
  type Results,
  type Script,
} from './scripts.ts';

export interface ConnectionOptions {
  readonly url: string;
  /** Time without a heartbeat after which an instance counts as dead, in ms. */
  readonly absentAfterMs: number;
  /** Interval between heartbeats, in ms. */
  readonly heartbeatMs: number;
  /**
   * Called with the reason when Redis becomes unavailable, and with null when it is available
   * again.
   */
  readonly onAvailabilityChange: (reason: string | null) => void;
}

/** The connection to Redis that all parts of the backend use. */
export interface Connection {
  readonly redis: Redis;
  readonly clock: Clock;
  readonly pubSub: PubSub;
  /** Name of this instance: unique, and different after each restart. */
  readonly instance: string;
  /** Returns whether a write would most likely succeed now. */
  isUsable(): boolean;
  /**
   * Runs commands.
   *
   * @throws {AppError} `queue_unavailable` if any of them fails, for any reason
   */
  execute<Result>(work: (redis: Redis) => Promise<Result>): Promise<Result>;
  /**
   * Runs a script with its keys and then its other arguments.
   *
   * @throws {AppError} `queue_unavailable`
   */
  runScript(script: Script, ...args: readonly Argument[]): Promise<unknown>;
  /**
   * Runs groups of calls as one step, see {@link createCallJoiner}. Returns the results of each.
   *
   * @throws {AppError} `queue_unavailable`
   */
  runAtomically(...groups: readonly (readonly Call[])[]): Promise<readonly Results[]>;
  /** Finds a script that a library has defined on the connection. */
  findScript(name: string): Script;
  /** Calls the listener after every connect but the first. */
  onReconnect(listener: () => void): void;
  /**
   * Calls the listener after every heartbeat with the number of unsettled messages and their bytes.
   */
  onHeartbeat(listener: (usage: unknown) => void): void;
  close(): Promise<void>;
}

/**
 * Records that the instance is alive, which also checks that Redis accepts writes. Returns the
 * usage of all instances.
 *
 * KEYS: the heartbeat of the instance, the usage. ARGV: lifetime of the heartbeat in ms.
 */
const HEARTBEAT: Script = {
  name: 'outtrayBeat',
  keys: 2,
  lua: `
    redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
    return redis.call('HMGET', KEYS[2], 'messages', 'bytes')
  `,
};

/** @throws {RedisOpenError} */
export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  const connections = await connect(options.url);
  const clock = createClock();
  try {
    await clock.sync(connections.redis);
  } catch (error) {
    disconnect(connections);
    throw new RedisOpenError(reasonOf(error));
  }
  return createConnection(connections, clock, options);
}

function createConnection(
  { redis, subscriber }: Connections,
  clock: Clock,
  { absentAfterMs, heartbeatMs, onAvailabilityChange }: ConnectionOptions,
): Connection {
  const instance = randomBytes(8).toString('hex');
  const reconnectListeners = new Set<() => void>();
  const heartbeatListeners = new Set<(usage: unknown) => void>();
  const findScript = adoptScripts(redis);
  const runJoined = createCallJoiner();
  let unavailableReason: string | null = null;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  /** Reports a change of availability, once. */
  function report(reason: string | null) {
    if (closed || (unavailableReason === null) === (reason === null)) return;
    unavailableReason = reason;
    onAvailabilityChange(reason);
  }

  async function execute<Result>(work: (redis: Redis) => Promise<Result>): Promise<Result> {
    corkWrites(redis.stream);
    try {
      return await work(redis);
    } catch (error) {
      report(reasonOf(error));
      throw toUnavailable(error);
    }
  }

  function runScript(script: Script, ...args: readonly Argument[]): Promise<unknown> {
    return execute(() => evalScript(redis, { script, args }));
  }

  async function sendHeartbeat() {
    clearTimeout(timer);
    try {
      const [usage] = await Promise.all([
        runScript(HEARTBEAT, KEYS.heartbeat(instance), KEYS.usage, absentAfterMs),
        execute(() => clock.sync(redis)),
      ]);
      report(null);
      for (const listener of heartbeatListeners) listener(usage);
    } catch {
      // Reported by `execute`. The next heartbeat tries again.
    }
    if (closed) return;
    clearTimeout(timer);
    timer = setTimeout(sendHeartbeat, heartbeatMs);
  }

  redis.on('close', () => report('the connection was lost'));
  redis.on('ready', async () => {
    await clock.sync(redis).catch(() => {});
    for (const listener of reconnectListeners) listener();
    await sendHeartbeat();
  });
  void sendHeartbeat();

  return {
    redis,
    clock,
    pubSub: createPubSub(redis, subscriber, instance),
    instance,
    // While a connection is being closed after READONLY, its status is still `ready`.
    isUsable: () => unavailableReason === null && redis.status === 'ready' && redis.stream.writable,
    execute,
    runScript,
    runAtomically: (...groups) => execute(() => runJoined(redis, groups)),
    findScript,
    onReconnect: (listener) => void reconnectListeners.add(listener),
    onHeartbeat: (listener) => void heartbeatListeners.add(listener),
    async close() {
      closed = true;
      clearTimeout(timer);
      await redis.del(KEYS.heartbeat(instance)).catch(() => {});
      disconnect({ redis, subscriber });
    },
  };
}

/**
 * Sends all commands of one turn of the event loop in one write. A message needs a dozen commands,
 * and writing each separately costs more than the command itself.
 */
function corkWrites(stream: Redis['stream'] | undefined) {
  if (!stream || stream.writableCorked > 0) return;
  stream.cork();
  process.nextTick(() => stream.uncork());
}
