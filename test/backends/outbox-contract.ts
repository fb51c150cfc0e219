import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { advance, amend, type Delivery } from '../../src/core/delivery/delivery.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import type { Notice, NoticeQuery } from '../../src/core/ports/outbox.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aNotice } from '../helpers/webhook-notice.ts';

const ROOMY = { maxMessages: 1000, maxBytes: 1e6, retainMs: 60_000 };
const MORE_THAN_FITS = 200;

interface ChangeScene extends Pick<Backend, 'outbox' | 'store' | 'queue' | 'sharedState'> {
  readonly from: Delivery;
  readonly to: Delivery;
  readonly dropped: readonly string[];
}

/**
 * Tests of the Outbox contract. `maxMessages` and `maxBytes` are the limits of the backend, which
 * derives those of the outbox from them.
 */
export function outboxContract(
  name: string,
  open: (
    limits: typeof ROOMY,
  ) => Promise<Pick<Backend, 'outbox' | 'store' | 'queue' | 'sharedState' | 'close'>>,
): void {
  const withOutbox =
    (limits: Partial<typeof ROOMY>, run: (outbox: Backend['outbox']) => Promise<void>) => async () => {
      const { outbox, close } = await open({ ...ROOMY, ...limits });
      try {
        await run(outbox);
      } finally {
        await close();
      }
    };

  /**
   * Runs a test with a stored delivery, its next revision, and the ids of the notices that were
   * dropped.
   */
  const withChange =
    (limits: Partial<typeof ROOMY>, run: (scene: ChangeScene) => Promise<void>) => async () => {
      const { outbox, store, queue, sharedState, close } = await open({ ...ROOMY, ...limits });
      const dropped: string[] = [];
      outbox.onDropped(({ id }) => dropped.push(id));
      try {
        const from = await store.insert(aDelivery());
        const to = advance(from, 'canceled', { finishedAt: 1 });
        await run({ outbox, store, queue, sharedState, from, to, dropped });
      } finally {
        await close();
      }
    };

  async function idsIn(outbox: Backend['outbox']): Promise<string[]> {
    const ids: string[] = [];
    for await (const { id } of outbox.pending()) ids.push(id);
    return ids.toSorted();
  }

  /** Puts notices for an endpoint until one is refused. Returns the accepted ones. */
  async function fill(outbox: Backend['outbox'], patch: Partial<Notice>): Promise<Notice[]> {
    const accepted: Notice[] = [];
    for (let i = 0; i < MORE_THAN_FITS; i++) {
      const notice = aNotice(patch);
      if (!(await outbox.put(notice))) return accepted;
      accepted.push(notice);
    }
    throw new Error('the outbox is not bounded');
  }

  describe(`the outbox of ${name}`, () => {
    test(
      'returns a notice as it was put or replaced, until it is removed',
      withOutbox({}, async (outbox) => {
        const notice = aNotice();
        expect(await outbox.put(notice)).toBe(true);
        expect(await outbox.get(notice.id)).toEqual(notice);
        const again = { ...notice, failures: 1, retriedForMs: 5000 };
        expect(await outbox.put(again)).toBe(true);
        expect(await outbox.get(notice.id)).toEqual(again);
        await outbox.remove(notice.id);
        await outbox.remove(notice.id);
        expect(await outbox.get(notice.id)).toBeNull();
      }),
    );

    test(
      'iterates over all pending notices',
      withOutbox({}, async (outbox) => {
        const [first, second, third] = [aNotice(), aNotice({ url: 'https://b.test/' }), aNotice()];
        for (const notice of [first, second, third]) await outbox.put(notice);
        await outbox.remove(second.id);
        expect(await idsIn(outbox)).toEqual([first.id, third.id].toSorted());
      }),
    );

    test(
      'has and queues the notices of a change, once the change is stored',
      withChange({}, async ({ outbox, store, queue, from, to, dropped }) => {
        const notices = [aNotice(), aNotice({ url: 'https://b.test/', key: 'crm' })];
        expect(await store.update(from, to, { kind: 'done' }, notices)).toBe(true);
        for (const notice of notices) {
          expect(await outbox.get(notice.id)).toEqual(notice);
          expect(await queue.take(`webhook:${notice.url}`, AbortSignal.timeout(5000))).toBe(notice.id);
        }
        expect(await store.get(to.id)).toMatchObject({ status: 'canceled' });
        expect(dropped).toEqual([]);
      }),
    );

    test(
      'has and queues the notices of a change of a shared value, and drops and reports one without capacity',
      withChange({ maxMessages: 4 }, async ({ outbox, queue, sharedState, dropped }) => {
        const full = await fill(outbox, {});
        const [none, other] = [aNotice(), aNotice({ url: 'https://up.test/' })];
        const value = await sharedState.open('account:a', () => ({ count: 0 }));
        const result = await value.change((draft, _usage, notices) => {
          notices.push(none, other);
          return ++draft.count;
        });
        expect([result, value.value]).toEqual([1, { count: 1 }]);
        expect(await queue.take(`webhook:${other.url}`, AbortSignal.timeout(5000))).toBe(other.id);
        await vi.waitFor(() => expect(dropped).toEqual([none.id]));
        expect(await outbox.get(other.id)).toEqual(other);
        expect(await idsIn(outbox)).toEqual([...full.map(({ id }) => id), other.id].toSorted());
      }),
    );

    test(
      'has no notice of a change that is not stored',
      withChange({}, async ({ outbox, store, from, to }) => {
        expect(await store.update(to, amend(to, {}), null, [aNotice()])).toBe(false);
        expect(await idsIn(outbox)).toEqual([]);
        const notice = aNotice();
        const both = [1, 2].map(() => store.update(from, to, { kind: 'done' }, [notice]));
        expect((await Promise.all(both)).toSorted()).toEqual([false, true]);
        expect(await idsIn(outbox)).toEqual([notice.id]);
      }),
    );

    test(
      'drops and reports a notice without capacity, and the change is stored',
      withChange({ maxMessages: 4 }, async ({ outbox, store, from, to, dropped }) => {
        const full = await fill(outbox, {});
        const [none, other] = [aNotice(), aNotice({ url: 'https://up.test/' })];
        expect(await store.update(from, to, { kind: 'done' }, [none, other])).toBe(true);
        expect(dropped).toEqual([none.id]);
        expect(await idsIn(outbox)).toEqual([...full.map(({ id }) => id), other.id].toSorted());
        expect(await store.get(to.id)).toMatchObject({ status: 'canceled' });
      }),
    );

    test(
      'queues a notice that was put, and does not queue it again when it is replaced',
      withChange({}, async ({ outbox, queue }) => {
        const [first, second] = [aNotice(), aNotice()];
        await outbox.put(first);
        const channel = `webhook:${first.url}`;
        expect(await queue.take(channel, AbortSignal.timeout(5000))).toBe(first.id);
        await outbox.put({ ...first, failures: 1 });
        await queue.retry(first.id, channel, 60_000);
        await outbox.put(second);
        expect(await queue.take(channel, AbortSignal.timeout(5000))).toBe(second.id);
        await expect(queue.take(channel, AbortSignal.timeout(200))).rejects.toThrow();
      }),
    );

    test.each([
      ['number', { maxMessages: 4 }, {}],
      ['bytes', { maxBytes: 20_000 }, { body: 'x'.repeat(1000) }],
    ])(
      'refuses another notice beyond its maximum %s, still replaces one, and accepts another after a removal',
      async (_what, limits, patch) =>
        withOutbox(limits, async (outbox) => {
          const accepted = await fill(outbox, patch);
          const [first] = accepted;
          if (!first) throw new Error('the outbox accepted no notice');
          expect(await idsIn(outbox)).toEqual(accepted.map(({ id }) => id).toSorted());
          expect(await outbox.put({ ...first, failures: 1 })).toBe(true);
          expect(await outbox.put(aNotice(patch))).toBe(false);
          await outbox.remove(first.id);
          expect(await outbox.put(aNotice(patch))).toBe(true);
          expect(await outbox.put(aNotice(patch))).toBe(false);
        })(),
    );

    const failedOf = (notice: Notice, finishedAt = 5): Notice => ({
      ...notice,
      failures: 3,
      reason: 'HTTP 503',
      finishedAt,
    });

    test(
      'keeps a failed notice apart from the waiting ones, until it is replayed',
      withChange({}, async ({ outbox, queue }) => {
        const notice = aNotice();
        await outbox.put(notice);
        const channel = `webhook:${notice.url}`;
        await queue.take(channel, AbortSignal.timeout(5000));
        await outbox.fail(failedOf(notice));
        await queue.done(notice.id, channel);
        expect(await outbox.get(notice.id)).toBeNull();
        expect(await outbox.find(notice.id)).toEqual(failedOf(notice));
        expect(await idsIn(outbox)).toEqual([]);
        await outbox.remove(notice.id);
        expect(await outbox.replay(notice)).toBe(true);
        expect(await outbox.get(notice.id)).toEqual(notice);
        expect(await queue.take(channel, AbortSignal.timeout(5000))).toBe(notice.id);
        expect(await outbox.replay(notice)).toBe(false);
        await outbox.remove(notice.id);
        await outbox.fail(failedOf(notice));
        expect(await outbox.find(notice.id)).toBeNull();
      }),
    );

    test(
      'lists waiting and failed notices, newest first, by page and filter',
      withOutbox({}, async (outbox) => {
        const notices = [1, 2, 3, 4, 5].map((createdAt) =>
          aNotice({
            createdAt,
            about: createdAt < 3 ? 'msg_a' : 'msg_b',
            ...(createdAt % 2 && { key: 'crm' }),
          }),
        );
        for (const notice of notices) await outbox.put(notice);
        const [, second, , fourth] = notices;
        for (const notice of [second, fourth]) if (notice) await outbox.fail(failedOf(notice));
        const list = async (query: Partial<NoticeQuery>) => {
          const found: number[] = [];
          for (let after: string | null = null; ; ) {
            const page = await outbox.list({
              key: null,
              about: null,
              status: null,
              limit: 2,
              after,
              ...query,
            });
            found.push(...page.map(({ notice }) => notice.createdAt));
            if (page.length < 2) return found;
            after = page.at(-1)?.position ?? null;
          }
        };
        expect(await list({})).toEqual([5, 4, 3, 2, 1]);
        expect(await list({ status: 'failed' })).toEqual([4, 2]);
        expect(await list({ status: 'waiting' })).toEqual([5, 3, 1]);
        expect(await list({ about: 'msg_a' })).toEqual([2, 1]);
        expect(await list({ key: 'crm', about: 'msg_b' })).toEqual([5, 3]);
      }),
    );

    test(
      'drops the oldest failed notices for waiting ones, and never a waiting one',
      withOutbox({ maxMessages: 4 }, async (outbox) => {
        const failed = await fill(outbox, {});
        for (const notice of failed) {
          await outbox.fail(failedOf(notice));
          // Those that fail in the same millisecond have no order.
          await delay(2);
        }
        const waiting = await fill(outbox, {});
        expect(waiting).toHaveLength(failed.length);
        const other = await fill(outbox, { url: 'https://b.test/' });
        const kept: boolean[] = [];
        for (const { id } of failed) kept.push((await outbox.find(id)) !== null);
        const dropped = kept.indexOf(true);
        expect(dropped).toBeGreaterThan(0);
        expect(kept.slice(dropped)).not.toContain(false);
        expect(await idsIn(outbox)).toEqual([...waiting, ...other].map(({ id }) => id).toSorted());
      }),
    );

    test(
      'keeps a failed notice for RETAIN',
      withOutbox({ retainMs: 300 }, async (outbox) => {
        const notice = aNotice();
        await outbox.put(notice);
        await outbox.fail(failedOf(notice));
        const list = () => outbox.list({ key: null, about: null, status: null, limit: 10, after: null });
        expect(await list()).toHaveLength(1);
        await vi.waitFor(async () => expect(await list()).toEqual([]), 10_000);
        expect(await outbox.replay(notice)).toBe(false);
      }),
    );

    test.each([
      ['number', { maxMessages: 8 }, {}],
      ['bytes', { maxBytes: 40_000 }, { body: 'x'.repeat(1000) }],
    ])(
      'leaves capacity for other endpoints when two use all they can of its %s',
      async (_what, limits, patch) =>
        withOutbox(limits, async (outbox) => {
          for (const url of ['https://down.test/', 'https://down-too.test/']) {
            expect((await fill(outbox, { ...patch, url })).length).toBeGreaterThan(0);
          }
          expect(await outbox.put(aNotice({ ...patch, url: 'https://up.test/' }))).toBe(true);
        })(),
    );
  });
}
