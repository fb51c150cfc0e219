import type { Redis } from 'ioredis';
import { RedisOpenError } from './redis-errors.ts';

/** Redis 6.2 has `ZRANGE … BYLEX REV`, LPOS and everything that BullMQ needs. */
const MIN_VERSION = [6, 2] as const;

/**
 * Checks the version and the configuration of the server.
 *
 * @returns warnings for the operator: sentences that say which data the configuration puts at risk
 * @throws {RedisOpenError} when the server is too old
 */
export async function checkServer(redis: Redis): Promise<readonly string[]> {
  const info = parseInfo(await redis.info());
  const version = info.get('redis_version') ?? '0';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < MIN_VERSION[0] || (major === MIN_VERSION[0] && minor < MIN_VERSION[1])) {
    throw new RedisOpenError(`it is Redis ${version}. Upgrade it to ${MIN_VERSION.join('.')} or later.`);
  }
  return [toPersistenceWarnings(info, await readAppendFsync(redis)), toEvictionWarnings(info)].flat();
}

function toPersistenceWarnings(info: ReadonlyMap<string, string>, fsync: string | null): readonly string[] {
  if (info.get('aof_enabled') === '0') {
    return [
      'Redis has no append-only file (appendonly no): if it stops, messages accepted since its last snapshot are lost.',
    ];
  }
  if (fsync === null || fsync === 'always') return [];
  return [
    `Redis does not sync its append-only file at once (appendfsync ${fsync}): if its machine stops, messages of the last second or more are lost.`,
  ];
}

function toEvictionWarnings(info: ReadonlyMap<string, string>): readonly string[] {
  const policy = info.get('maxmemory_policy') ?? 'noeviction';
  if (policy === 'noeviction') return [];
  return [
    `Redis may evict data (maxmemory-policy ${policy}): when its memory is full, waiting messages are lost. Set noeviction.`,
  ];
}

/** Null if Redis does not allow CONFIG, as managed services often do not. */
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
