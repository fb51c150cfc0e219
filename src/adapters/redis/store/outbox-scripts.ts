import type { Script } from '../connection/scripts.ts';

/**
 * Reads the stored notice's size and endpoint. Defines `count`, which changes both usages,
 * `removeStored`, and `dropFailed`, which removes failed notices that have expired, and the oldest ones while there are
 * too many beside the waiting ones, at most 100 at once.
 *
 * KEYS of all scripts: the notices, their sizes, their usage, the order of all, the failed ones,
 * when they expire.
 */
const COUNT = `
  local function count(url, notices, bytes)
    redis.call('HINCRBY', KEYS[3], 'notices', notices)
    redis.call('HINCRBY', KEYS[3], 'bytes', bytes)
    if redis.call('HINCRBY', KEYS[3], 'notices ' .. url, notices) <= 0 then
      redis.call('HDEL', KEYS[3], 'notices ' .. url, 'bytes ' .. url)
    else
      redis.call('HINCRBY', KEYS[3], 'bytes ' .. url, bytes)
    end
  end
  local function removeFailed(id)
    local bytes = redis.call('HSTRLEN', KEYS[5], id)
    redis.call('ZREM', KEYS[6], id)
    redis.call('ZREM', KEYS[4], id)
    if redis.call('HDEL', KEYS[5], id) == 0 then return end
    redis.call('HINCRBY', KEYS[3], 'failed', -1)
    redis.call('HINCRBY', KEYS[3], 'failed bytes', -bytes)
  end
  local function dropFailed(maxNotices, maxBytes, now)
    for _ = 1, 100 do
      local oldest = redis.call('ZRANGE', KEYS[6], 0, 0, 'WITHSCORES')
      if not oldest[1] then return end
      local used = redis.call('HMGET', KEYS[3], 'notices', 'bytes', 'failed', 'failed bytes')
      for i = 1, 4 do used[i] = tonumber(used[i] or 0) end
      local fits = used[1] + used[3] <= tonumber(maxNotices) and used[2] + used[4] <= tonumber(maxBytes)
      if fits and tonumber(oldest[2]) > tonumber(now) then return end
      removeFailed(oldest[1])
    end
  end
  local stored = redis.call('HGET', KEYS[2], ARGV[1])
  local storedBytes, storedUrl
  if stored then storedBytes, storedUrl = string.match(stored, '^(%d+) (.*)$') end
  local function removeStored()
    redis.call('HDEL', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[2], ARGV[1])
    count(storedUrl, -1, -storedBytes)
  end
`;

const KEY_COUNT = 6;

/**
 * Adds or replaces a notice, within the limits that OutboxCapacity (core/webhooks) applies.
 *
 * ARGV: id, notice, its bytes, its endpoint, maximum notices and bytes, epoch ms at which it was
 * created, epoch ms now.
 * Returns 2 if it was added, 1 if it was replaced, 0 if there is no capacity.
 */
export const PUT: Script = {
  name: 'outtrayPut',
  keys: KEY_COUNT,
  lua: `
    ${COUNT}
    local url = ARGV[4]
    if not stored then
      local used = redis.call('HMGET', KEYS[3], 'notices', 'bytes', 'notices ' .. url, 'bytes ' .. url)
      for i = 1, 4 do used[i] = tonumber(used[i] or 0) end
      if used[3] >= ARGV[5] - used[1] or used[4] + ARGV[3] > ARGV[6] - used[2] then return 0 end
      removeFailed(ARGV[1])
    else
      count(storedUrl, -1, -storedBytes)
    end
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
    redis.call('HSET', KEYS[2], ARGV[1], ARGV[3] .. ' ' .. url)
    redis.call('ZADD', KEYS[4], ARGV[7], ARGV[1])
    count(url, 1, ARGV[3])
    dropFailed(ARGV[5], ARGV[6], ARGV[8])
    return stored and 1 or 2
  `,
};

/** Does the same as {@link PUT} for a notice that is failed. Returns 0 if it is not kept any more. */
export const REPLAY: Script = {
  name: 'outtrayReplay',
  keys: KEY_COUNT,
  lua: `
    if redis.call('HEXISTS', KEYS[5], ARGV[1]) == 0 then return 0 end
    ${PUT.lua}
  `,
};

/** ARGV: id. Removes a waiting notice. */
export const REMOVE: Script = {
  name: 'outtrayRemove',
  keys: KEY_COUNT,
  lua: `
    ${COUNT}
    if not stored then return 0 end
    removeStored()
    redis.call('ZREM', KEYS[4], ARGV[1])
    return 1
  `,
};

/**
 * Makes a waiting notice a failed one.
 *
 * ARGV: id, notice, epoch ms at which it expires, epoch ms at which it was created, maximum notices
 * and bytes, epoch ms now.
 */
export const FAIL: Script = {
  name: 'outtrayFail',
  keys: KEY_COUNT,
  lua: `
    ${COUNT}
    if not stored then return 0 end
    removeStored()
    redis.call('HSET', KEYS[5], ARGV[1], ARGV[2])
    redis.call('ZADD', KEYS[6], ARGV[3], ARGV[1])
    redis.call('ZADD', KEYS[4], ARGV[4], ARGV[1])
    redis.call('HINCRBY', KEYS[3], 'failed', 1)
    redis.call('HINCRBY', KEYS[3], 'failed bytes', #ARGV[2])
    dropFailed(ARGV[5], ARGV[6], ARGV[7])
    return 1
  `,
};

/** Drops expired failed notices. ARGV: an empty string, maximum notices and bytes, epoch ms now. */
export const DROP_FAILED: Script = {
  name: 'outtrayDropFailed',
  keys: KEY_COUNT,
  lua: `
    ${COUNT}
    dropFailed(ARGV[2], ARGV[3], ARGV[4])
  `,
};
