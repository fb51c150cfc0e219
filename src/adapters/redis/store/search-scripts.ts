import type { Script } from '../connection/scripts.ts';
import { ROW_BYTES } from './search-rows.ts';
import { ID_OFFSET } from './timeline-member.ts';

/**
 * Defines `takePlace`, which returns a place for a row, and the number of places if it is a new one.
 *
 * @param former number of places so far, or nil
 */
export const TAKE_PLACE = `
  local function takePlace(free, former)
    local place = redis.call('LPOP', free)
    if place then return place, former or 0 end
    return tonumber(former or 0), tonumber(former or 0) + 1
  end
`;

/** Defines `writeRow`, which writes a row or its head. */
export const WRITE_ROW = `
  local function writeRow(rows, place, bytes) redis.call('SETRANGE', rows, place * ${ROW_BYTES}, bytes) end
`;

/** Defines `freePlaces`, which makes the places of ids available for other rows. */
export const FREE_PLACES = `
  local function freePlaces(places, free, ids)
    local found = {}
    for _, place in ipairs(redis.call('HMGET', places, unpack(ids))) do
      if place then found[#found + 1] = place end
    end
    if #found == 0 then return end
    redis.call('HDEL', places, unpack(ids))
    redis.call('RPUSH', free, unpack(found))
  end
`;

/**
 * Reads the search rows.
 *
 * KEYS: the rows, the places, the timeline, the unsettled.
 * Returns the rows, and the numbers of rows, of deliveries and of unsettled deliveries.
 */
export const READ_ROWS: Script = {
  name: 'outtrayRows',
  keys: 4,
  isBinary: true,
  lua: `
    return {
      redis.call('GET', KEYS[1]) or '',
      redis.call('HLEN', KEYS[2]),
      redis.call('ZCARD', KEYS[3]),
      redis.call('SCARD', KEYS[4])
    }
  `,
};

/**
 * Reads the deliveries that were created at some times.
 *
 * KEYS: the timeline. ARGV: prefix of delivery keys, encoded times. Returns their records.
 */
export const READ_AT_TIMES: Script = {
  name: 'outtrayAtTimes',
  keys: 1,
  lua: `
    local found = {}
    for i = 2, #ARGV do
      for _, member in ipairs(redis.call('ZRANGE', KEYS[1], '[' .. ARGV[i] .. ':', '(' .. ARGV[i] .. ';', 'BYLEX')) do
        local record = redis.call('HGET', ARGV[1] .. string.sub(member, ${ID_OFFSET + 1}), 'record')
        if record then found[#found + 1] = record end
      end
    end
    return found
  `,
};

/**
 * Writes the search row of a delivery, unless it has changed.
 *
 * KEYS: the delivery, the rows, the places, the free places, the usage. ARGV: id, revision, row.
 */
export const WRITE_SEARCH_ROW: Script = {
  name: 'outtrayWriteRow',
  keys: 5,
  lua: `
    ${TAKE_PLACE}
    ${WRITE_ROW}
    if redis.call('HGET', KEYS[1], 'revision') ~= ARGV[2] then return end
    local place = redis.call('HGET', KEYS[3], ARGV[1])
    if not place then
      local count
      place, count = takePlace(KEYS[4], redis.call('HGET', KEYS[5], 'places'))
      redis.call('HSET', KEYS[5], 'places', count)
      redis.call('HSET', KEYS[3], ARGV[1], place)
    end
    redis.call('HSET', KEYS[1], 'place', place)
    writeRow(KEYS[2], place, ARGV[3])
  `,
};

/**
 * Removes the places of deliveries that are gone.
 *
 * KEYS: the places, the free places. ARGV: prefix of delivery keys, ids.
 */
export const FREE_LOST_PLACES: Script = {
  name: 'outtrayFreePlaces',
  keys: 2,
  lua: `
    ${FREE_PLACES}
    local lost = {}
    for i = 2, #ARGV do
      if redis.call('EXISTS', ARGV[1] .. ARGV[i]) == 0 then lost[#lost + 1] = ARGV[i] end
    end
    if #lost > 0 then freePlaces(KEYS[1], KEYS[2], lost) end
  `,
};
