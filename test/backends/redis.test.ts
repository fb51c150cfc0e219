import { Command, Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openRedisBackend, type RedisBackend } from '../../src/adapters/redis/index.ts';
import { KEYS } from '../../src/adapters/redis/keys.ts';
import { ROW_BYTES } from '../../src/adapters/redis/store/search-rows.ts';
import { advance, amend, type Delivery } from '../../src/core/delivery/delivery.ts';
import type { DeliveryQuery } from '../../src/core/delivery/delivery-query.ts';
import { applyInbound } from '../../src/core/inbound/apply.ts';
import { ALL_MESSAGES } from '../../src/core/messages.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import type { SharedValue } from '../../src/core/ports/shared-state.ts';
import { HOUR } from '../../src/core/time.ts';
import { addUsage } from '../../src/core/usage.ts';
import { aDelivery, anAttempt } from '../helpers/delivery.ts';
import { aBounce } from '../helpers/inbound.ts';
import { hasRedis, type RedisServer, startRedis } from '../helpers/redis.ts';
import { backendContract } from './backend-contract.ts';
import { durabilityContract, type Storage } from './durability-contract.ts';
import { followUpContract } from './follow-up-contract.ts';
import { gmailVolumeContract } from './gmail-volume-contract.ts';
import { listContract } from './list-contract.ts';
import { multiInstanceContract } from './multi-instance-contract.ts';
import { outboxContract } from './outbox-contract.ts';
import { rateCounterContract } from './rate-counter-contract.ts';
import { become, NOON, statsContract } from './stats-contract.ts';
import { suppressionContract } from './suppression-contract.ts';
import {
  durableUsageContract,
  sharedUsageContract,
  upgradeContract,
  usageContract,
} from './usage-contract.ts';

const ROOMY = { maxMessages: 1000, maxBytes: 1e6, retainMs: 60_000 };
const PATIENT = { ...ROOMY, onAvailabilityChange() {} };
const QUICK = { absentAfterMs: 500, onAvailabilityChange() {} };
/** Long enough for an instance on a busy machine to renew its locks after Redis comes back. */
const SLOW_TO_LEAVE = { absentAfterMs: 5000 };
const NOW = { channel: 'bot@acme.com', afterMs: 0, priority: 'normal' } as const;
const SOON = { timeout: 8000 };

/**
 * Empties the script cache of Redis before each command of this backend, on the same connection.
 */
function withEmptyScriptCache(backend: RedisBackend): RedisBackend {
  const { client } = backend;
  const send = client.sendCommand.bind(client);
  client.sendCommand = (command, ...rest) => {
    const flush = new Command('script', ['FLUSH', 'SYNC']);
    flush.promise.catch(() => {});
    send(flush);
    return send(command, ...rest);
  };
  return backend;
}

