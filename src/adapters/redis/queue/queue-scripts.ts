import type { Script } from '../connection/scripts.ts';

/**
 * Completes a push in the same step as BullMQ's script that added the id. Keeps each id in one
 * channel only, and stores the push as pending if the id is taken, so that it is due again once it
 * is done.
 *
 * KEYS: the channels, the pending pushes, the id's job, and `active`, `prioritized` and `delayed`
 * of its channel.
 * ARGV: id, channel, pending push, prefix of BullMQ's keys, pub/sub channel and message to publish.
 * Returns 1 if the id may be due now, else 0.
 */
export const COMPLETE_PUSH: Script = {
  name: 'outtrayEnter',
  keys: 6,
  lua: `
    local id, channel = ARGV[1], ARGV[2]
    if redis.call('EXISTS', KEYS[3]) == 0 then
      return redis.error_reply('ERR the id was not added')
    end
    local other = redis.call('HGET', KEYS[1], id)
    if other and other ~= channel and redis.call('EXISTS', ARGV[4] .. ':' .. other .. ':' .. id) == 1 then
      redis.call('ZREM', KEYS[5], id)
      redis.call('ZREM', KEYS[6], id)
      redis.call('DEL', KEYS[3])
      redis.call('HSET', KEYS[2], id, ARGV[3])
      return 0
    end
    redis.call('HSET', KEYS[1], id, channel)
    if redis.call('LPOS', KEYS[4], id) then
      redis.call('HSET', KEYS[2], id, ARGV[3])
      return 0
    end
    redis.call('HDEL', KEYS[2], id)
    redis.call('PUBLISH', ARGV[5], ARGV[6])
    return 1
  `,
};

/**
 * Completes a removal in the same step as BullMQ's script that removed the id. Does nothing if the
 * id is still there.
 *
 * KEYS: the channels, the pending pushes, the id's job. ARGV: id, channel. Returns the pending push
 * if the id was pushed while it was taken.
 */
export const COMPLETE_REMOVAL: Script = {
  name: 'outtrayLeave',
  keys: 3,
  lua: `
    if redis.call('EXISTS', KEYS[3]) == 1 then return false end
    if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
    return redis.call('HGET', KEYS[2], ARGV[1])
  `,
};

/**
 * Changes the time at which a waiting id is due. The low 12 bits of the score are BullMQ's, which
 * keeps the order of ids that are due in the same millisecond in them.
 *
 * KEYS: `delayed`, `prioritized`, `wait` and `marker` of the channel. ARGV: id, epoch ms.
 * Returns 1 if the id waited, else 0.
 */
export const RESCHEDULE: Script = {
  name: 'outtrayReschedule',
  keys: 4,
  lua: `
    local id = ARGV[1]
    local waits = redis.call('ZREM', KEYS[1], id) + redis.call('ZREM', KEYS[2], id) + redis.call('LREM', KEYS[3], 1, id)
    if waits == 0 then return 0 end
    redis.call('ZADD', KEYS[1], ARGV[2] * 4096, id)
    redis.call('ZADD', KEYS[4], ARGV[2], '1')
    return 1
  `,
};

/**
 * Does the same as {@link RESCHEDULE}, unless the id is due sooner anyway.
 *
 * KEYS: `delayed` and `marker` of the channel. ARGV: id, epoch ms.
 * Returns 1 if the time changed, else 0.
 */
export const BRING_FORWARD: Script = {
  name: 'outtrayHasten',
  keys: 2,
  lua: `
    local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
    if not score or tonumber(score) <= ARGV[2] * 4096 then return 0 end
    redis.call('ZADD', KEYS[1], ARGV[2] * 4096, ARGV[1])
    redis.call('ZADD', KEYS[2], ARGV[2], '1')
    return 1
  `,
};

/**
 * Reads the delivery of the id that BullMQ's script before it has taken, and whether more ids are
 * due.
 *
 * KEYS: `prioritized`, `wait` and `delayed` of the channel. ARGV: prefix of delivery keys, maximum
 * bytes of content to return.
 * Returns the number of ids that are due; epoch ms at which the next waiting id is due, empty if
 * there is none; record and content, unless there is no delivery or its content is too large.
 */
export const READ_TAKEN: Script = {
  name: 'outtrayReadTaken',
  keys: 3,
  isBinary: true,
  lua: `
    local found = { redis.call('ZCARD', KEYS[1]) + redis.call('LLEN', KEYS[2]), '' }
    if found[1] == 0 then
      local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
      if first[2] then found[2] = string.format('%.0f', math.floor(first[2] / 4096)) end
    end
    local id = type(previous) == 'table' and previous[2]
    if type(id) ~= 'string' then return found end
    local key = ARGV[1] .. id
    if redis.call('HSTRLEN', key, 'content') > tonumber(ARGV[2]) then return found end
    local delivery = redis.call('HMGET', key, 'record', 'content')
    found[3], found[4] = delivery[1], delivery[2]
    return found
  `,
};
