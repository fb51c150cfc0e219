import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { openRedisBackend, type RedisBackend } from '../../src/adapters/redis/index.ts';
import { hasRedis, startRedis } from '../helpers/redis.ts';

const PASSWORD = 'correct-horse-battery';
const OPTIONS = { maxMessages: 10, maxBytes: 1e6, retainMs: 60_000, onAvailabilityChange() {} };

async function withBackend(url: string, run: (backend: RedisBackend) => Promise<void>): Promise<void> {
  const backend = await openRedisBackend({ ...OPTIONS, url });
  try {
    await run(backend);
  } finally {
    await backend.close();
  }
}

describe.skipIf(!hasRedis)('opening Redis (with redis-server)', () => {
  test('uses the password and the database of the URL, and reports neither when the login is refused', async () => {
    await using redis = await startRedis([`requirepass ${PASSWORD}`]);
    await withBackend(`redis://:${PASSWORD}@127.0.0.1:${redis.port}/3`, async ({ client }) => {
      expect(await client.dbsize()).toBeGreaterThan(0);
      expect(await client.info('keyspace')).toMatch(/^db3:/m);
    });
    for (const secret of ['', ':wrong-and-secret@']) {
      const error = await openRedisBackend({
        ...OPTIONS,
        url: `redis://${secret}127.0.0.1:${redis.port}`,
      }).catch((reason) => reason);
      expect(error).toMatchObject({
        name: 'RedisOpenError',
        message: expect.stringMatching(/refused the login \((WRONGPASS|NOAUTH)\)/),
      });
      expect(JSON.stringify([error.message, error.stack, error.cause])).not.toContain('secret');
    }
  });

  test('gives up when no server listens', async () => {
    await using redis = await startRedis();
    await redis.kill();
    const startedAt = performance.now();
    const error = await openRedisBackend({ ...OPTIONS, url: redis.url() }).catch((reason) => reason);
    expect(error).toMatchObject({
      name: 'RedisOpenError',
      message: expect.stringMatching(/refused.*Start Redis/),
    });
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });

  test('retries when the first connection breaks, as it does while Redis is starting', async () => {
    await using redis = await startRedis();
    let refused = 0;
    const proxy = createServer((client) => {
      if (refused++ < 2) return client.resetAndDestroy();
      client.pipe(connect(redis.port, '127.0.0.1')).pipe(client);
    });
    await once(proxy.listen(0, '127.0.0.1'), 'listening');
    const { port } = proxy.address() as AddressInfo;
    try {
      await withBackend(`redis://127.0.0.1:${port}`, async ({ client }) =>
        expect(await client.ping()).toBe('PONG'),
      );
    } finally {
      proxy.close();
    }
  });

  test.each([
    ['nothing if Redis syncs every write', ['appendonly yes', 'appendfsync always'], []],
    ['lost messages if Redis has no append-only file', ['appendonly no'], [/appendonly no.*lost/]],
    [
      'the loss of the last second if Redis syncs later',
      ['appendonly yes', 'appendfsync everysec'],
      [/appendfsync everysec.*lost/],
    ],
    [
      'lost messages if Redis evicts keys, even if it does not allow CONFIG',
      ['appendonly yes', 'maxmemory-policy allkeys-lru', 'rename-command CONFIG ""'],
      [/maxmemory-policy allkeys-lru.*lost/],
    ],
  ])('warns of %s', async (_what, config, warnings) => {
    await using redis = await startRedis(config);
    await withBackend(redis.url(), async (backend) => {
      expect(backend.warnings).toEqual(warnings.map((pattern) => expect.stringMatching(pattern)));
    });
  });

  test('leaves no connection open when it is closed', async () => {
    await using redis = await startRedis();
    await withBackend(redis.url(), async ({ queue }) => {
      await queue.push('a', { channel: 'a', afterMs: 0, priority: 'normal' });
      await queue.take('a', AbortSignal.timeout(2000));
    });
    await withBackend(redis.url(), async ({ client }) => {
      await expect
        .poll(async () => String(await client.client('LIST')).match(/name=outtray/g))
        .toHaveLength(2);
    });
  });

  test('delays do not depend on the wall clock of any instance', async () => {
    await using redis = await startRedis();
    await withBackend(redis.url(), async ({ queue, sharedState }) => {
      await queue.push('later', { channel: 'a', afterMs: 60_000, priority: 'high' });
      const before = sharedState.now();
      const now = Date.now;
      const clock = vi.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000);
      await queue.push('soon', { channel: 'a', afterMs: 30, priority: 'normal' });
      expect(await queue.take('a', AbortSignal.timeout(2000))).toBe('soon');
      await queue.retry('soon', 'a', 30);
      clock.mockImplementation(() => now() - 3_600_000);
      expect(await queue.take('a', AbortSignal.timeout(2000))).toBe('soon');
      expect(sharedState.now() - before).toBeLessThan(10_000);
    });
  });
});
