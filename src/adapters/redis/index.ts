import type { Redis } from 'ioredis';
import { boundsOfOutbox } from '../../core/outbox-room.ts';
import type { Backend } from '../../core/ports.ts';
import { createRedisBooks } from './books.ts';
import { createRedisIdempotency } from './idempotency.ts';
import { inspect } from './inspect.ts';
import { type Link, openLink } from './link.ts';
import { createRedisOutbox } from './outbox.ts';
import { openRedisQueue } from './queue.ts';
import { startRetention } from './retention.ts';
import { createRedisStore } from './store.ts';
import { createRedisSuppressions } from './suppressions.ts';
import { RedisOpenError, reasonOf } from './trouble.ts';

/** A message of an instance that has died is due again within 15 to 25 seconds; one that stalls for 10 keeps its own. */
const LOCK_MS = 15_000;
const STALLED_MS = 5000;
const BEAT_MS = 1000;

export interface RedisBackendOptions {
  /** `redis:` or `rediss:`, with user, password and database if need be. */
  readonly url: string;
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
  /** Told when Redis cannot be used any more, and with null when it can again. */
  readonly onTrouble: (reason: string | null) => void;
  /** How long what an instance has taken stays its own without a sign of life. */
  readonly lockMs?: number;
  /** How often somebody looks for what instances that have died had taken, or had not pushed yet. */
  readonly stalledMs?: number;
  /** How often an instance gives a sign of life, and finds out whether Redis can be used. */
  readonly beatMs?: number;
}

export interface RedisBackend extends Backend {
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
  const { url, lockMs = LOCK_MS, beatMs = BEAT_MS, onTrouble } = options;
  const link = await openLink({ url, aliveMs: lockMs, beatMs, onTrouble });
  try {
    return await assemble(link, options);
  } catch (error) {
    await link.close();
    throw error instanceof RedisOpenError ? error : new RedisOpenError(reasonOf(error));
  }
}

async function assemble(link: Link, options: RedisBackendOptions): Promise<RedisBackend> {
  const { maxMessages, maxBytes, retainMs, lockMs = LOCK_MS, stalledMs = STALLED_MS } = options;
  const warnings = await inspect(link.redis);
  const queue = await openRedisQueue(link, { lockMs, stalledMs });
  const retention = startRetention(link);
  return {
    durability: 'redis',
    queue,
    store: createRedisStore(link, { maxMessages, maxBytes, retainMs }),
    idempotency: createRedisIdempotency(link, retainMs),
    suppressions: createRedisSuppressions(link),
    outbox: createRedisOutbox(link, boundsOfOutbox({ maxMessages, maxBytes })),
    books: createRedisBooks(link),
    client: link.redis,
    warnings,
    async close() {
      retention.stop();
      await queue.close();
      await link.close();
    },
  };
}
