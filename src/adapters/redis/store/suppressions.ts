import { toMailboxKey } from '../../../core/message/address.ts';
import type { SuppressionStore } from '../../../core/ports/suppression-store.ts';
import type { Connection } from '../connection/connection.ts';
import type { Script } from '../connection/scripts.ts';
import { KEYS } from '../keys.ts';

/** KEYS: the suppressions, their order. ARGV: mailbox key, its place in the order, what is kept (or nothing), what is to be (or nothing). */
const REPLACE: Script = {
  name: 'outtraySuppress',
  keys: 2,
  lua: `
    if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[3] then return 0 end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
    redis.call('ZADD', KEYS[2], 0, ARGV[2])
    return 1
  `,
};

const REMOVE: Script = {
  name: 'outtrayUnsuppress',
  keys: 2,
  lua: `
    redis.call('ZREM', KEYS[2], ARGV[2])
    return redis.call('HDEL', KEYS[1], ARGV[1])
  `,
};

/** A SuppressionStore that all instances share, bounded by what Redis holds. */
export function createRedisSuppressions(connection: Connection): SuppressionStore {
  const { redis } = connection;
  const keys = [KEYS.suppressions, KEYS.mailboxes];
  return {
    async get(email) {
      const kept = await connection.execute(() => redis.hget(KEYS.suppressions, toMailboxKey(email)));
      return kept === null ? null : JSON.parse(kept);
    },
    async replace(from, to) {
      const key = toMailboxKey(to.email);
      const former = from === null ? '' : JSON.stringify(from);
      return (
        (await connection.runScript(REPLACE, ...keys, key, toOrder(key), former, JSON.stringify(to))) === 1
      );
    },
    async remove(email) {
      const key = toMailboxKey(email);
      return (await connection.runScript(REMOVE, ...keys, key, toOrder(key))) === 1;
    },
    async list({ limit, after }) {
      const from = after === null ? '-' : Buffer.concat([Buffer.from('('), toOrder(after)]);
      const places = await connection.execute(() =>
        redis.zrangeBuffer(KEYS.mailboxes, from, '+', 'BYLEX', 'LIMIT', 0, limit),
      );
      if (places.length === 0) return [];
      const kept = await connection.execute(() => redis.hmget(KEYS.suppressions, ...places.map(fromOrder)));
      return kept.flatMap((each) => (each === null ? [] : JSON.parse(each)));
    },
  };
}

/** Redis goes by bytes: those of UTF-16, the high one first, are in code unit order. */
function toOrder(key: string): Buffer {
  return Buffer.from(key, 'utf16le').swap16();
}

function fromOrder(place: Buffer): string {
  return Buffer.from(place).swap16().toString('utf16le');
}
