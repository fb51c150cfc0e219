import type { Logger } from 'pino';
import { createMemoryBackend } from '../adapters/memory/index.ts';
import { createMemoryQueue } from '../adapters/memory/queue.ts';
import { createMemoryRateCounter } from '../adapters/memory/rate-counter.ts';
import { type Config, ConfigError } from '../config/config.ts';
import type { Backend } from '../core/ports/backend.ts';
import type { RateCounters } from '../core/ports/rate-counter.ts';

const DEFAULT_REDIS_PORT = 6379;

export interface OpenBackend {
  readonly backend: Backend;
  /** Shared with other instances if the backend is. */
  readonly rates: RateCounters;
}

/**
 * Opens what QUEUE_URL names: only that is loaded.
 *
 * @throws {ConfigError} when the file cannot be used
 * @throws {Error} when Redis cannot be used: its message names the server and the fix
 */
export async function openBackend(
  { queue, retainMs }: Pick<Config, 'queue' | 'retainMs'>,
  logger: Logger,
  absentAfterMs?: number,
): Promise<OpenBackend> {
  const { url, maxMessages, maxBytes } = queue;
  const limits = { maxMessages, maxBytes, retainMs };
  const onAvailabilityChange = (reason: string | null) => {
    if (reason === null) logger.info('the queue can be used again');
    else logger.error({ reason }, 'the queue cannot be used: requests are refused until it can');
  };
  switch (url.kind) {
    case 'memory': {
      const warnOf = {
        record: once(() =>
          logger.warn('finished messages and answers are dropped before RETAIN, to keep memory flat'),
        ),
        claim: once(() =>
          logger.warn(
            'idempotency keys are dropped before RETAIN: a request that is repeated later sends again',
          ),
        ),
      };
      return {
        backend: createMemoryBackend({ ...limits, onEarlyDrop: (what) => warnOf[what]() }),
        rates: createMemoryRateCounter(),
      };
    }
    case 'sqlite': {
      const { openSqliteBackend } = await import('../adapters/sqlite/index.ts');
      const { SqliteFileError } = await import('../adapters/sqlite/sqlite-errors.ts');
      const opening = openSqliteBackend({
        ...limits,
        file: url.file,
        queue: createMemoryQueue(),
        onAvailabilityChange,
      });
      return { backend: await opening.catch(refuse(SqliteFileError)), rates: createMemoryRateCounter() };
    }
    case 'redis': {
      const { openRedisBackend } = await import('../adapters/redis/index.ts');
      const { RedisOpenError } = await import('../adapters/redis/connection/redis-errors.ts');
      const opening = openRedisBackend({
        ...limits,
        url: url.url,
        onAvailabilityChange,
        absentAfterMs,
      });
      const backend = await opening.catch((error: unknown) => {
        throw error instanceof RedisOpenError
          ? new Error(`Redis at ${addressOf(url.url)} cannot be used: ${error.message}`)
          : error;
      });
      for (const warning of backend.warnings) logger.warn(warning);
      return { backend, rates: backend.rates };
    }
  }
}

/** What keeps the queue from being opened, and is the operator's to mend. */
function refuse(kind: abstract new (...args: never) => Error): (error: unknown) => never {
  return (error) => {
    throw error instanceof kind
      ? new ConfigError([{ variable: 'QUEUE_URL', message: error.message }])
      : error;
  };
}

/** Without the user and the password. */
function addressOf(url: string): string {
  const { hostname, port } = new URL(url);
  return `${hostname}:${port || DEFAULT_REDIS_PORT}`;
}

function once(run: () => void): () => void {
  let done = false;
  return () => {
    if (!done) run();
    done = true;
  };
}
