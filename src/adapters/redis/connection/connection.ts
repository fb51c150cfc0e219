import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AppError } from '../../../core/errors.ts';
import { KEYS, type PubSubChannels, toPubSubChannels } from '../keys.ts';
import { type Clock, createClock } from './clock.ts';
import { type Connections, connect, disconnect } from './connect.ts';
import { RedisOpenError, reasonOf, toUnavailable } from './redis-errors.ts';
import { type Argument, adoptScripts, type Call, evalScript, joinCalls, type Script } from './scripts.ts';

export interface ConnectionOptions {
  readonly url: string;
  /** For how long after its last sign of life an instance is taken to be alive. */
  readonly absentAfterMs: number;
  /** How often it gives one. */
  readonly heartbeatMs: number;
  /** Told when Redis cannot be used any more, and with null when it can again. */
  readonly onAvailabilityChange: (reason: string | null) => void;
}

/** Redis, as the parts of the backend use it. */
export interface Connection {
  readonly redis: Redis;
  readonly clock: Clock;
  readonly pubSub: PubSubChannels;
  /** The name of this instance, unlike that of any other, also of one that ran here before. */
  readonly instance: string;
  /** Whether what is written now would most likely be taken. */
  isUsable(): boolean;
  /** @throws {AppError} `queue_unavailable`, for whatever reason it fails */
  execute<Result>(work: (redis: Redis) => Promise<Result>): Promise<Result>;
  /** The same for a script: its keys, and then what else it is given. */
  runScript(script: Script, ...args: readonly Argument[]): Promise<unknown>;
  /** Runs several scripts as one step, and returns the result of the last. */
  runAtomically(calls: readonly Call[]): Promise<unknown>;
  /** Finds a script that a library has defined on the connection. */
  findScript(name: string): Script;
  /** Calls the listener at every connection but the first. */
  onReconnect(listener: () => void): void;
  /** Calls the listener with what another instance has said. */
  onMessage(topic: keyof PubSubChannels, listener: (about: string) => void): void;
  /** Calls the listener with every sign of life: how many messages are not settled, and their bytes. */
  onHeartbeat(listener: (usage: unknown) => void): void;
  close(): Promise<void>;
}

/** Says that the instance lives, and so finds out whether Redis takes what is written; answers what waits, of all instances. */
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
  return connection(connections, clock, options);
}

function connection(
  { redis, subscriber }: Connections,
  clock: Clock,
  { absentAfterMs: aliveMs, heartbeatMs: beatMs, onAvailabilityChange }: ConnectionOptions,
): Connection {
  const instance = randomBytes(8).toString('hex');
  const news = toPubSubChannels(redis.options.db ?? 0);
  const reconnected = new Set<() => void>();
  const beaten = new Set<(usage: unknown) => void>();
  const scriptOf = adoptScripts(redis);
  let trouble: string | null = null;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  function tell(reason: string | null) {
    if (closed || (trouble === null) === (reason === null)) return;
    trouble = reason;
    onAvailabilityChange(reason);
  }

  function fail(error: unknown): AppError {
    tell(reasonOf(error));
    return toUnavailable(error);
  }

  async function ask<Result>(work: (redis: Redis) => Promise<Result>): Promise<Result> {
    corkWrites(redis.stream);
    try {
      return await work(redis);
    } catch (error) {
      throw fail(error);
    }
  }

  function run(script: Script, ...args: readonly Argument[]): Promise<unknown> {
    return ask(() => evalScript(redis, { script, args }));
  }

  function together(calls: readonly Call[]): Promise<unknown> {
    return ask(() => evalScript(redis, joinCalls(calls)));
  }

  async function beat() {
    clearTimeout(timer);
    try {
      const [usage] = await Promise.all([
        run(HEARTBEAT, KEYS.heartbeat(instance), KEYS.usage, aliveMs),
        ask(() => clock.sync(redis)),
      ]);
      tell(null);
      for (const listener of beaten) listener(usage);
    } catch {
      // Told by `ask`, and tried again.
    }
    if (closed) return;
    clearTimeout(timer);
    timer = setTimeout(beat, beatMs);
  }

  redis.on('close', () => tell('the connection is lost'));
  redis.on('ready', async () => {
    await clock.sync(redis).catch(() => {});
    for (const listener of reconnected) listener();
    await beat();
  });
  const subscribe = () => subscriber.subscribe(...Object.values(news)).catch(() => {});
  subscriber.on('ready', subscribe);
  void subscribe();
  void beat();

  return {
    redis,
    clock,
    pubSub: news,
    instance,
    // After READONLY a connection is being closed while its status is still `ready`.
    isUsable: () => trouble === null && redis.status === 'ready' && redis.stream.writable,
    execute: ask,
    runScript: run,
    runAtomically: together,
    findScript: scriptOf,
    onReconnect: (listener) => void reconnected.add(listener),
    onMessage(topic, listener) {
      subscriber.on('message', (channel: string, message: string) => {
        const from = message.slice(0, instance.length);
        if (channel === news[topic] && from !== instance) listener(message.slice(instance.length + 1));
      });
    },
    onHeartbeat: (listener) => void beaten.add(listener),
    async close() {
      closed = true;
      clearTimeout(timer);
      await redis.del(KEYS.heartbeat(instance)).catch(() => {});
      disconnect({ redis, subscriber });
    },
  };
}

/** Lets what is sent in one turn go out together: a message costs a dozen commands, and writing each by itself costs more than the command. */
function corkWrites(stream: Redis['stream'] | undefined) {
  if (!stream || stream.writableCorked > 0) return;
  stream.cork();
  process.nextTick(() => stream.uncork());
}
