import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createClock } from '../../src/adapters/redis/connection/clock.ts';
import { hasRedis, type RedisServer, startRedis } from '../helpers/redis.ts';

const HOUR_MS = 3_600_000;
/** Tolerance: the maximum advance at a heartbeat, and delays on a busy machine. */
const LITTLE_MS = 5000;

describe.skipIf(!hasRedis)('the clock shared by all instances (with redis-server)', () => {
  let server: RedisServer;
  let client: Redis;
  beforeAll(async () => {
    server = await startRedis();
    client = new Redis(server.url());
  });
  beforeEach(() => client.flushall());
  afterAll(async () => {
    client.disconnect();
    await server[Symbol.asyncDispose]();
  });

  /** Returns the same Redis with another time of day. */
  function redisAt(offsetMs: number): Redis {
    const time = `{ redis.call('TIME')[1] + ${offsetMs / 1000}, 0 }`;
    const fake = {
      evalsha: () => Promise.reject(new Error('NOSCRIPT')),
      eval: (lua: string, ...args: [number, ...string[]]) =>
        client.eval(lua.replace("redis.call('TIME')", time), ...args),
    };
    return fake as unknown as Redis;
  }

  test('starts at the time of day of Redis', async () => {
    const clock = createClock();
    await clock.sync(redisAt(HOUR_MS));
    expect(Math.abs(clock.now() - Date.now() - HOUR_MS)).toBeLessThan(LITTLE_MS);
  });

  test.each([
    ['ahead', HOUR_MS],
    ['back', -HOUR_MS],
  ])(
    'does not change when the time of day of Redis jumps %s, even for an instance that joins afterwards',
    async (_how, jumpMs) => {
      const [one, other, third] = [createClock(), createClock(), createClock()];
      for (const clock of [one, other]) await clock.sync(redisAt(0));
      for (const clock of [one, other, third]) await clock.sync(redisAt(jumpMs));
      for (const clock of [one, other, third])
        expect(Math.abs(clock.now() - Date.now())).toBeLessThan(LITTLE_MS);
      expect(Math.abs(one.redisNow() - Date.now() - jumpMs)).toBeLessThan(LITTLE_MS);
    },
  );

  test('continues by the time of day of Redis after the last instance has stopped, and never goes back', async () => {
    await createClock().sync(redisAt(0));
    const later = createClock();
    await later.sync(redisAt(2 * HOUR_MS));
    expect(Math.abs(later.now() - Date.now() - 2 * HOUR_MS)).toBeLessThan(LITTLE_MS);
    const last = createClock();
    await last.sync(redisAt(0));
    expect(Math.abs(last.now() - Date.now() - 2 * HOUR_MS)).toBeLessThan(LITTLE_MS);
  });

  test('is advanced for an instance that is behind the others', async () => {
    const [behind, ahead] = [createClock(), createClock()];
    await behind.sync(redisAt(-HOUR_MS));
    await client.flushall();
    await ahead.sync(redisAt(0));
    await behind.sync(redisAt(0));
    expect(Math.abs(behind.now() - ahead.now())).toBeLessThan(LITTLE_MS);
  });
});
