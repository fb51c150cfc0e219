import type { Redis } from 'ioredis';
import { KEYS } from '../keys.ts';
import { evalScript, type Script } from './scripts.ts';

/**
 * Maximum advance of the shared clock between two heartbeats, in ms: Redis's time of day may jump.
 */
const MAX_STEP_MS = 2000;

/**
 * The clock that all instances share.
 *
 * Each instance counts on from it by a monotonic clock, and every heartbeat sets it to the time of
 * the instance that is furthest ahead. So an instance whose machine was suspended catches up, and a
 * jump of Redis's time of day changes nothing while an instance runs. After the last instance has
 * stopped, the clock continues from its last value by Redis's time of day.
 */
export interface Clock {
  /** Epoch ms, with fractions. Never goes backwards. */
  now(): number;
  /** Redis's time of day in epoch ms, for values that Redis itself compares. */
  redisNow(): number;
  /** Writes this instance's time to Redis and adopts the shared time that results. */
  sync(redis: Redis): Promise<void>;
}

/**
 * Returns the shared time and Redis's time of day, both in epoch ms.
 *
 * KEYS: the clock. ARGV: time of this instance, empty if it has none yet; maximum advance in ms,
 * which applies if it has one.
 */
const SYNC: Script = {
  name: 'outtraySyncClock',
  keys: 1,
  lua: `
    local time = redis.call('TIME')
    local wall = time[1] * 1000 + time[2] / 1000
    local stored = redis.call('HMGET', KEYS[1], 'shared', 'redis')
    local now = tonumber(ARGV[1])
    if stored[1] then
      local passed = math.max(0, wall - stored[2])
      if now then passed = math.min(passed, ARGV[2]) end
      now = math.max(now or 0, stored[1] + passed)
    end
    local result = { string.format('%.3f', now or wall), string.format('%.3f', wall) }
    redis.call('HSET', KEYS[1], 'shared', result[1], 'redis', result[2])
    return result
  `,
};

export function createClock(): Clock {
  let offsetMs = Number.NEGATIVE_INFINITY;
  let redisOffsetMs = 0;

  return {
    now: () => performance.now() + offsetMs,
    redisNow: () => performance.now() + redisOffsetMs,
    async sync(redis) {
      const now = performance.now() + offsetMs;
      const args = [KEYS.clock, Number.isFinite(now) ? now : '', MAX_STEP_MS];
      const [sharedMs, redisMs] = (await evalScript(redis, { script: SYNC, args })) as readonly [
        string,
        string,
      ];
      // Measured when the reply arrives, so the clock is late rather than early. Otherwise
      // instances would drive each other ahead.
      offsetMs = Math.max(offsetMs, Number(sharedMs) - performance.now());
      redisOffsetMs = Number(redisMs) - performance.now();
    },
  };
}
