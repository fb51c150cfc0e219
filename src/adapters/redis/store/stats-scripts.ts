import { statusesOf } from '../../../core/delivery/delivery-stats.ts';
import { HOUR } from '../../../core/time.ts';
import type { Script } from '../connection/scripts.ts';

/** Lifetime of the counts of an hour since the first one, in seconds. */
const HOUR_LIFETIME_S = 25 * 3600;

/** Defines `countSettled`, which adds one to the counts of an hour. */
export const COUNT_SETTLED = `
  local function countSettled(hour, field)
    if redis.call('HINCRBY', hour, field, 1) == 1 then redis.call('EXPIRE', hour, ${HOUR_LIFETIME_S}) end
  end
`;

/**
 * Defines `place`, which returns the key and the member of a decoded delivery in the queue, as
 * `toWaitingMember` does.
 */
const PLACE = `
  local function place(delivery, id, waiting, planned)
    local created = string.format('%015.0f:', delivery.createdAt) .. id
    local due = delivery.scheduledAt
    if due ~= cjson.null and due > delivery.createdAt then
      return planned .. delivery.status, delivery.owner .. string.format(':%015.0f:', due) .. created
    end
    return waiting .. delivery.status, delivery.owner .. ':' .. created
  end
`;

/**
 * Reads the numbers of an owner, or of all.
 *
 * KEYS: the sets of deliveries in the queue, the unsettled, the counts of each hour.
 * ARGV: number of the sets, owner (empty: all).
 * Returns the number of deliveries in each set; the earliest time in each set, or empty; the fields
 * of each hour; and 1 if the sets have as many members as there are unsettled deliveries.
 */
export const READ_STATS: Script = {
  name: 'outtrayStats',
  keys: 33,
  lua: `
    local sets, owner = tonumber(ARGV[1]), ARGV[2]
    local function firstOf(set, from)
      local member = redis.call('ZRANGE', set, from, '+', 'BYLEX', 'LIMIT', 0, 1)[1]
      if member then return string.match(member, '^([^:]*):(%d+)') end
    end
    local counts, times, hours, total = {}, {}, {}, 0
    for i = 1, sets do
      local size = redis.call('ZCARD', KEYS[i])
      total = total + size
      times[i] = ''
      if owner ~= '' then
        counts[i] = redis.call('ZLEXCOUNT', KEYS[i], '[' .. owner .. ':', '(' .. owner .. ';')
        local found, time = firstOf(KEYS[i], '[' .. owner .. ':')
        if found == owner then times[i] = time end
      else
        counts[i] = size
        local found, time = firstOf(KEYS[i], '-')
        while found do
          if times[i] == '' or time < times[i] then times[i] = time end
          found, time = firstOf(KEYS[i], '[' .. found .. ';')
        end
      end
    end
    for i = sets + 2, #KEYS do
      if owner ~= '' then
        local found = redis.call('HMGET', KEYS[i], 'sent:' .. owner, 'failed:' .. owner)
        hours[#hours + 1] = { 'sent:' .. owner, found[1] or '0', 'failed:' .. owner, found[2] or '0' }
      else
        hours[#hours + 1] = redis.call('HGETALL', KEYS[i])
      end
    end
    return { counts, times, hours, total == redis.call('SCARD', KEYS[sets + 1]) and 1 or 0 }
  `,
};

/**
 * Counts stored deliveries that are not counted yet: those in the queue, and what has settled.
 *
 * ARGV: prefixes of the keys of deliveries, waiting and planned ones, and counts of an hour; epoch ms
 * since which settled ones are counted; ids.
 */
export const COUNT_STORED: Script = {
  name: 'outtrayCountStored',
  keys: 0,
  lua: `
    ${PLACE}
    ${COUNT_SETTLED}
    local results = { ${(['sent', 'failed'] as const)
      .flatMap((result) => statusesOf(result).map((status) => `${status} = '${result}'`))
      .join(', ')}, canceled = '' }
    for i = 6, #ARGV do
      local id = ARGV[i]
      local stored = redis.call('HMGET', ARGV[1] .. id, 'revision', 'record', 'counted')
      if stored[2] then
        local delivery = cjson.decode(stored[2])
        local result = results[delivery.status]
        if not result then
          local set, member = place(delivery, id, ARGV[2], ARGV[3])
          redis.call('ZADD', set, 0, member)
        elseif result ~= '' and stored[3] ~= stored[1] and delivery.finishedAt ~= cjson.null
          and delivery.finishedAt >= tonumber(ARGV[5]) then
          local hour = math.floor(delivery.finishedAt / ${HOUR}) * ${HOUR}
          countSettled(ARGV[4] .. string.format('%.0f', hour), result .. ':' .. delivery.owner)
          redis.call('HSET', ARGV[1] .. id, 'counted', stored[1])
        end
      end
    end
  `,
};

/**
 * Removes members from the sets of deliveries in the queue that are not at their place: an instance
 * of a version without these sets has changed their delivery.
 *
 * KEYS: a set. ARGV: prefixes of the keys of deliveries, waiting and planned ones; members.
 */
export const REMOVE_MISPLACED: Script = {
  name: 'outtrayRemoveMisplaced',
  keys: 1,
  lua: `
    ${PLACE}
    for i = 4, #ARGV do
      local id = string.match(ARGV[i], '[^:]*$')
      local record = redis.call('HGET', ARGV[1] .. id, 'record')
      local set, member
      if record then set, member = place(cjson.decode(record), id, ARGV[2], ARGV[3]) end
      if set ~= KEYS[1] or member ~= ARGV[i] then redis.call('ZREM', KEYS[1], ARGV[i]) end
    end
  `,
};