describe.skipIf(!hasRedis)('with redis-server', () => {
  let server: RedisServer;
  let databases = 0;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const open = (limits: Partial<typeof ROOMY>): Promise<RedisBackend> =>
    openRedisBackend({ ...ROOMY, ...limits, url: server.url(databases++), onAvailabilityChange() {} });

  backendContract('redis', open);
  followUpContract('redis', open);
  listContract('redis', open);
  statsContract('redis', open);
  outboxContract('redis', open);
  suppressionContract('redis', async () => (await open({})).suppressions);
  rateCounterContract('redis', async () => (await open({})).rates);

  const share = (prepare: (backend: RedisBackend) => RedisBackend) => async () => {
    const url = server.url(databases++);
    const clients = new Map<Backend, RedisBackend['client']>();
    return {
      async join(limits: Partial<typeof ROOMY>) {
        const backend = prepare(await openRedisBackend({ ...ROOMY, ...QUICK, ...limits, url }));
        clients.set(backend, backend.client);
        return backend;
      },
      kill: (instance: Backend) => clients.get(instance)?.disconnect(),
      lockMs: QUICK.absentAfterMs,
      async [Symbol.asyncDispose]() {},
    };
  };
  multiInstanceContract(
    'redis',
    share((backend) => backend),
  );

  const FORGETFUL = 'redis with an empty script cache';
  backendContract(FORGETFUL, async (limits) => withEmptyScriptCache(await open(limits)));
  outboxContract(FORGETFUL, async (limits) => withEmptyScriptCache(await open(limits)));
  suppressionContract(FORGETFUL, async () => withEmptyScriptCache(await open({})).suppressions);
  multiInstanceContract(FORGETFUL, share(withEmptyScriptCache));

  const newDatabase = async () => {
    const url = server.url(databases++);
    return () => openRedisBackend({ ...PATIENT, url });
  };
  /** Stores a value under the key of version 0.1. */
  const storeFormer = ({ client }: RedisBackend, name: string, value: object) =>
    client.hset(KEYS.formerSharedValue(name), { revision: 7, value: JSON.stringify(value) });

  usageContract('redis', () => open({}));
  durableUsageContract('redis', newDatabase);
  sharedUsageContract('redis', newDatabase);
  gmailVolumeContract('redis', newDatabase, true);
  sharedUsageContract(FORGETFUL, async () => {
    const next = await newDatabase();
    return async () => withEmptyScriptCache(await next());
  });
  upgradeContract('redis', async (values) => {
    const next = await newDatabase();
    const former = await next();
    for (const [name, value] of Object.entries(values)) await storeFormer(former, name, value);
    await former.close();
    return next;
  });

  test('counts what a version without numbers has stored, once', async () => {
    const next = await newDatabase();
    const former = await next();
    const deliveries = Array.from({ length: 300 }, (_, i) =>
      aDelivery({ owner: i % 3 === 0 ? 'shop' : 'crm', createdAt: NOON - 1000 + i }),
    );
    for (const delivery of deliveries) await former.store.insert(delivery);
    for (const delivery of deliveries.slice(0, 250))
      await former.store.update(delivery, advance(delivery, 'expired', { finishedAt: NOON }));
    const expected = await Promise.all([null, 'crm', 'shop'].map((owner) => former.store.stats(owner, NOON)));
    expect(expected[0]?.byHour.at(-1)?.failed).toBe(250);
    for (const key of await former.client.keys('outtray:stats:*')) await former.client.del(key);
    for (const key of await former.client.keys(KEYS.delivery('*'))) await former.client.hdel(key, 'counted');
    for (let starts = 0; starts < 2; starts += 1) {
      const backend = await next();
      for (const [i, owner] of [null, 'crm', 'shop'].entries())
        expect(await backend.store.stats(owner, NOON)).toEqual(expected[i]);
      await backend.close();
    }
    await former.close();
  });

  test('counts a delivery once that settled and then bounced, also when all are counted', async () => {
    const next = await newDatabase();
    const first = await next();
    const delivery = aDelivery({ attempts: [anAttempt()] });
    const expired = advance(delivery, 'expired', { finishedAt: NOON });
    const bounced = applyInbound(expired, aBounce())?.delivery ?? expired;
    await first.store.insert(delivery);
    await first.store.update(delivery, expired);
    expect(await first.store.update(expired, bounced)).toBe(true);
    await first.client.del(KEYS.areCounted);
    const second = await next();
    await vi.waitFor(async () => expect(await second.client.exists(KEYS.areCounted)).toBe(1), SOON);
    expect((await second.store.stats(null, NOON)).byHour.at(-1)).toMatchObject({ failed: 1 });
    await Promise.all([first.close(), second.close()]);
  });

  test('counts a delivery once that is found in Sent Mail, also when all are counted', async () => {
    const next = await newDatabase();
    const first = await next();
    const delivery = aDelivery();
    await first.store.insert(delivery);
    const sending = await become(first.store, delivery, 'sending');
    const uncertain = await become(first.store, sending, 'uncertain', { finishedAt: NOON });
    const searched = amend(uncertain, {});
    await first.store.update(uncertain, searched);
    await become(first.store, searched, 'sent', { finishedAt: NOON });
    const counted = (await first.store.stats(null, NOON)).byHour.at(-1);
    await first.client.del(KEYS.areCounted);
    const second = await next();
    await vi.waitFor(async () => expect(await second.client.exists(KEYS.areCounted)).toBe(1), SOON);
    expect((await second.store.stats(null, NOON)).byHour.at(-1)).toEqual(counted);
    expect(counted).toMatchObject({ sent: 1, failed: 1 });
    await Promise.all([first.close(), second.close()]);
  });

  test('counts again what an instance of a version without numbers has changed', async () => {
    const { client, store, close } = await open({});
    const [first, second] = [aDelivery(), aDelivery()];
    for (const delivery of [first, second]) await store.insert(delivery);
    const sets = await client.keys('outtray:stats:waiting:*');
    const before = await Promise.all(sets.map((set) => client.zrange(set, '0', '-1')));
    await store.update(first, advance(first, 'canceled', { finishedAt: NOON }));
    await store.update(second, advance(second, 'sending'));
    for (const set of await client.keys('outtray:stats:waiting:*')) await client.del(set);
    for (const [i, set] of sets.entries())
      for (const member of before[i] ?? []) await client.zadd(set, '0', member);
    expect((await store.stats(null, NOON)).byStatus).toEqual({
      scheduled: 0,
      queued: 0,
      sending: 1,
      deferred: 0,
    });
    await close();
  });

  test('finds what a version without search rows has stored and changed', async () => {
    const { store, client, close } = await open({});
    const deliveries = Array.from({ length: 300 }, (_, i) =>
      aDelivery({ createdAt: NOON + i, owner: i === 0 ? 'rare' : 'crm' }),
    );
    await Promise.all(deliveries.map((delivery) => store.insert(delivery)));
    const [first, second] = deliveries as [Delivery, Delivery];
    const list = (query: Partial<DeliveryQuery>) =>
      store.list({ ...ALL_MESSAGES, owner: null, waitingAt: null, limit: 100, after: null, ...query });
    const countRows = () => Promise.all([client.hlen(KEYS.places), client.strlen(KEYS.searchRows)]);
    const written = await countRows();
    await client.set('rows', await client.getBuffer(KEYS.searchRows).then((rows) => rows ?? ''));
    // Such a version changes neither the rows nor their places.
    await client.del(KEYS.searchRows, KEYS.places);
    await client.hdel(KEYS.usage, 'places');
    expect(await list({ owner: 'rare' })).toHaveLength(1);
    await vi.waitFor(async () => expect(await countRows()).toEqual(written), SOON);
    await store.update(second, advance(second, 'canceled', { finishedAt: NOON }));
    await client.rename('rows', KEYS.searchRows);
    expect((await list({ statuses: ['canceled'] })).map(({ id }) => id)).toEqual([second.id]);
    expect((await list({ owner: 'rare' })).map(({ id }) => id)).toEqual([first.id]);
    await close();
  });

  test('uses the place of an expired delivery for the next one', async () => {
    const { store, client, close } = await open({ retainMs: 50 });
    for (let i = 0; i < 3; i += 1) {
      const delivery = aDelivery();
      await store.insert(delivery);
      await store.update(delivery, advance(delivery, 'canceled', { finishedAt: 5 }));
      await vi.waitFor(async () => expect(await client.exists(KEYS.timeline)).toBe(0), SOON);
    }
    expect(await client.strlen(KEYS.searchRows)).toBe(ROW_BYTES);
    expect(await client.hlen(KEYS.places)).toBe(0);
    await close();
  });

  test('an instance of version 0.1 keeps its own shared value for a day after the upgrade', async () => {
    const { client, sharedState, close } = await open({});
    const key = KEYS.formerSharedValue('a');
    await client.hset(key, { revision: 7, value: '{"count":3}' });
    const value = await sharedState.open<{ edits: number }>(
      'a',
      () => ({ edits: 0 }),
      () => ({ value: { edits: 3 }, usage: [] }),
    );
    expect(await value.change((draft) => ++draft.edits)).toBe(4);
    await client.hset(key, { revision: 8, value: '{"count":9}' });
    expect(await value.read()).toEqual({ edits: 4 });
    expect(await client.hgetall(key)).toEqual({ revision: '8', value: '{"count":9}' });
    expect(await client.ttl(key)).toBeGreaterThan(23 * 60 * 60);
    await close();
  });

  test('a shared value that Redis has lost is created again, and every instance sees the new one', async () => {
    const next = await newDatabase();
    const [one, other] = [await next(), await next()];
    const values = await Promise.all(
      [one, other].map(({ sharedState }) => sharedState.open('a', () => ({ count: 0 }))),
    );
    const count = (value: SharedValue<{ count: number }> | undefined) =>
      value?.change((draft, usage) => {
        addUsage(usage, { messages: 1, recipients: 1 }, one.sharedState.now());
        return ++draft.count;
      });
    for (let i = 0; i < 5; i++) await count(values[i % 2]);
    await one.client.flushdb();
    expect(await count(values[0])).toBe(1);
    expect(await count(values[1])).toBe(2);
    expect(await count(values[0])).toBe(3);
    for (const value of values) {
      await value.change(() => {});
      expect(value.usage).toMatchObject([{ messages: 3, recipients: 3 }]);
    }
    await Promise.all([one.close(), other.close()]);
  });

  test('a shared value that a failover takes back to an earlier one is seen as it is', async () => {
    const { client, sharedState, close } = await open({});
    const value = await sharedState.open('a', () => ({ count: 0 }));
    const count = (at: number) =>
      value.change((draft, usage) => {
        addUsage(usage, { messages: 1, recipients: 1 }, at);
        return ++draft.count;
      });
    await count(sharedState.now() - HOUR);
    await count(sharedState.now());
    const earlier = await client.dumpBuffer(KEYS.sharedValue('a'));
    await value.change((_draft, usage) => usage.splice(0, 1));
    await count(sharedState.now());
    await client.restore(KEYS.sharedValue('a'), 0, earlier, 'REPLACE');
    expect(await value.change((draft) => draft.count)).toBe(2);
    expect(value.usage).toMatchObject([{ messages: 1 }, { messages: 1 }]);
    await close();
  });

  test('returns the stored response of an idempotency key from version 0.1', async () => {
    const backend = await open({});
    const response = { status: 202, headers: {}, body: '{}' };
    await backend.client.hset(KEYS.claim('k'), {
      fingerprint: 'f',
      seed: 's',
      instance: '',
      answer: JSON.stringify(response),
    });
    await backend.client.hset(KEYS.claim('suspended'), { fingerprint: 'f', seed: 's', instance: '' });
    expect(await backend.idempotency.claim('k', 'f', 'crm')).toEqual({ kind: 'responded', response });
    expect(await backend.idempotency.claim('suspended', 'f', 'crm')).toEqual({ kind: 'new', seed: 's' });
    await backend.close();
  });

  test('executes a push that version 0.2 stored as pending before it died', async () => {
    const backend = await openRedisBackend({ ...ROOMY, ...QUICK, url: server.url(databases++) });
    const { store, queue, client } = backend;
    const delivery = aDelivery();
    await store.insert(delivery);
    await queue.done(delivery.id, delivery.account);
    const pending = { channel: delivery.account, priority: 'normal', dueAt: 0, writtenAt: 0 };
    await client.hset(KEYS.pendingPushes, delivery.id, JSON.stringify(pending));
    expect(await queue.take(delivery.account, AbortSignal.timeout(5000))).toBe(delivery.id);
    expect(await client.hlen(KEYS.pendingPushes)).toBe(0);
    await backend.close();
  });

  test('an id that an instance has taken is due at once when the instance closes', async () => {
    const url = server.url(databases++);
    const [one, other] = [
      await openRedisBackend({ ...PATIENT, url }),
      await openRedisBackend({ ...PATIENT, url }),
    ];
    await one.queue.push('a', NOW);
    await one.queue.take(NOW.channel, AbortSignal.timeout(2000));
    const taken = other.queue.take(NOW.channel, AbortSignal.timeout(2000));
    await one.close();
    expect(await taken).toBe('a');
    await other.close();
  });

  test('an id that is taken for a worker that does not come back is due for another instance', async () => {
    const url = server.url(databases++);
    const [one, other] = [
      await openRedisBackend({ ...PATIENT, url }),
      await openRedisBackend({ ...PATIENT, url }),
    ];
    const [first, second] = [aDelivery(), aDelivery()];
    for (const delivery of [first, second]) await one.store.insert(delivery);
    expect(await one.queue.take(NOW.channel, AbortSignal.timeout(2000))).toBe(first.id);
    const canceled = advance(first, 'canceled', { finishedAt: 5 });
    expect(await one.store.update(first, canceled, { kind: 'done' })).toBe(true);
    expect(await other.queue.take(NOW.channel, AbortSignal.timeout(2000))).toBe(second.id);
    await Promise.all([one.close(), other.close()]);
  });

  test('returns a taken delivery with its content, however large', async () => {
    const { store, queue, close } = await open({});
    for (const bytes of [1, 1e6]) {
      const delivery = aDelivery();
      if (delivery.content === null) throw new Error('the delivery has no content');
      await store.insert({ ...delivery, content: { ...delivery.content, text: 'ö'.repeat(bytes / 2) } });
      expect(await queue.take(delivery.account, AbortSignal.timeout(2000))).toBe(delivery.id);
      const stored = await store.get(delivery.id);
      expect([await store.getTaken(delivery.id), await store.getTaken(delivery.id)]).toEqual([
        stored,
        stored,
      ]);
    }
    await close();
  });

  test('removes an expired delivery from all of its keys', async () => {
    const { store, client, close } = await open({ retainMs: 50 });
    const delivery = aDelivery();
    await store.insert(delivery);
    await store.update(delivery, advance(delivery, 'canceled', { finishedAt: 5 }));
    await expect
      .poll(
        () =>
          Promise.all(
            [KEYS.timeline, KEYS.expiring, KEYS.delivery(delivery.id)].map((key) => client.exists(key)),
          ),
        SOON,
      )
      .toEqual([0, 0, 0]);
    await close();
  });

  describe('each on a separate Redis', () => {
    const servers: RedisServer[] = [];
    afterAll(() => Promise.all(servers.map((each) => each[Symbol.asyncDispose]())));

    // Redis is killed and restarted too before the storage is opened again.
    durabilityContract('redis', async () => {
      const redis = await startRedis(['appendonly yes', 'appendfsync always']);
      servers.push(redis);
      const clients: RedisBackend['client'][] = [];
      const storage: Storage = {
        async open(limits) {
          if (clients.length > 0) await redis.restart();
          const backend = await openRedisBackend({ ...QUICK, ...limits, url: redis.url() });
          clients.push(backend.client);
          return backend;
        },
        async afterCrash() {
          for (const client of clients) client.disconnect();
          return storage;
        },
      };
      return storage;
    });
  });

  // Each test waits for its own Redis to fail and come back. Unlike expect.poll, vi.waitFor works
  // in concurrent tests.
  describe('when Redis fails', { timeout: 60_000, concurrent: true }, () => {
    /** One call of each part of the backend. */
    const attempts = ({ store, queue, sharedState, idempotency, suppressions, outbox }: Backend) =>
      [
        () => store.insert(aDelivery()),
        () => store.get('msg_1'),
        () => queue.push('x', NOW),
        () => sharedState.open('b', () => ({})),
        () => idempotency.claim('k', 'f', 'crm'),
        () => suppressions.remove('ada@example.com'),
        () => outbox.remove('ntc_1'),
      ] as const;

    test.each([
      ['is gone', 1000, (redis: RedisServer) => redis.kill(), (redis: RedisServer) => redis.restart()],
      [
        'hangs',
        4000,
        async (redis: RedisServer) => redis.signal('SIGSTOP'),
        async (redis: RedisServer) => redis.signal('SIGCONT'),
      ],
    ])(
      'calls fail quickly while it %s, and taken ids can be finished when it is back',
      async (_how, withinMs, stop, start) => {
        await using redis = await startRedis(['appendonly yes', 'appendfsync always']);
        const [one, other] = [
          await openRedisBackend({ ...ROOMY, ...QUICK, ...SLOW_TO_LEAVE, url: redis.url() }),
          await openRedisBackend({ ...ROOMY, ...QUICK, ...SLOW_TO_LEAVE, url: redis.url() }),
        ];
        const delivery = aDelivery();
        await one.store.insert(delivery);
        await one.queue.push(delivery.id, NOW);
        await one.queue.take(NOW.channel, AbortSignal.timeout(2000));
        const waiting = other.queue.take(NOW.channel, AbortSignal.timeout(20_000));
        const shared = await one.sharedState.open('a', () => ({ count: 0 }));

        await stop(redis);
        const startedAt = performance.now();
        const outcomes = await Promise.allSettled(attempts(one).map((attempt) => attempt()));
        expect(performance.now() - startedAt).toBeLessThan(withinMs);
        expect(outcomes.map((each) => (each.status === 'rejected' ? each.reason.code : each))).toEqual(
          outcomes.map(() => 'queue_unavailable'),
        );
        await expect(shared.change((value) => ++value.count)).rejects.toMatchObject({
          code: 'queue_unavailable',
        });
        expect(one.store.refusalCode()).toBe('queue_unavailable');
        await expect(one.queue.done(delivery.id, NOW.channel)).rejects.toMatchObject({
          code: 'queue_unavailable',
        });

        await start(redis);
        await vi.waitFor(
          () => expect([one.store.refusalCode(), other.store.refusalCode()]).toEqual([null, null]),
          SOON,
        );
        expect(await one.store.update(delivery, advance(delivery, 'canceled', { finishedAt: 5 }))).toBe(true);
        await one.queue.done(delivery.id, NOW.channel);
        await one.queue.push('next', NOW);
        let taken = await waiting;
        // The failed push and insert may have reached Redis all the same.
        while (taken === 'x' || taken.startsWith('msg_'))
          taken = await other.queue.take(NOW.channel, AbortSignal.timeout(2000));
        expect(taken).toBe('next');
        await Promise.all([one.close(), other.close()]);
      },
    );

    test('a taken id stays taken when Redis was away for longer than locks last', async () => {
      await using redis = await startRedis(['appendonly yes', 'appendfsync always']);
      const [one, other] = [
        await openRedisBackend({ ...ROOMY, ...QUICK, url: redis.url() }),
        await openRedisBackend({ ...ROOMY, ...QUICK, url: redis.url() }),
      ];
      await one.queue.push('a', NOW);
      await one.queue.take(NOW.channel, AbortSignal.timeout(2000));
      const taken = other.queue
        .take(NOW.channel, AbortSignal.timeout(2 * QUICK.absentAfterMs + 3000))
        .catch(() => 'nothing');
      await redis.kill();
      const killedAt = performance.now();
      await vi.waitFor(
        () => expect(performance.now() - killedAt).toBeGreaterThan(1.5 * QUICK.absentAfterMs),
        SOON,
      );
      await redis.restart();
      expect(await taken).toBe('nothing');
      await one.queue.retry('a', NOW.channel, 0);
      expect(await other.queue.take(NOW.channel, AbortSignal.timeout(2000))).toBe('a');
      await Promise.all([one.close(), other.close()]);
    });

    test.each([
      ['is read-only', ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE']],
      ['is out of memory', ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0']],
    ] as const)(
      'reports without any call that it %s, and that it is available again',
      async (_what, degrade, restore) => {
        await using redis = await startRedis();
        const reports: boolean[] = [];
        const backend = await openRedisBackend({
          ...ROOMY,
          ...QUICK,
          url: redis.url(),
          onAvailabilityChange: (reason) => reports.push(reason !== null),
        });
        const operator = new Redis(redis.url());
        const sendCommand = (...[name, ...args]: readonly string[]) => operator.call(name as string, ...args);
        expect(backend.store.refusalCode()).toBeNull();
        await sendCommand(...degrade);
        await vi.waitFor(() => expect(backend.store.refusalCode()).toBe('queue_unavailable'), SOON);
        await expect(backend.store.insert(aDelivery())).rejects.toMatchObject({ code: 'queue_unavailable' });
        await sendCommand(...restore);
        await vi.waitFor(() => expect(backend.store.refusalCode()).toBeNull(), SOON);
        await backend.store.insert(aDelivery());
        expect([reports[0], reports.at(-1)]).toEqual([true, false]);

        operator.disconnect();
        await backend.close();
      },
    );
  });
});
