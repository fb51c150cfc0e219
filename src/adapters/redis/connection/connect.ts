import { Redis, type RedisOptions, ReplyError } from 'ioredis';
import { RedisOpenError, reasonOf } from './redis-errors.ts';

/** How long a command may take: a caller of the API waits for it. */
const COMMAND_TIMEOUT_MS = 2000;
/** Maximum wait for Redis at startup. A service that cannot start must say why within two seconds. */
const OPEN_WITHIN_MS = 1000;
/** How long connecting is tried again at startup when it fails at once. */
const RETRY_OPEN_MS = 300;
const CONNECT_TIMEOUT_MS = 5000;
const RECONNECT_AFTER_MS = 50;
const RECONNECT_AT_LATEST_MS = 1000;
/** Minimum interval between reconnects because of READONLY: a connection that is ready sends a heartbeat at once, which a replica refuses. */
const RECONNECT_READONLY_MS = 1000;

/** Reconnects for ever. */
const PATIENT = {
  connectionName: 'outtray',
  lazyConnect: true,
  connectTimeout: CONNECT_TIMEOUT_MS,
  retryStrategy: (times: number) => Math.min(times * RECONNECT_AFTER_MS, RECONNECT_AT_LATEST_MS),
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
 * @throws {RedisOpenError} when that does not work within a second, or is refused
 */
export async function connect(url: string): Promise<Connections> {
  // Said explicitly: Node's defaults follow NODE_TLS_REJECT_UNAUTHORIZED and `--tls-min-v1.0`.
  const secure = url.startsWith('rediss:')
    ? { tls: { rejectUnauthorized: true, minVersion: 'TLSv1.2' } as const }
    : {};
  const redis = new Redis(url, { ...COMMANDS, ...secure, reconnectOnError: reconnectsOnReadOnly() });
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

/** After a failover the server may be a replica: reconnecting resolves its name again, which may lead to the new master. */
function reconnectsOnReadOnly(): (error: Error) => boolean {
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

function ready(redis: Redis): Promise<void> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const hear = (error: Error) => {
      // Redis responds and refuses: another attempt changes nothing.
      if (error instanceof ReplyError || performance.now() - startedAt > RETRY_OPEN_MS) end(explain(error));
    };
    const end = (refusal: string | null) => {
      clearTimeout(timer);
      redis.off('error', hear).off('ready', succeed);
      if (refusal === null) resolve();
      else reject(new RedisOpenError(refusal));
    };
    const succeed = () => end(null);
    const timer = setTimeout(() => end(noResponse(redis)), OPEN_WITHIN_MS);
    redis.on('error', hear).once('ready', succeed);
    redis.connect().catch(hear);
  });
}

function noResponse({ options }: Redis): string {
  const tls = options.tls ? ' If it does not speak TLS there, write redis:.' : '';
  return `it did not respond within ${OPEN_WITHIN_MS / 1000} s. Check the host and port in QUEUE_URL, and firewalls on the way.${tls}`;
}

const NOT_FOUND = 'the host name was not found. Correct the host in QUEUE_URL, or check DNS.';
const NO_ROUTE = 'there is no route to the host. Correct the host in QUEUE_URL, or check the network.';
const CLOSED = 'it closed the connection. If it requires TLS, write rediss: in QUEUE_URL.';
const NO_TLS = 'it does not speak TLS on this port. Write redis: in QUEUE_URL, or the port with TLS.';

/** Why Redis cannot be used, and the fix, by the code of a connection or TLS error. */
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused. Start Redis, or correct the host and port in QUEUE_URL.',
  ENOTFOUND: NOT_FOUND,
  EAI_AGAIN: NOT_FOUND,
  EHOSTUNREACH: NO_ROUTE,
  ENETUNREACH: NO_ROUTE,
  ECONNRESET: CLOSED,
  EPIPE: CLOSED,
  EPROTO: NO_TLS,
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NO_TLS,
};

/** Never has the URL in it, which holds the password. */
function explain(error: Error & { code?: string }): string {
  const { code = '' } = error;
  const reason = reasonOf(error);
  const [login] = /^(WRONGPASS|NOAUTH|NOPERM)/.exec(reason) ?? [];
  if (login) return `it refused the login (${login}). Correct the user and password in QUEUE_URL.`;
  if (reason.startsWith('Unknown RESP type'))
    return 'it does not speak the protocol of Redis. Correct the host and port in QUEUE_URL.';
  if (reason === 'Connection is closed.') return CLOSED;
  if (/CERT|VERIFY/.test(code))
    return `its certificate is not trusted (${code}). NODE_EXTRA_CA_CERTS adds a CA.`;
  return REASONS[code] ?? reason;
}
