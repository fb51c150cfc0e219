import { Redis, type RedisOptions, ReplyError } from 'ioredis';
import { RedisOpenError, reasonOf } from './trouble.ts';

/** How long a command may take: a caller of the API waits for it. */
const COMMAND_TIMEOUT_MS = 2000;
/** How long opening tries: in a composition of containers, Redis may start at the same time. */
const OPEN_WITHIN_MS = 5000;
const RECONNECT_AFTER_MS = 50;
const RECONNECT_AT_LATEST_MS = 1000;

/** Reconnects for ever. */
const PATIENT = {
  connectionName: 'outtray',
  lazyConnect: true,
  connectTimeout: OPEN_WITHIN_MS,
  retryStrategy: (times: number) => Math.min(times * RECONNECT_AFTER_MS, RECONNECT_AT_LATEST_MS),
  // A failover may have made a replica of it: the name may lead to the new master.
  reconnectOnError: ({ message }: Error) => message.startsWith('READONLY'),
} satisfies RedisOptions;

/** What cannot be sent now fails now, and what was sent and not answered is never sent again. */
const COMMANDS = {
  ...PATIENT,
  commandTimeout: COMMAND_TIMEOUT_MS,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
} satisfies RedisOptions;

/** Subscribes anew at every connection, and so by itself. */
const NEWS = { ...PATIENT, autoResubscribe: false, maxRetriesPerRequest: null } satisfies RedisOptions;

export interface Connections {
  readonly redis: Redis;
  /** For news from other instances. */
  readonly subscriber: Redis;
}

/**
 * Connects.
 *
 * @param url `redis:` or `rediss:`
 * @throws {RedisOpenError} when that does not work within five seconds, or is refused
 */
export async function connect(url: string): Promise<Connections> {
  // Said explicitly: Node's defaults follow NODE_TLS_REJECT_UNAUTHORIZED and `--tls-min-v1.0`.
  const secure = url.startsWith('rediss:') ? { tls: { rejectUnauthorized: true, minVersion: 'TLSv1.2' } as const } : {};
  const redis = new Redis(url, { ...COMMANDS, ...secure });
  const subscriber = new Redis(url, { ...NEWS, ...secure });
  // Who uses a connection meets its errors. Without a listener they would be told on standard error too.
  for (const connection of [redis, subscriber]) connection.on('error', () => {});
  try {
    await Promise.all([ready(redis), ready(subscriber)]);
    return { redis, subscriber };
  } catch (error) {
    disconnect({ redis, subscriber });
    throw error;
  }
}

export function disconnect({ redis, subscriber }: Connections): void {
  redis.disconnect();
  subscriber.disconnect();
}

function ready(redis: Redis): Promise<void> {
  return new Promise((resolve, reject) => {
    let last: Error | null = null;
    const hear = (error: Error) => {
      last = error;
      // It answers, and does not want us: asking again changes nothing.
      if (error instanceof ReplyError) end(error);
    };
    const end = (error: Error | null) => {
      clearTimeout(timer);
      redis.off('error', hear).off('ready', succeed);
      if (error) reject(new RedisOpenError(reasonOf(error)));
      else resolve();
    };
    const succeed = () => end(null);
    const timer = setTimeout(() => end(last ?? new Error('it does not answer')), OPEN_WITHIN_MS);
    redis.on('error', hear).once('ready', succeed);
    redis.connect().catch(hear);
  });
}
