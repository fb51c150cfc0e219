import type { Script } from '../connection/scripts.ts';

/**
 * After an id was added to a channel, in the same step: sees to it that it stands in one channel only, and that it is due again once it is done if
 * it is taken now.
 *
 * KEYS: the channels, the unqueued, the id’s job, and its channel’s `active`, `prioritized` and `delayed`.
 * ARGV: the id, its channel, its entry among the unqueued, BullMQ’s prefix, where to say that something may be due, and what.
 */
export const CONFIRM_PUSH: Script = {
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
 * After an id was removed from a channel, in the same step, if it was: answers its entry among the unqueued, if it was pushed meanwhile.
 *
 * KEYS: the channels, the unqueued, the id’s job. ARGV: the id, its channel.
 */
export const CONFIRM_REMOVAL: Script = {
  name: 'outtrayLeave',
  keys: 3,
  lua: `
    if redis.call('EXISTS', KEYS[3]) == 1 then return false end
    if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
    return redis.call('HGET', KEYS[2], ARGV[1])
  `,
};

/**
 * Makes an id that waits due at another time. The low bits of the score are BullMQ’s, to keep the order of what is due in the same millisecond.
 *
 * KEYS: its channel’s `delayed`, `prioritized`, `wait` and `marker`. ARGV: the id, epoch ms.
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
 * The same, unless the id is due sooner.
 *
 * KEYS: its channel’s `delayed` and `marker`. ARGV: the id, epoch ms.
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
