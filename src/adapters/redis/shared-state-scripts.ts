import type { Script } from './connection/scripts.ts';

/*
 * Fields of a shared value:
 *
 * - `revision`: incremented by each change of the value or of its usage.
 * - `value`: JSON.
 * - `buckets`: revision at which a bucket other than the newest last changed.
 * - One field for each bucket, named by the time when it leaves the window: messages, recipients.
 */

/**
 * KEYS: shared value, value of version 0.1. Returns the fields of the first. Returns the second as
 * well if only that exists.
 */
export const READ: Script = {
  name: 'outtrayReadShared',
  keys: 2,
  lua: `
    local fields = redis.call('HGETALL', KEYS[1])
    if #fields > 0 then return { fields } end
    return { fields, redis.call('HGET', KEYS[2], 'value') }
  `,
};

/**
 * KEYS: shared value, value of version 0.1. ARGV: lifetime of the value of version 0.1 in ms,
 * fields. Returns the fields that are stored now, which another instance may have created.
 * Instances of version 0.1 that still run go on with their own value.
 */
export const CREATE: Script = {
  name: 'outtrayCreateShared',
  keys: 2,
  lua: `
    if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('HSET', KEYS[1], unpack(ARGV, 2)) end
    redis.call('PEXPIRE', KEYS[2], ARGV[1])
    return redis.call('HGETALL', KEYS[1])
  `,
};

/**
 * KEYS: shared value. ARGV: revision that was changed, newest bucket it has or an empty string, new
 * value or an empty string, changed buckets with their usage or with an empty string to drop them.
 *
 * Changes the value if it still has that revision. The revision covers the usage, too, so buckets
 * are set and not incremented. Otherwise returns the fields that are stored: only those that can
 * differ, without `buckets`, if no bucket but the newest has changed since that revision.
 */
export const CHANGE: Script = {
  name: 'outtrayChangeShared',
  keys: 1,
  continuesIf: 'not result',
  lua: `
    local revision, newest, value = ARGV[1], ARGV[2], ARGV[3]
    local stored = redis.call('HMGET', KEYS[1], 'revision', 'buckets', 'value', newest)
    if stored[1] ~= revision then
      local known, current = tonumber(revision), tonumber(stored[1] or 0)
      if not stored[4] or current < known or tonumber(stored[2]) > known then
        return redis.call('HGETALL', KEYS[1])
      end
      return { 'revision', stored[1], 'value', stored[3], newest, stored[4] }
    end
    if value == '' and #ARGV == 3 then return false end

    local nextRevision = string.format('%.0f', revision + 1)
    local fields = { 'revision', nextRevision }
    local function set(name, text)
      fields[#fields + 1] = name
      fields[#fields + 1] = text
    end
    if value ~= '' then set('value', value) end
    for i = 4, #ARGV, 2 do
      local bucket, usage = ARGV[i], ARGV[i + 1]
      if usage == '' then redis.call('HDEL', KEYS[1], bucket) else set(bucket, usage) end
      if usage == '' or bucket ~= newest then set('buckets', nextRevision) end
    end
    redis.call('HSET', KEYS[1], unpack(fields))
    return false
  `,
};
