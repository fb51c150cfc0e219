import { describe, expect, test } from 'vitest';
import { advance, type Delivery } from '../../src/core/delivery/delivery.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aSuppression } from '../helpers/suppression.ts';
import { aNotice } from '../helpers/webhook-notice.ts';
import type { BackendLimits } from './backend-contract.ts';

const ROOMY: BackendLimits = { maxMessages: 1000, maxBytes: 1e6, retainMs: 60_000 };
const NOW = { channel: 'bot@acme.com', afterMs: 0, priority: 'normal' } as const;
const NEVER = new AbortController().signal;

/** A shared storage and the instances that use it. */
export interface Shared extends AsyncDisposable {
  /** Opens another instance. */
  join(limits: BackendLimits): Promise<Backend>;
  /** Cuts an instance off from the storage, as if it had died. */
  kill(instance: Backend): void;
  /** Time without a heartbeat after which an instance counts as dead, in ms. */
  readonly lockMs: number;
}

/** Tests of the contracts that backends with several instances must pass. */
export function multiInstanceContract(name: string, start: () => Promise<Shared>): void {
  interface Scene {
    readonly one: Backend;
    readonly other: Backend;
    readonly shared: Shared;
  }

  /** Runs the test with two instances, and closes them afterwards. */
  const withTwo = (limits: Partial<BackendLimits>, run: (scene: Scene) => Promise<void>) => async () => {
    await using shared = await start();
    const [one, other] = [
      await shared.join({ ...ROOMY, ...limits }),
      await shared.join({ ...ROOMY, ...limits }),
    ];
    try {
      await run({ one, other, shared });
    } finally {
      await Promise.all([one.close(), other.close()]);
    }
  };

  describe(`the shared queue of ${name}`, () => {
    test(
      'wakes the takers of another instance for new deliveries, each time that they have taken all',
      withTwo({}, async ({ one, other }) => {
        const startedAt = performance.now();
        for (let round = 0; round < 3; round += 1) {
          const taking = [other.queue.take(NOW.channel, NEVER), other.queue.take(NOW.channel, NEVER)];
          const deliveries = [aDelivery({ account: NOW.channel }), aDelivery({ account: NOW.channel })];
          for (const delivery of deliveries) await one.store.insert(delivery);
          const taken = await Promise.all(taking);
          expect(taken.toSorted()).toEqual(deliveries.map(({ id }) => id).toSorted());
          for (const id of taken) await other.queue.done(id, NOW.channel);
        }
        // Less than the interval at which takers look without being woken.
        expect(performance.now() - startedAt).toBeLessThan(4000);
      }),
    );
    test(
      'returns each id to one instance only',
      withTwo({}, async ({ one, other }) => {
        const ids = Array.from({ length: 200 }, (_, i) => `id-${i}`);
        const taken: string[] = [];
        const all = new AbortController();
        const work = async ({ queue }: Backend) => {
          while (taken.length < ids.length) {
            const id = await queue.take(NOW.channel, all.signal);
            taken.push(id);
            await queue.done(id, NOW.channel);
            if (taken.length === ids.length) all.abort();
          }
        };
        const workers = [one, other].flatMap((each) => [work(each), work(each), work(each)]);
        for (const [i, id] of ids.entries()) await (i % 2 ? one : other).queue.push(id, NOW);
        await Promise.allSettled(workers);
        expect(taken.toSorted()).toEqual(ids.toSorted());
      }),
    );

    test(
      'resolves a waiting take when another instance pushes an id',
      withTwo({}, async ({ one, other }) => {
        const taken = one.queue.take(NOW.channel, AbortSignal.timeout(2000));
        await other.queue.push('a', NOW);
        expect(await taken).toBe('a');
      }),
    );

    test(
      'returns an id taken by a dead instance to another instance, never one taken by a living instance',
      withTwo({}, async ({ one, other, shared }) => {
        await one.queue.push('a', NOW);
        expect(await one.queue.take(NOW.channel, NEVER)).toBe('a');
        await expect(other.queue.take(NOW.channel, AbortSignal.timeout(3 * shared.lockMs))).rejects.toThrow();
        shared.kill(one);
        expect(await other.queue.take(NOW.channel, AbortSignal.timeout(10_000))).toBe('a');
      }),
    );

    test(
      'removes and reschedules ids that another instance pushed',
      withTwo({}, async ({ one, other }) => {
        await one.queue.push('canceled', { ...NOW, afterMs: 20 });
        await one.queue.push('due', NOW);
        await one.queue.push('late', { ...NOW, afterMs: 60_000 });
        await other.queue.done('canceled', NOW.channel);
        await other.queue.done('due', NOW.channel);
        await one.queue.push('hasty', NOW);
        await other.queue.reschedule('hasty', NOW.channel, 80);
        await other.queue.reschedule('late', NOW.channel, 40);
        expect(await one.queue.take(NOW.channel, NEVER)).toBe('late');
        expect(await one.queue.take(NOW.channel, AbortSignal.timeout(2000))).toBe('hasty');
      }),
    );

    test(
      'hides a taken id from other instances, even if they push it, in any channel',
      withTwo({}, async ({ one, other }) => {
        const elsewhere = { ...NOW, channel: 'other@acme.com' };
        await one.queue.push('a', NOW);
        await one.queue.take(NOW.channel, NEVER);
        await other.queue.push('a', NOW);
        await other.queue.push('a', elsewhere);
        await other.queue.push('b', elsewhere);
        expect(await other.queue.take(elsewhere.channel, NEVER)).toBe('b');
        await other.queue.push('c', NOW);
        expect(await other.queue.take(NOW.channel, NEVER)).toBe('c');
        await one.queue.done('a', NOW.channel);
        expect(await other.queue.take(elsewhere.channel, AbortSignal.timeout(2000))).toBe('a');
      }),
    );

    test(
      'returns the id of an aborted take to another instance',
      withTwo({}, async ({ one, other }) => {
        await one.queue.push('a', NOW);
        const leaving = new AbortController();
        const left = one.queue.take(NOW.channel, leaving.signal);
        leaving.abort(new Error('gone'));
        await expect(left).rejects.toThrow('gone');
        expect(await other.queue.take(NOW.channel, AbortSignal.timeout(2000))).toBe('a');
      }),
    );

    test(
      'loses no id when takes are aborted at any moment',
      withTwo({}, async ({ one, other }) => {
        const ids = Array.from({ length: 100 }, (_, i) => `id-${i}`);
        const taken: string[] = [];
        const hasty = async ({ queue }: Backend) => {
          while (taken.length < ids.length) {
            const leaving = new AbortController();
            const take = queue.take(NOW.channel, leaving.signal).then((id) => taken.push(id));
            setImmediate(() => leaving.abort());
            await take.catch(() => {});
          }
        };
        const pushing = (async () => {
          for (const id of ids) await one.queue.push(id, NOW);
        })();
        await Promise.all([pushing, hasty(one), hasty(other)]);
        expect(taken.toSorted()).toEqual(ids.toSorted());
      }),
    );

    test(
      'pushes deliveries that an instance stored but died before pushing',
      withTwo({}, async ({ one, other, shared }) => {
        const [inserted, reopened] = [aDelivery(), aDelivery()];
        const expired = advance(reopened, 'expired', { finishedAt: 5 });
        await one.store.insert(reopened);
        await one.queue.push(reopened.id, NOW);
        await one.queue.done(reopened.id, NOW.channel);
        await one.store.update(reopened, expired);
        await one.store.update(expired, advance(expired, 'queued', { finishedAt: null }));
        await one.store.insert(inserted);
        shared.kill(one);
        const take = () => other.queue.take(inserted.account, AbortSignal.timeout(10_000));
        expect([await take(), await take()].toSorted()).toEqual([inserted.id, reopened.id].toSorted());
      }),
    );
  });

  describe(`the shared store of ${name}`, () => {
    test(
      'applies its limits to all instances together',
      withTwo({ maxMessages: 20 }, async ({ one, other }) => {
        const inserts = Array.from({ length: 40 }, (_, i) => (i % 2 ? one : other).store.insert(aDelivery()));
        const refused = (await Promise.allSettled(inserts)).filter(({ status }) => status === 'rejected');
        expect(refused).toHaveLength(20);
        await expect
          .poll(() => [one.store.refusalCode(), other.store.refusalCode()])
          .toEqual(['queue_full', 'queue_full']);
      }),
    );

    test(
      'applies one of two updates of the same revision, and returns the result to all instances',
      withTwo({}, async ({ one, other }) => {
        const delivery = aDelivery();
        await one.store.insert(delivery);
        const canceled = advance(delivery, 'canceled', { finishedAt: 5 });
        const updated = await Promise.all([
          one.store.update(delivery, canceled),
          other.store.update(delivery, advance(delivery, 'sending')),
        ]);
        expect(updated.filter(Boolean)).toHaveLength(1);
        expect(await one.store.get(delivery.id)).toEqual(await other.store.get(delivery.id));
      }),
    );

    test(
      'notifies other instances, and not the writer, of settled and deferred deliveries',
      withTwo({}, async ({ one, other }) => {
        const notified: Record<'here' | 'there', string[]> = { here: [], there: [] };
        one.store.onRemoteChange((id) => notified.here.push(id));
        other.store.onRemoteChange((id) => notified.there.push(id));
        const [settled, deferred, begun] = [aDelivery(), aDelivery(), aDelivery()];
        for (const delivery of [settled, deferred, begun]) await one.store.insert(delivery);
        await one.store.update(begun, advance(begun, 'sending'));
        await one.store.update(settled, advance(settled, 'canceled', { finishedAt: 5 }));
        await one.store.update(deferred, advance(deferred, 'deferred', { nextAttemptAt: 5 }));
        await expect.poll(() => notified).toEqual({ here: [], there: [settled.id, deferred.id] });
      }),
    );

    test(
      'iterates over unsettled deliveries of all instances',
      withTwo({}, async ({ one, other }) => {
        const delivery: Delivery = aDelivery();
        await one.store.insert(delivery);
        const ids: string[] = [];
        for await (const { id } of other.store.unsettled()) ids.push(id);
        expect(ids).toEqual([delivery.id]);
      }),
    );
  });

  describe(`the shared idempotency store of ${name}`, () => {
    test(
      'returns new to one of many concurrent claims, and its response to all instances',
      withTwo({}, async ({ one, other }) => {
        const claims = await Promise.all(
          Array.from({ length: 50 }, (_, i) => (i % 2 ? one : other).idempotency.claim('k', 'f', 'crm')),
        );
        expect(claims.filter(({ kind }) => kind === 'new')).toHaveLength(1);
        const claimant = claims.findIndex(({ kind }) => kind === 'new') % 2 ? one : other;
        const response = { status: 202, headers: {}, body: '{}' };
        const receipt = { ids: ['msg_1'], refused: [] };
        await claimant.idempotency.accept('k', receipt, response);
        for (const each of [one, other])
          expect(await each.idempotency.claim('k', 'f', 'crm')).toEqual({
            kind: 'accepted',
            receipt,
            response,
          });
      }),
    );

    test(
      'stores a response from another instance than the one that accepted the request',
      withTwo({}, async ({ one, other }) => {
        const receipt = { ids: ['msg_1'], refused: [] };
        const response = { status: 200, headers: {}, body: '{}' };
        await one.idempotency.claim('k', 'f', 'crm');
        await other.idempotency.accept('k', receipt, response);
        expect(await other.idempotency.claim('k', 'f', 'crm')).toEqual({ kind: 'in_progress' });
        await one.idempotency.accept('k', receipt, null);
        await other.idempotency.accept('k', receipt, response);
        expect(await one.idempotency.claim('k', 'f', 'crm')).toEqual({ kind: 'accepted', receipt, response });
      }),
    );

    test(
      'returns the claim of a dead instance as new with the same seed, never that of a living instance',
      withTwo({}, async ({ one, other, shared }) => {
        const first = await one.idempotency.claim('k', 'f', 'crm');
        await expect(
          expect
            .poll(async () => (await other.idempotency.claim('k', 'f', 'crm')).kind, {
              timeout: 3 * shared.lockMs,
            })
            .toBe('new'),
        ).rejects.toThrow();
        shared.kill(one);
        expect(await other.idempotency.claim('k', 'g', 'crm')).toEqual({ kind: 'mismatch' });
        await expect.poll(() => other.idempotency.claim('k', 'f', 'crm'), { timeout: 10_000 }).toEqual(first);
        expect(await other.idempotency.claim('k', 'f', 'crm')).toEqual({ kind: 'in_progress' });
      }),
    );
  });

  describe(`other shared data of ${name}`, () => {
    test(
      'shared values lose no concurrent change of any instance',
      withTwo({}, async ({ one, other }) => {
        const values = await Promise.all(
          [one, other].map((each) =>
            each.sharedState.open('a', () => ({ count: 0, by: {} as Record<string, number> })),
          ),
        );
        const change = (i: number) =>
          values[i % 2]?.change((value) => {
            value.by[i] = i;
            return ++value.count;
          });
        const results = await Promise.all(Array.from({ length: 300 }, (_, i) => change(i)));
        expect(new Set(results).size).toBe(300);
        for (const value of values) expect(Object.keys((await value.read()).by)).toHaveLength(300);
      }),
    );

    test(
      'concurrent changes of a shared value each have their notice once',
      withTwo({}, async ({ one, other }) => {
        const values = await Promise.all(
          [one, other].map((each) => each.sharedState.open('a', () => ({ count: 0 }))),
        );
        const change = (i: number) =>
          values[i % 2]?.change((value, _usage, notices) => {
            notices.push(aNotice({ about: String(++value.count) }));
          });
        await Promise.all(Array.from({ length: 100 }, (_, i) => change(i)));
        const counts: number[] = [];
        for await (const { about } of one.outbox.pending()) counts.push(Number(about));
        expect(counts.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
      }),
    );

    test(
      'shared values survive when all instances have closed',
      withTwo({}, async ({ one, other, shared }) => {
        await (await one.sharedState.open('a', () => ({ count: 0 }))).change((value) => ++value.count);
        await Promise.all([one.close(), other.close()]);
        const later = await shared.join(ROOMY);
        expect((await later.sharedState.open('a', () => ({ count: 0 }))).value).toEqual({ count: 1 });
        await later.close();
      }),
    );

    test(
      'the clocks of all instances agree',
      withTwo({}, async ({ one, other }) => {
        expect(one.sharedState.shared).toBe(true);
        expect(Math.abs(one.sharedState.now() - other.sharedState.now())).toBeLessThan(50);
      }),
    );

    test(
      'all instances see the same suppressions and notices',
      withTwo({}, async ({ one, other }) => {
        const [suppression, notice] = [aSuppression('ada@example.com'), aNotice()];
        await one.suppressions.replace(null, suppression);
        await one.outbox.put(notice);
        expect(await other.suppressions.replace(null, suppression)).toBe(false);
        expect([await other.suppressions.get('ada@example.com'), await other.outbox.get(notice.id)]).toEqual([
          suppression,
          notice,
        ]);
        await other.outbox.remove(notice.id);
        expect(await one.outbox.get(notice.id)).toBeNull();
      }),
    );
  });
}
