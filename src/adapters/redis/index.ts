import type { Redis } from 'ioredis';
import { ABSENT_AFTER_MS } from '../../core/accounts/connection-shares.ts';
import type { Backend } from '../../core/ports/backend.ts';
import type { RateCounters } from '../../core/ports/rate-counter.ts';
import { outboxLimits } from '../../core/webhooks/outbox-capacity.ts';
import { type Connection, openConnection } from './connection/connection.ts';
import { RedisOpenError, reasonOf } from './connection/redis-errors.ts';
import { checkServer } from './connection/server-check.ts';
import { openRedisQueue } from './queue/queue.ts';
import { createRedisRateCounter } from './rate-counter.ts';
import { createRedisSharedState } from './shared-state.ts';
import { createRedisIdempotency } from './store/idempotency.ts';
import { createRedisOutbox } from './store/outbox.ts';
import { startRetention } from './store/retention.ts';
import { createRedisStore } from './store/store.ts';
import { createRedisSuppressions } from './store/suppressions.ts';

/** In that time an instance gives so many signs of life, and somebody looks so often for what instances that have died had taken. */
const HEARTBEATS_PER_LEASE = 15;
const RECLAIMS_PER_LEASE = 3;

export interface RedisBackendOptions {
  /** `redis:` or `rediss:`, with user, password and database if need be. */
  readonly url: string;
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
  /** Told when Redis cannot be used any more, and with null when it can again. */
  readonly onAvailabilityChange: (reason: string | null) => void;
  /** {@connection ABSENT_AFTER_MS}, or less to make tests quick: what an instance has taken stays its own for so long without a sign of life. */
  readonly absentAfterMs?: number | undefined;
}

export interface RedisBackend extends Backend {
  readonly rates: RateCounters;
  /** For what else is to be shared. Its commands fail at once while Redis is away. */
  readonly client: Redis;
  /** What this Redis may lose, as it is set up: sentences for the log. */
  readonly warnings: readonly string[];
}

/**
 * Keeps everything in Redis, for any number of instances.
 *
 * @throws {RedisOpenError} Redis cannot be reached, refuses us, or is too old
 */
export async function openRedisBackend(options: RedisBackendOptions): Promise<RedisBackend> {
  const { url, absentAfterMs = ABSENT_AFTER_MS, onAvailabilityChange } = options;
  const connection = await openConnection({
    url,
    absentAfterMs: absentAfterMs,
    heartbeatMs: Math.ceil(absentAfterMs / HEARTBEATS_PER_LEASE),
    onAvailabilityChange,
  });
  try {
    return await assemble(connection, options);
  } catch (error) {
    await connection.close();
    throw error instanceof RedisOpenError ? error : new RedisOpenError(reasonOf(error));
  }
}

async function assemble(connection: Connection, options: RedisBackendOptions): Promise<RedisBackend> {
  const { maxMessages, maxBytes, retainMs, absentAfterMs = ABSENT_AFTER_MS } = options;
  const warnings = await checkServer(connection.redis);
  const queue = await openRedisQueue(connection, {
    lockMs: absentAfterMs,
    reclaimEveryMs: Math.ceil(absentAfterMs / RECLAIMS_PER_LEASE),
  });
  const retention = startRetention(connection);
  return {
    durability: 'redis',
    queue,
    store: createRedisStore(connection, { maxMessages, maxBytes, retainMs }),
    idempotency: createRedisIdempotency(connection, retainMs),
    suppressions: createRedisSuppressions(connection),
    outbox: createRedisOutbox(connection, outboxLimits({ maxMessages, maxBytes })),
    sharedState: createRedisSharedState(connection),
    rates: createRedisRateCounter(connection),
    client: connection.redis,
    warnings,
    async close() {
      retention.stop();
      await queue.close();
      await connection.close();
    },
  };
}
