import type { Redis } from 'ioredis';

/** The time of day by Redis, for all instances, counted on from there by a clock that does not jump. */
export interface Clock {
  /** Epoch ms, with fractions. Never goes backwards. */
  now(): number;
  /** Asks Redis. A clock that is ahead of it stays ahead. */
  set(redis: Redis): Promise<void>;
}

export function createClock(): Clock {
  let offsetMs = Number.NEGATIVE_INFINITY;
  return {
    now: () => performance.now() + offsetMs,
    async set(redis) {
      const askedAt = performance.now();
      const [seconds, micros] = await redis.time();
      const answeredAt = performance.now();
      const redisMs = Number(seconds) * 1000 + Number(micros) / 1000;
      offsetMs = Math.max(offsetMs, redisMs - (askedAt + answeredAt) / 2);
    },
  };
}
