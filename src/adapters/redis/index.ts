import type { Redis } from 'ioredis';
import { ABSENT_AFTER_MS } from '../../core/accounts/connection-shares.ts';
import type { Backend } from '../../core/ports/backend.ts';
import type { RateCounters } from '../../core/ports/rate-counter.ts';
import { outboxLimits } from '../../core/webhooks/outbox-capacity.ts';
import { type Connection, openConnection } from './connection/connection.ts';
import { startPeriodic } from './connection/periodic.ts';
import { RedisOpenError, reasonOf } from './connection/redis-errors.ts';
import { checkServer } from './connection/server-check.ts';
import { openRedisQueue } from './queue/queue.ts';
import { createRedisRateCounter } from './rate-counter.ts';
import { createRedisSharedState } from './shared-state.ts';
import { createRedisIdempotency } from './store/idempotency.ts';
import { createRedisOutbox } from './store/outbox.ts';
import { startRetention } from './store/retention.ts';
import { createRedisSentIndex } from './store/sent-index.ts';
import { createRedisStore } from './store/store.ts';
import { createRedisSuppressions } from './store/suppressions.ts';

/** Heartbeats that an instance sends within `absentAfterMs`. */
const HEARTBEATS = 15;
/** Interval between removals of expired failed notices, in ms. */
const DROP_FAILED_EVERY_MS = 10_000;
/** Searches for the ids of dead instances within `absentAfterMs`. */
const RECLAIMS = 3;

export interface RedisBackendOptions {
  /** `redis:` or `rediss:`, optionally with user, password and database. */
  readonly url: string;
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
  /** How long content is kept that can only be read, in ms. Default: 0. */
  readonly retainContentMs?: number;
  /**
   * Called with the reason when Redis becomes unavailable, and with null when it is available
   * again.
   */
  readonly onAvailabilityChange: (reason: string | null) => void;
  /**
   * Time without a heartbeat after which an instance counts as dead and the ids it had taken become
   * due again. {@link ABSENT_AFTER_MS} unless a test needs less.
   */
  readonly absentAfterMs?: number | undefined;
}

export interface RedisBackend extends Backend {
  readonly rates: RateCounters;
  /**
   * The connection, for anything else to be shared. Its commands fail at once while Redis is away.
   */
  readonly client: Redis;
  /** What the configuration of this Redis puts at risk, as sentences for the log. */
  readonly warnings: readonly string[];
}

/**
 * Opens the backend that stores everything in Redis, for any number of instances.
 *
 * @throws {RedisOpenError} Redis cannot be reached, refuses the login, or is too old
 */
export async function openRedisBackend(options: RedisBackendOptions): Promise<RedisBackend> {
  const { url, absentAfterMs = ABSENT_AFTER_MS, onAvailabilityChange } = options;
  const connection = await openConnection({
    url,
    absentAfterMs,
    heartbeatMs: Math.ceil(absentAfterMs / HEARTBEATS),
    onAvailabilityChange,
  });
  try {
    return await createBackend(connection, options);
  } catch (error) {
    await connection.close();
    throw error instanceof RedisOpenError ? error : new RedisOpenError(reasonOf(error));
  }
}

async function createBackend(connection: Connection, options: RedisBackendOptions): Promise<RedisBackend> {
  const { maxMessages, maxBytes, retainMs, retainContentMs = 0, absentAfterMs = ABSENT_AFTER_MS } = options;
  const warnings = await checkServer(connection.redis);
  const queue = await openRedisQueue(connection, {
    lockMs: absentAfterMs,
    reclaimEveryMs: Math.ceil(absentAfterMs / RECLAIMS),
  });
  const outbox = createRedisOutbox(connection, queue, outboxLimits({ maxMessages, maxBytes }), retainMs);
  const store = createRedisStore(connection, queue, outbox, {
    maxMessages,
    maxBytes,
    retainMs,
    retainContentMs,
  });
  const retention = startRetention(connection);
  const failedNotices = startPeriodic(connection, DROP_FAILED_EVERY_MS, outbox.dropFailed);
  return {
    durability: 'redis',
    queue,
    store,
    idempotency: createRedisIdempotency(connection, retainMs),
    suppressions: createRedisSuppressions(connection),
    outbox,
    sentIndex: createRedisSentIndex(connection),
    sharedState: createRedisSharedState(connection, store, outbox),
    rates: createRedisRateCounter(connection),
    client: connection.redis,
    warnings,
    async close() {
      retention.stop();
      failedNotices.stop();
      await queue.close();
      await connection.close();
    },
  };
}
