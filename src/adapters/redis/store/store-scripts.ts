import type { Script } from '../connection/scripts.ts';
import { BEFORE_ID } from './timeline-member.ts';

/**
 * KEYS: the delivery, the unsettled, the usage, the timeline, the unqueued.
 * ARGV: id, revision, bytes, record, content, place, messages and bytes at most, entry among the unqueued.
 *
 * Answers `known`, `full` or `kept`, and how many messages are unsettled, and their bytes.
 */
export const INSERT: Script = {
  name: 'outtrayInsert',
  keys: 5,
  lua: `
    local usage = redis.call('HMGET', KEYS[3], 'messages', 'bytes')
    local messages, bytes = tonumber(usage[1] or 0), tonumber(usage[2] or 0)
    if redis.call('EXISTS', KEYS[1]) == 1 then return { 'known', messages, bytes } end
    if messages >= tonumber(ARGV[7]) or bytes + ARGV[3] > tonumber(ARGV[8]) then return { 'full', messages, bytes } end
    redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'bytes', ARGV[3], 'record', ARGV[4], 'content', ARGV[5])
    redis.call('SADD', KEYS[2], ARGV[1])
    redis.call('ZADD', KEYS[4], 0, ARGV[6])
    redis.call('HSET', KEYS[5], ARGV[1], ARGV[9])
    return { 'kept', redis.call('HINCRBY', KEYS[3], 'messages', 1), redis.call('HINCRBY', KEYS[3], 'bytes', ARGV[3]) }
  `,
};

/**
 * KEYS: the delivery, the unsettled, the usage, the leaving, the unqueued.
 * ARGV: id, revision that is kept if nobody has changed it, new revision, new record, place, where to say so (or nothing) and what, and what becomes
 * of it:
 *   `open`: it is not settled, and neither was it before;
 *   `settled`: it leaves at that time (ARGV 9), in so many ms (ARGV 10), its content at once if ARGV 11 is 1;
 *   `reopened`: if there is room (ARGV 9 and 10, messages and bytes at most), with this entry among the unqueued (ARGV 11).
 *
 * Answers `changed`, `full` or `kept`, and the usage.
 */
export const UPDATE: Script = {
  name: 'outtrayUpdate',
  keys: 5,
  lua: `
    local id, place, becomes = ARGV[1], ARGV[5], ARGV[8]
    local function answer(what)
      local usage = redis.call('HMGET', KEYS[3], 'messages', 'bytes')
      return { what, tonumber(usage[1] or 0), tonumber(usage[2] or 0) }
    end
    local former = redis.call('HMGET', KEYS[1], 'revision', 'bytes')
    if former[1] ~= ARGV[2] then return answer('changed') end
    local bytes = former[2]
    if becomes == 'settled' then
      if redis.call('SREM', KEYS[2], id) == 1 then
        redis.call('HINCRBY', KEYS[3], 'messages', -1)
        redis.call('HINCRBY', KEYS[3], 'bytes', -bytes)
      end
      redis.call('ZADD', KEYS[4], ARGV[9], place)
      redis.call('HDEL', KEYS[5], id)
      if ARGV[11] == '1' then redis.call('HDEL', KEYS[1], 'content') end
      redis.call('PEXPIRE', KEYS[1], ARGV[10])
    elseif becomes == 'reopened' then
      local usage = answer('full')
      if usage[2] >= tonumber(ARGV[9]) or usage[3] + bytes > tonumber(ARGV[10]) then return usage end
      redis.call('HSET', KEYS[5], id, ARGV[11])
      redis.call('SADD', KEYS[2], id)
      redis.call('HINCRBY', KEYS[3], 'messages', 1)
      redis.call('HINCRBY', KEYS[3], 'bytes', bytes)
      redis.call('ZREM', KEYS[4], place)
      redis.call('PERSIST', KEYS[1])
    end
    redis.call('HSET', KEYS[1], 'revision', ARGV[3], 'record', ARGV[4])
    if ARGV[6] ~= '' then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
    return answer('kept')
  `,
};

/**
 * KEYS: the timeline. ARGV: what the keys of deliveries begin with, both ends of the range, how many at most.
 *
 * Answers place and record, by turns; the record is missing if the delivery has left.
 */
export const PAGE: Script = {
  name: 'outtrayPage',
  keys: 1,
  lua: `
    local found = {}
    for _, place in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[3], 'BYLEX', 'REV', 'LIMIT', 0, ARGV[4])) do
      found[#found + 1] = place
      found[#found + 1] = redis.call('HGET', ARGV[1] .. string.sub(place, ${BEFORE_ID + 1}), 'record')
    end
    return found
  `,
};

/** KEYS: the leaving, the timeline. ARGV: until when, how many at most. Answers how many have left. */
export const PRUNE: Script = {
  name: 'outtrayPrune',
  keys: 2,
  lua: `
    local places = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
    if #places == 0 then return 0 end
    redis.call('ZREM', KEYS[1], unpack(places))
    redis.call('ZREM', KEYS[2], unpack(places))
    return #places
  `,
};
