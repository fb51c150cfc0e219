import type { Logger } from 'pino';
import { createMemoryBackend } from '../adapters/memory/index.ts';
import { createMemoryQueue } from '../adapters/memory/queue.ts';
import { createMemoryRateCounter } from '../adapters/memory/rate-counter.ts';
import { type Config, ConfigError } from '../config/config.ts';
import type { Backend } from '../core/ports/backend.ts';
import type { RateCounters } from '../core/ports/rate-counter.ts';

const DEFAULT_REDIS_PORT = 6379;

export interface OpenedBackend {
  readonly backend: Backend;
  /** Shared with other instances if the backend is. */
  readonly rates: RateCounters;
}

/**
 * Opens the backend that QUEUE_URL names, and loads only that one.
 *
 * @throws {ConfigError} If the SQLite file cannot be used.
 * @throws {Error} If Redis cannot be used. The message names the server and the fix.
 */
export async function openBackend(
  { queue, retainMs, retainContentMs }: Pick<Config, 'queue' | 'retainMs' | 'retainContentMs'>,
  logger: Logger,
  absentAfterMs?: number,
): Promise<OpenedBackend> {
  const { url, maxMessages, maxBytes } = queue;
  const limits = { maxMessages, maxBytes, retainMs, retainContentMs };
  switch (url.kind) {
    case 'memory':
      return openMemory(limits, logger);
    case 'sqlite':
      return openSqlite(url.file, limits, logger);
    case 'redis':
      return openRedis(url.url, limits, absentAfterMs, logger);
  }
}

interface Limits {
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
  readonly retainContentMs: number;
}

function openMemory(limits: Limits, logger: Logger): OpenedBackend {
  const warnings = {
    record: 'settled messages and cached responses dropped before RETAIN, to bound memory',
    claim: 'idempotency keys dropped before RETAIN: a request repeated later sends again',
  } as const;
  const warned = new Set<string>();
  const onEarlyDrop = (kind: keyof typeof warnings) => {
    if (!warned.has(kind)) logger.warn(warnings[kind]);
    warned.add(kind);
  };
  return {
    backend: createMemoryBackend({ ...limits, onEarlyDrop }),
    rates: createMemoryRateCounter(),
  };
}

async function openSqlite(file: string, limits: Limits, logger: Logger): Promise<OpenedBackend> {
  const { openSqliteBackend } = await import('../adapters/sqlite/index.ts');
  const { SqliteFileError } = await import('../adapters/sqlite/sqlite-errors.ts');
  const onAvailabilityChange = logTrouble(logger);
  const opening = openSqliteBackend({ ...limits, file, queue: createMemoryQueue(), onAvailabilityChange });
  const backend = await opening.catch((error: unknown) => {
    if (!(error instanceof SqliteFileError)) throw error;
    throw new ConfigError([{ variable: 'QUEUE_URL', message: error.message }]);
  });
  return { backend, rates: createMemoryRateCounter() };
}

async function openRedis(
  url: string,
  limits: Limits,
  absentAfterMs: number | undefined,
  logger: Logger,
): Promise<OpenedBackend> {
  const { openRedisBackend } = await import('../adapters/redis/index.ts');
  const { RedisOpenError } = await import('../adapters/redis/connection/redis-errors.ts');
  const opening = openRedisBackend({
    ...limits,
    url,
    onAvailabilityChange: logTrouble(logger),
    absentAfterMs,
  });
  const backend = await opening.catch((error: unknown) => {
    if (!(error instanceof RedisOpenError)) throw error;
    throw new Error(`Redis at ${toAddress(url)} cannot be used: ${error.message}`);
  });
  for (const warning of backend.warnings) logger.warn(warning);
  return { backend, rates: backend.rates };
}

/** Returns a listener that logs when the queue becomes unavailable, and when it is back (null). */
function logTrouble(logger: Logger): (reason: string | null) => void {
  return (reason) => {
    if (reason === null) logger.info('queue available again');
    else logger.error({ reason }, 'queue unavailable; requests are refused');
  };
}

/** Returns host and port of a URL, without user and password. */
function toAddress(url: string): string {
  const { hostname, port } = new URL(url);
  return `${hostname}:${port || DEFAULT_REDIS_PORT}`;
}
