import { Redis, type RedisOptions, ReplyError } from 'ioredis';
import { explainConnectError, RedisOpenError } from './redis-errors.ts';

/** Maximum duration of a command, in ms: a client of the API waits for it. */
const COMMAND_TIMEOUT_MS = 2000;
/**
 * Maximum wait for Redis at startup, in ms. A service that cannot start must say why within two
 * seconds.
 */
const OPEN_WITHIN_MS = 1000;
/** Time for which a connection that fails at once is retried at startup, in ms. */
const RETRY_OPEN_MS = 300;
const CONNECT_TIMEOUT_MS = 5000;
const RECONNECT_AFTER_MS = 50;
const MAX_RECONNECT_DELAY_MS = 1000;
/**
 * Minimum interval between reconnects caused by READONLY, in ms. A new connection sends a heartbeat
 * at once, which a replica refuses.
 */
const RECONNECT_READONLY_MS = 1000;

/** Options of both connections. They reconnect forever. */
const SHARED_OPTIONS = {
  connectionName: 'outtray',
  lazyConnect: true,
  connectTimeout: CONNECT_TIMEOUT_MS,
  retryStrategy: (times: number) => Math.min(times * RECONNECT_AFTER_MS, MAX_RECONNECT_DELAY_MS),
} satisfies RedisOptions;

/** A command that cannot be sent fails at once. A command without a reply is never sent again. */
const COMMAND_OPTIONS = {
  ...SHARED_OPTIONS,
  commandTimeout: COMMAND_TIMEOUT_MS,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
} satisfies RedisOptions;

/** pubsub.ts subscribes again whenever the connection is ready, so ioredis must not. */
const SUBSCRIBER_OPTIONS = {
  ...SHARED_OPTIONS,
  autoResubscribe: false,
  maxRetriesPerRequest: null,
} satisfies RedisOptions;

export interface Connections {
  /** For commands. */
  readonly redis: Redis;
  /** For messages from other instances. */
  readonly subscriber: Redis;
}

/**
 * Connects to Redis.
 *
 * @param url `redis:` or `rediss:`
 * @throws {RedisOpenError} when Redis does not accept both connections within a second
 */
export async function connect(url: string): Promise<Connections> {
  // Explicit, because Node's defaults follow NODE_TLS_REJECT_UNAUTHORIZED and `--tls-min-v1.0`.
  const secure = url.startsWith('rediss:')
    ? { tls: { rejectUnauthorized: true, minVersion: 'TLSv1.2' } as const }
    : {};
  const redis = new Redis(url, { ...COMMAND_OPTIONS, ...secure, reconnectOnError: createReadOnlyRule() });
  const subscriber = new Redis(url, { ...SUBSCRIBER_OPTIONS, ...secure });
  // Callers handle the errors of their commands. Without a listener ioredis also prints them.
  for (const connection of [redis, subscriber]) connection.on('error', () => {});
  try {
    await Promise.all([waitUntilReady(redis), waitUntilReady(subscriber)]);
    return { redis, subscriber };
  } catch (error) {
    disconnect({ redis, subscriber });
    throw error;
  }
}

/**
 * Reconnects after READONLY: the server may have become a replica in a failover. Reconnecting
 * resolves its name again, which may lead to the new master.
 */
function createReadOnlyRule(): (error: Error) => boolean {
  let reconnectedAt = Number.NEGATIVE_INFINITY;
  return ({ message }) => {
    if (!message.startsWith('READONLY') || performance.now() - reconnectedAt < RECONNECT_READONLY_MS)
      return false;
    reconnectedAt = performance.now();
    return true;
  };
}

export function disconnect({ redis, subscriber }: Connections): void {
  redis.disconnect();
  subscriber.disconnect();
}

function waitUntilReady(redis: Redis): Promise<void> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const onError = (error: Error) => {
      // A refusal by Redis is final: retrying cannot change it.
      if (error instanceof ReplyError || performance.now() - startedAt > RETRY_OPEN_MS)
        finish(explainConnectError(error));
    };
    const finish = (problem: string | null) => {
      clearTimeout(timer);
      redis.off('error', onError).off('ready', onReady);
      if (problem === null) resolve();
      else reject(new RedisOpenError(problem));
    };
    const onReady = () => finish(null);
    const timer = setTimeout(() => finish(describeTimeout(redis)), OPEN_WITHIN_MS);
    redis.on('error', onError).once('ready', onReady);
    redis.connect().catch(onError);
  });
}

function describeTimeout({ options }: Redis): string {
  const tls = options.tls ? ' If it does not use TLS there, write redis: in QUEUE_URL.' : '';
  return `it did not respond within ${OPEN_WITHIN_MS / 1000} s. Check the host and port in QUEUE_URL, and firewalls on the way.${tls}`;
}
