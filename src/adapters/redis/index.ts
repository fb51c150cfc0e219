import type { Redis } from 'ioredis';
import { boundsOfOutbox } from '../../core/outbox-room.ts';
import type { Backend, RateCounters } from '../../core/ports.ts';
import { ABSENT_AFTER_MS } from '../../core/seats.ts';
import { createRedisBooks } from './books.ts';
import { createRedisIdempotency } from './idempotency.ts';
import { inspect } from './inspect.ts';
import { type Link, openLink } from './link.ts';
import { createRedisOutbox } from './outbox.ts';
import { openRedisQueue } from './queue.ts';
import { createRedisRates } from './rates.ts';
import { startRetention } from './retention.ts';
import { createRedisStore } from './store.ts';
import { createRedisSuppressions } from './suppressions.ts';
import { RedisOpenError, reasonOf } from './trouble.ts';

/** In that time an instance gives so many signs of life, and somebody looks so often for what instances that have died had taken. */
const BEATS = 15;
const SEARCHES = 3;

export interface RedisBackendOptions {
  /** `redis:` or `rediss:`, with user, password and database if need be. */
  readonly url: string;
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
  /** Told when Redis cannot be used any more, and with null when it can again. */
  readonly onTrouble: (reason: string | null) => void;
  /** {@link ABSENT_AFTER_MS}, or less to make tests quick: what an instance has taken stays its own for so long without a sign of life. */
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
  const { url, absentAfterMs = ABSENT_AFTER_MS, onTrouble } = options;
  const link = await openLink({ url, aliveMs: absentAfterMs, beatMs: Math.ceil(absentAfterMs / BEATS), onTrouble });
  try {
    return await assemble(link, options);
  } catch (error) {
    await link.close();
    throw error instanceof RedisOpenError ? error : new RedisOpenError(reasonOf(error));
  }
}

async function assemble(link: Link, options: RedisBackendOptions): Promise<RedisBackend> {
  const { maxMessages, maxBytes, retainMs, absentAfterMs = ABSENT_AFTER_MS } = options;
  const warnings = await inspect(link.redis);
  const queue = await openRedisQueue(link, { lockMs: absentAfterMs, stalledMs: Math.ceil(absentAfterMs / SEARCHES) });
  const retention = startRetention(link);
  return {
    durability: 'redis',
    queue,
    store: createRedisStore(link, { maxMessages, maxBytes, retainMs }),
    idempotency: createRedisIdempotency(link, retainMs),
    suppressions: createRedisSuppressions(link),
    outbox: createRedisOutbox(link, boundsOfOutbox({ maxMessages, maxBytes })),
    books: createRedisBooks(link),
    rates: createRedisRates(link),
    client: link.redis,
    warnings,
    async close() {
      retention.stop();
      await queue.close();
      await link.close();
    },
  };
}
