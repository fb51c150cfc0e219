import type { Redis } from 'ioredis';
import { KEYS } from '../keys.ts';
import { evalScript, type Script } from './scripts.ts';

/** The shared clock goes on by the time of day of Redis between two signs of life, but by no more than this, in ms: that may jump. */
const MAX_STEP_MS = 2000;

/**
 * The time by which all instances go. Each counts on from it by a monotonic clock; at every sign of life the one that is ahead sets the others. So
 * one whose machine was suspended catches up, and a jump of the time of day of Redis changes nothing while an instance lives. It goes on from there
 * after the last of them has stopped.
 */
export interface Clock {
  /** Epoch ms, with fractions. Never goes backwards. */
  now(): number;
  /** The time of day by Redis itself, for what Redis compares with it. Epoch ms. */
  redisNow(): number;
  /** Tells Redis the time, and sets this clock by the answer. */
  sync(redis: Redis): Promise<void>;
}

/** KEYS: the clock. ARGV: the time by this instance (nothing: it has none yet), how far the clock may go on at most, if it has. */
const SYNC: Script = {
  name: 'outtraySyncClock',
  keys: 1,
  lua: `
    local time = redis.call('TIME')
    local wall = time[1] * 1000 + time[2] / 1000
    local kept = redis.call('HMGET', KEYS[1], 'shared', 'redis')
    local now = tonumber(ARGV[1])
    if kept[1] then
      local passed = math.max(0, wall - kept[2])
      if now then passed = math.min(passed, ARGV[2]) end
      now = math.max(now or 0, kept[1] + passed)
    end
    local answer = { string.format('%.3f', now or wall), string.format('%.3f', wall) }
    redis.call('HSET', KEYS[1], 'shared', answer[1], 'redis', answer[2])
    return answer
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
      // By when the answer came, which is late rather than early: else instances would drive each other ahead.
      offsetMs = Math.max(offsetMs, Number(sharedMs) - performance.now());
      redisOffsetMs = Number(redisMs) - performance.now();
    },
  };
}
