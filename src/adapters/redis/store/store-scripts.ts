import type { Script } from '../connection/scripts.ts';
import { FREE_PLACES, TAKE_PLACE, WRITE_ROW } from './search-scripts.ts';
import { COUNT_SETTLED } from './stats-scripts.ts';
import { ID_OFFSET } from './timeline-member.ts';

/**
 * Inserts a delivery, unless its id is known or a limit would be exceeded.
 *
 * KEYS: the delivery, the unsettled, the usage, the timeline, the set of its status, the search
 * rows, the places, the free places.
 * ARGV: id, revision, bytes, record, content, timeline member, maximum messages and bytes, member of
 * the set, search row.
 * Returns `known`, `full` or `done`, then the number of unsettled messages and their bytes.
 */
export const INSERT: Script = {
  name: 'outtrayInsert',
  keys: 8,
  continuesIf: "result[1] == 'done'",
  lua: `
    ${TAKE_PLACE}
    ${WRITE_ROW}
    local usage = redis.call('HMGET', KEYS[3], 'messages', 'bytes', 'places')
    local messages, bytes = tonumber(usage[1] or 0), tonumber(usage[2] or 0)
    if redis.call('EXISTS', KEYS[1]) == 1 then return { 'known', messages, bytes } end
    if messages >= tonumber(ARGV[7]) or bytes + ARGV[3] > tonumber(ARGV[8]) then return { 'full', messages, bytes } end
    -- Fails if Redis is out of memory, unlike the pop in takePlace, after which all commands may exceed it.
    redis.call('SADD', KEYS[2], ARGV[1])
    local place, places = takePlace(KEYS[8], usage[3])
    redis.call(
      'HSET', KEYS[1], 'revision', ARGV[2], 'bytes', ARGV[3], 'record', ARGV[4], 'content', ARGV[5], 'place', place
    )
    redis.call('ZADD', KEYS[4], 0, ARGV[6])
    redis.call('ZADD', KEYS[5], 0, ARGV[9])
    writeRow(KEYS[6], place, ARGV[10])
    redis.call('HSET', KEYS[7], ARGV[1], place)
    messages, bytes = messages + 1, bytes + ARGV[3]
    redis.call('HSET', KEYS[3], 'messages', messages, 'bytes', string.format('%.0f', bytes), 'places', places)
    return { 'done', messages, bytes }
  `,
};

/**
 * Replaces the record of a delivery if its revision is still the expected one.
 *
 * KEYS: the delivery, the unsettled, the usage, the expiring, the pending pushes, the sets of its
 * former and its new status, the counts of the hour, the search rows.
 * ARGV: id, expected revision, new revision, new record, timeline member, pub/sub channel (empty:
 * publish nothing) and message, members to move from and to the sets (empty: none), field to
 * increment in the counts (empty: none), new head of the search row (empty: the same), then the
 * transition and its arguments:
 *   `open`: unsettled before and after;
 *   `settled`: 13: epoch ms at which it expires, 14: the same in ms from now, 15: 1 to delete the
 *   content, or `keep` to move it, followed by the key of the kept content, the kept contents, their
 *   maximum bytes, and epoch ms and ms from now at which it expires;
 *   `amended`: settled before and after, in the same status;
 *   `reopened`: 13 and 14: maximum messages and bytes. Fails if there is no capacity.
 * Returns `changed` (another revision is stored), `full` or `done`, then the usage if it is `full`
 * or has changed.
 */
export const UPDATE: Script = {
  name: 'outtrayUpdate',
  keys: 9,
  continuesIf: "result[1] == 'done'",
  lua: `
    ${COUNT_SETTLED}
    ${WRITE_ROW}
    local id, member, transition = ARGV[1], ARGV[5], ARGV[12]
    local result = { 'done' }
    local function count(messages, bytes)
      result[2] = redis.call('HINCRBY', KEYS[3], 'messages', messages)
      result[3] = redis.call('HINCRBY', KEYS[3], 'bytes', bytes)
    end
    local function keep(bytes)
      local content = redis.call('HGET', KEYS[1], 'content')
      if not content or content == '' then return end
      redis.call('SET', ARGV[16], content, 'PX', ARGV[20])
      redis.call('ZADD', ARGV[17], ARGV[19], bytes .. ':' .. id)
      local total = redis.call('HINCRBY', KEYS[3], 'kept', bytes)
      while total > tonumber(ARGV[18]) do
        local oldest = redis.call('ZPOPMIN', ARGV[17])[1]
        if not oldest then return end
        local size, other = string.match(oldest, '^(%d+):(.*)$')
        redis.call('DEL', string.sub(ARGV[16], 1, -#id - 1) .. other)
        total = redis.call('HINCRBY', KEYS[3], 'kept', -size)
      end
    end
    local stored = redis.call('HMGET', KEYS[1], 'revision', 'bytes', 'place')
    if stored[1] ~= ARGV[2] then return { 'changed' } end
    local bytes = stored[2]
    if transition == 'settled' then
      if redis.call('SREM', KEYS[2], id) == 1 then count(-1, -bytes) end
      redis.call('ZADD', KEYS[4], ARGV[13], member)
      redis.call('HDEL', KEYS[5], id)
      if ARGV[15] == 'keep' then keep(bytes) end
      if ARGV[15] ~= '0' then redis.call('HDEL', KEYS[1], 'content') end
      redis.call('PEXPIRE', KEYS[1], ARGV[14])
    elseif transition == 'amended' then
      if redis.call('HGET', KEYS[1], 'counted') == ARGV[2] then redis.call('HSET', KEYS[1], 'counted', ARGV[3]) end
    elseif transition == 'reopened' then
      local usage = redis.call('HMGET', KEYS[3], 'messages', 'bytes')
      local full = { 'full', tonumber(usage[1] or 0), tonumber(usage[2] or 0) }
      if full[2] >= tonumber(ARGV[13]) or full[3] + bytes > tonumber(ARGV[14]) then return full end
      redis.call('SADD', KEYS[2], id)
      count(1, bytes)
      redis.call('ZREM', KEYS[4], member)
      redis.call('PERSIST', KEYS[1])
    end
    if ARGV[8] ~= '' then redis.call('ZREM', KEYS[6], ARGV[8]) end
    if ARGV[9] ~= '' then redis.call('ZADD', KEYS[7], 0, ARGV[9]) end
    if ARGV[11] ~= '' and stored[3] then writeRow(KEYS[9], stored[3], ARGV[11]) end
    if ARGV[10] ~= '' then
      countSettled(KEYS[8], ARGV[10])
      redis.call('HSET', KEYS[1], 'revision', ARGV[3], 'record', ARGV[4], 'counted', ARGV[3])
    else
      redis.call('HSET', KEYS[1], 'revision', ARGV[3], 'record', ARGV[4])
    end
    if ARGV[6] ~= '' then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
    return result
  `,
};

