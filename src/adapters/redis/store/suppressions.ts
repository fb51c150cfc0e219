import { toMailboxKey } from '../../../core/message/address.ts';
import type { SuppressionStore } from '../../../core/ports/suppression-store.ts';
import type { Connection } from '../connection/connection.ts';
import type { Script } from '../connection/scripts.ts';
import { KEYS } from '../keys.ts';

/**
 * Replaces a suppression if the stored one is still the expected one.
 *
 * KEYS: the suppressions, the mailbox keys. ARGV: mailbox key, its sort key, the expected JSON
 * (empty: none), the new JSON. Returns 1 if it was replaced, else 0.
 */
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

/**
 * KEYS: as above. ARGV: mailbox key, its sort key. Returns 1 if there was a suppression, else 0.
 */
const REMOVE: Script = {
  name: 'outtrayUnsuppress',
  keys: 2,
  lua: `
    redis.call('ZREM', KEYS[2], ARGV[2])
    return redis.call('HDEL', KEYS[1], ARGV[1])
  `,
};

/** Creates the SuppressionStore that all instances share. Only the memory of Redis bounds it. */
export function createRedisSuppressions(connection: Connection): SuppressionStore {
  const { redis } = connection;
  const keys = [KEYS.suppressions, KEYS.mailboxes];
  return {
    async get(email) {
      const json = await connection.execute(() => redis.hget(KEYS.suppressions, toMailboxKey(email)));
      return json === null ? null : JSON.parse(json);
    },
    async replace(from, to) {
      const key = toMailboxKey(to.email);
      const values = [key, encodeSortKey(key), from === null ? '' : JSON.stringify(from), JSON.stringify(to)];
      return (await connection.runScript(REPLACE, ...keys, ...values)) === 1;
    },
    async remove(email) {
      const key = toMailboxKey(email);
      return (await connection.runScript(REMOVE, ...keys, key, encodeSortKey(key))) === 1;
    },
    async list({ limit, after }) {
      const from = after === null ? '-' : Buffer.concat([Buffer.from('('), encodeSortKey(after)]);
      const sortKeys = await connection.execute(() =>
        redis.zrangeBuffer(KEYS.mailboxes, from, '+', 'BYLEX', 'LIMIT', 0, limit),
      );
      if (sortKeys.length === 0) return [];
      const found = await connection.execute(() =>
        redis.hmget(KEYS.suppressions, ...sortKeys.map(decodeSortKey)),
      );
      return found.flatMap((json) => (json === null ? [] : JSON.parse(json)));
    },
  };
}

/** Encodes in UTF-16BE: Redis sorts by bytes, and these sort in the order of code units. */
function encodeSortKey(mailboxKey: string): Buffer {
  return Buffer.from(mailboxKey, 'utf16le').swap16();
}

function decodeSortKey(sortKey: Buffer): string {
  return Buffer.from(sortKey).swap16().toString('utf16le');
}
