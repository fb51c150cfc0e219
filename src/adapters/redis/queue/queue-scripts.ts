import type { Script } from '../connection/scripts.ts';

/*
 * PUSH, ENQUEUE_NEW, FINISH and TAKE do on BullMQ's keys what its scripts addPrioritizedJob,
 * addDelayedJob, moveToFinished and moveToActive do, without what Outtray has no use for: events,
 * markers, parents, rate limits, deduplication and metrics. Instances that use BullMQ's scripts can
 * run beside.
 *
 * Scores of `prioritized` are priority * 2^32 + count; of `delayed`, epoch ms * 4096 + count.
 */

/** Defines `addDue`, which makes an id due. */
const ADD_DUE = `
  local function addDue(prioritized, counter, priority, id)
    redis.call('ZADD', prioritized, priority * 0x100000000 + redis.call('INCR', counter) % 0x100000000, id)
  end
`;

/** Defines `enqueue`, which adds an id that the queue does not have. */
const ENQUEUE = `
  ${ADD_DUE}
  local function enqueue(id, job, prioritized, delayed, counter, priority, now, dueAt)
    local delay = math.max(0, dueAt - now)
    redis.call(
      'HSET', job, 'name', '', 'data', '{}', 'opts', '{"priority":' .. priority .. '}',
      'timestamp', now, 'delay', string.format('%.0f', delay), 'priority', priority
    )
    if delay == 0 then return addDue(prioritized, counter, priority, id) end
    local max = (dueAt + 1) * 4096 - 1
    local last = redis.call('ZREVRANGEBYSCORE', delayed, max, dueAt * 4096, 'WITHSCORES', 'LIMIT', 0, 1)
    redis.call('ZADD', delayed, math.min((last[2] or dueAt * 4096 - 1) + 1, max), id)
  end
`;

/**
 * Enqueues the id of a new delivery. Publishes it if it is delayed, or the only one that is due:
 * takers fetch until none is due, so they have been woken for the others.
 *
 * KEYS: the channels, the id's job, `prioritized`, `delayed` and `pc` of its channel.
 * ARGV: id, channel, priority, epoch ms now and when it is due (0: now), pub/sub channel and message
 * to publish.
 */
export const ENQUEUE_NEW: Script = {
  name: 'outtrayEnqueueNew',
  keys: 5,
  lua: `
    ${ENQUEUE}
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
    local dueAt = tonumber(ARGV[5])
    enqueue(ARGV[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[3], ARGV[4], dueAt)
    if dueAt > 0 or redis.call('ZCARD', KEYS[3]) == 1 then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
  `,
};

/**
 * Enqueues an id, unless the queue has it already. Keeps each id in one channel only, and stores
 * the push as pending if the id is taken, so that it is due again once it is done.
 *
 * KEYS: the channels, the id's job, `prioritized`, `delayed` and `pc` of its channel, `active`, the
 * pending pushes.
 * ARGV: as above, then the pending push and the prefix of BullMQ's keys.
 * Returns 1 if the id may be due now, else 0.
 */
export const PUSH: Script = {
  name: 'outtrayPush',
  keys: 7,
  lua: `
    ${ENQUEUE}
    local id, channel = ARGV[1], ARGV[2]
    local other = redis.call('HGET', KEYS[1], id)
    if other and other ~= channel and redis.call('EXISTS', ARGV[9] .. ':' .. other .. ':' .. id) == 1 then
      redis.call('HSET', KEYS[7], id, ARGV[8])
      return 0
    end
    redis.call('HSET', KEYS[1], id, channel)
    if redis.call('EXISTS', KEYS[2]) == 0 then
      enqueue(id, KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[3], ARGV[4], tonumber(ARGV[5]))
    elseif redis.call('LPOS', KEYS[6], id) then
      redis.call('HSET', KEYS[7], id, ARGV[8])
      return 0
    end
    redis.call('HDEL', KEYS[7], id)
    redis.call('PUBLISH', ARGV[6], ARGV[7])
    return 1
  `,
};

/**
 * Does the same as {@link PUSH} for a notice, if the previous script of its step returned 2: it has
 * added the notice. Replacing a notice does not change the queue.
 */
export const PUSH_NOTICE: Script = {
  name: 'outtrayPushNotice',
  keys: PUSH.keys,
  lua: `if previous ~= 2 then return 0 end ${PUSH.lua}`,
};

/**
 * Removes an id that is taken with a token. Does nothing if it is not.
 *
 * KEYS: the id's job and its lock, `active`, the channels, the pending pushes.
 * ARGV: id, token, 1 if no push of the id can be pending.
 * Returns the pending push if the id was pushed while it was taken.
 */
export const FINISH: Script = {
  name: 'outtrayFinish',
  keys: 5,
  lua: `
    local id = ARGV[1]
    if redis.call('GET', KEYS[2]) ~= ARGV[2] or redis.call('LREM', KEYS[3], -1, id) == 0 then return false end
    redis.call('DEL', KEYS[1], KEYS[2])
    redis.call('HDEL', KEYS[4], id)
    return ARGV[3] ~= '1' and redis.call('HGET', KEYS[5], id)
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
 * Takes the next due id, as BullMQ's `moveToActive` does, and reads its delivery.
 *
 * KEYS: `wait`, `active`, `prioritized`, `delayed` and `pc` of the channel.
 * ARGV: prefix of job keys, epoch ms, token, lifetime of the lock in ms, prefix of delivery keys,
 * maximum bytes of content to return.
 * Returns the number of ids that are still due; epoch ms at which the next waiting id is due, empty
 * if there is none or an id was taken; the id and its priority, if one was taken; record and
 * content, unless there is no delivery or its content is too large.
 */
export const TAKE: Script = {
  name: 'outtrayTake',
  keys: 5,
  isBinary: true,
  lua: `
    ${ADD_DUE}
    local prefix, now = ARGV[1], tonumber(ARGV[2])
    local due = redis.call('ZRANGEBYSCORE', KEYS[4], 0, (now + 1) * 4096 - 1, 'LIMIT', 0, 1000)
    if #due > 0 then
      redis.call('ZREM', KEYS[4], unpack(due))
      for _, id in ipairs(due) do
        addDue(KEYS[3], KEYS[5], tonumber(redis.call('HGET', prefix .. id, 'priority') or 2), id)
        redis.call('HSET', prefix .. id, 'delay', 0)
      end
    end
    local id = redis.call('RPOPLPUSH', KEYS[1], KEYS[2])
    local priority
    local left = 0
    if id then
      priority = redis.call('HGET', prefix .. id, 'priority')
      left = redis.call('LLEN', KEYS[1])
    else
      local first = redis.call('ZPOPMIN', KEYS[3])
      if not first[1] then
        local next = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
        return { 0, next[2] and string.format('%.0f', math.floor(next[2] / 4096)) or '' }
      end
      id = first[1]
      priority = math.floor(first[2] / 0x100000000)
      redis.call('LPUSH', KEYS[2], id)
    end
    redis.call('SET', prefix .. id .. ':lock', ARGV[3], 'PX', ARGV[4])
    local found = { redis.call('ZCARD', KEYS[3]) + left, '', id, tonumber(priority or 2) }
    if found[1] == 0 then
      local next = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
      if next[2] then found[2] = string.format('%.0f', math.floor(next[2] / 4096)) end
    end
    local key = ARGV[5] .. id
    if redis.call('HSTRLEN', key, 'content') > tonumber(ARGV[6]) then return found end
    local delivery = redis.call('HMGET', key, 'record', 'content')
    found[5], found[6] = delivery[1], delivery[2]
    return found
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