/**
 * Reads a page of the timeline.
 *
 * KEYS: the timeline. ARGV: prefix of delivery keys, both bounds of the range, maximum number.
 * Returns timeline member and record alternately. The record is missing if the delivery has
 * expired.
 */
export const READ_PAGE: Script = {
  name: 'outtrayPage',
  keys: 1,
  lua: `
    local found = {}
    for _, member in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[3], 'BYLEX', 'REV', 'LIMIT', 0, ARGV[4])) do
      found[#found + 1] = member
      found[#found + 1] = redis.call('HGET', ARGV[1] .. string.sub(member, ${ID_OFFSET + 1}), 'record')
    end
    return found
  `,
};

/**
 * Reads a page of the deliveries that wait, oldest first.
 *
 * KEYS: sets of deliveries in the queue, see waiting-set.ts; first those that are not planned, then
 * the planned ones, of which the first is that of scheduled deliveries.
 * ARGV: prefix of delivery keys, number of sets that are not planned, owner (empty: all), timeline
 * member after which the page begins (empty: at the start), time up to which scheduled ones are due,
 * maximum number.
 * Returns timeline member and record alternately.
 */
export const READ_WAITING: Script = {
  name: 'outtrayWaiting',
  keys: 8,
  lua: `
    local after, limit = ARGV[4], tonumber(ARGV[6])
    local members = {}
    local function read(set, owner, isPlanned, dueBy)
      local first, last = '(' .. owner .. ':' .. after, '(' .. owner .. ';'
      if not isPlanned then
        for _, member in ipairs(redis.call('ZRANGE', set, first, last, 'BYLEX', 'LIMIT', 0, limit)) do
          members[#members + 1] = string.sub(member, #owner + 2)
        end
        return
      end
      if dueBy then last = '(' .. owner .. ':' .. dueBy .. ';' end
      for _, member in ipairs(redis.call('ZRANGE', set, '[' .. owner .. ':', last, 'BYLEX')) do
        local created = string.sub(member, #owner + #ARGV[5] + 3)
        if created > after then members[#members + 1] = created end
      end
    end
    local planned = tonumber(ARGV[2]) + 1
    for i = 1, #KEYS do
      local isPlanned, dueBy = i >= planned, i == planned and ARGV[5]
      local owner = ARGV[3]
      if owner ~= '' then
        read(KEYS[i], owner, isPlanned, dueBy)
      else
        local from = '-'
        repeat
          local member = redis.call('ZRANGE', KEYS[i], from, '+', 'BYLEX', 'LIMIT', 0, 1)[1]
          if member then
            owner = string.match(member, '^[^:]*')
            read(KEYS[i], owner, isPlanned, dueBy)
            from = '[' .. owner .. ';'
          end
        until not member
      end
    end
    table.sort(members)
    local found = {}
    for i = 1, math.min(#members, limit) do
      found[#found + 1] = members[i]
      found[#found + 1] = redis.call('HGET', ARGV[1] .. string.sub(members[i], ${ID_OFFSET + 1}), 'record')
    end
    return found
  `,
};

/**
 * Removes expired deliveries from the timeline, and expired contents from the kept ones.
 *
 * KEYS: the expiring, the timeline, the kept contents, the usage, the places, the free places.
 * ARGV: epoch ms up to which they have expired, maximum number. Returns the number of deliveries
 * removed.
 */
export const PRUNE: Script = {
  name: 'outtrayPrune',
  keys: 6,
  lua: `
    ${FREE_PLACES}
    local contents = redis.call('ZRANGE', KEYS[3], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
    if #contents > 0 then
      local bytes = 0
      for _, member in ipairs(contents) do bytes = bytes + string.match(member, '^%d+') end
      redis.call('ZREM', KEYS[3], unpack(contents))
      redis.call('HINCRBY', KEYS[4], 'kept', string.format('%.0f', -bytes))
    end
    local members = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
    if #members == 0 then return 0 end
    redis.call('ZREM', KEYS[1], unpack(members))
    redis.call('ZREM', KEYS[2], unpack(members))
    local ids = {}
    for i, member in ipairs(members) do ids[i] = string.sub(member, ${ID_OFFSET + 1}) end
    freePlaces(KEYS[5], KEYS[6], ids)
    return #members
  `,
};
