import type { Redis } from 'ioredis';
import { RedisOpenError } from './redis-errors.ts';

/** ZRANGE … BYLEX REV, LPOS and what BullMQ needs. */
const MIN_VERSION = [6, 2] as const;

/**
 * What an operator should know of how this Redis is set up: each a sentence that says what may be lost.
 *
 * @throws {RedisOpenError} when it is too old
 */
export async function checkServer(redis: Redis): Promise<readonly string[]> {
  const info = parseInfo(await redis.info());
  const version = info.get('redis_version') ?? '0';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < MIN_VERSION[0] || (major === MIN_VERSION[0] && minor < MIN_VERSION[1])) {
    throw new RedisOpenError(`it is Redis ${version}; at least ${MIN_VERSION.join('.')} is needed`);
  }
  return [toPersistenceWarnings(info, await readAppendFsync(redis)), toEvictionWarnings(info)].flat();
}

function toPersistenceWarnings(info: ReadonlyMap<string, string>, fsync: string | null): readonly string[] {
  if (info.get('aof_enabled') === '0') {
    return [
      'Redis keeps no append-only file (appendonly no): if it stops, messages that were accepted since its last snapshot are lost.',
    ];
  }
  if (fsync === null || fsync === 'always') return [];
  return [
    `Redis syncs its append-only file later (appendfsync ${fsync}): if its machine stops, messages of the last second or more are lost.`,
  ];
}

function toEvictionWarnings(info: ReadonlyMap<string, string>): readonly string[] {
  const policy = info.get('maxmemory_policy') ?? 'noeviction';
  if (policy === 'noeviction') return [];
  return [
    `Redis may evict what it holds (maxmemory-policy ${policy}): when its memory is full, messages that wait are lost. Set noeviction.`,
  ];
}

/** Null if Redis does not tell: managed ones often do not. */
async function readAppendFsync(redis: Redis): Promise<string | null> {
  try {
    const [, value] = (await redis.config('GET', 'appendfsync')) as string[];
    return value ?? null;
  } catch {
    return null;
  }
}

function parseInfo(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split('\r\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
}
