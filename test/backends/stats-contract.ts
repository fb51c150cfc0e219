import { describe, expect, test } from 'vitest';
import {
  advance,
  amend,
  type Delivery,
  type DeliveryPatch,
  type Status,
} from '../../src/core/delivery/delivery.ts';
import type { DeliveryStats } from '../../src/core/delivery/delivery-stats.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import { HOUR } from '../../src/core/time.ts';
import { aDelivery } from '../helpers/delivery.ts';
import type { BackendLimits } from './backend-contract.ts';

const ROOMY: BackendLimits = { maxMessages: 1000, maxBytes: 1e7, retainMs: 60_000 };
/** The middle of an hour, so that no test spans two. */
export const NOON = Math.floor(Date.now() / HOUR) * HOUR + HOUR / 2;
const NONE = { scheduled: 0, queued: 0, sending: 0, deferred: 0 };

/** Tests of the numbers that every backend must return. */
export function statsContract(name: string, open: (limits: BackendLimits) => Promise<Backend>): void {
  const withBackend =
    (run: (backend: Backend) => Promise<void>, limits: Partial<BackendLimits> = {}) =>
    async () => {
      const backend = await open({ ...ROOMY, ...limits });
      try {
        await run(backend);
      } finally {
        await backend.close();
      }
    };

  describe(`the numbers of ${name}`, () => {
    test(
      'are zero without deliveries, for 24 hours that end with the current one',
      withBackend(async ({ store }) => {
        const { byStatus, oldestDueAt, byHour } = await store.stats(null, NOON);
        expect([byStatus, oldestDueAt]).toEqual([NONE, null]);
        expect(byHour).toHaveLength(24);
        expect(byHour.at(0)).toEqual({ hour: NOON - HOUR / 2 - 23 * HOUR, sent: 0, failed: 0 });
        expect(byHour.at(-1)).toEqual({ hour: NOON - HOUR / 2, sent: 0, failed: 0 });
      }),
    );

    test(
      'follow a delivery through every status, for its owner and for all',
      withBackend(async ({ store }) => {
        const delivery = aDelivery({ owner: 'shop', status: 'scheduled', scheduledAt: NOON });
        await store.insert(delivery);
        await store.insert(aDelivery());
        let current: Delivery = delivery;
        for (const status of ['queued', 'sending', 'deferred', 'queued', 'sending'] as const) {
          expect((await store.stats('shop', NOON)).byStatus).toEqual({ ...NONE, [current.status]: 1 });
          current = await become(store, current, status);
        }
        expect((await store.stats(null, NOON)).byStatus).toEqual({ ...NONE, queued: 1, sending: 1 });
        await become(store, current, 'sent', { finishedAt: NOON });
        expect((await store.stats('shop', NOON)).byStatus).toEqual(NONE);
        expect((await store.stats(null, NOON)).byStatus).toEqual({ ...NONE, queued: 1 });
        expect(await lastHours('shop', store)).toEqual([{ sent: 1, failed: 0 }]);
        expect(await lastHours('crm', store)).toEqual([{ sent: 0, failed: 0 }]);
        expect((await store.stats('unknown', NOON)).byStatus).toEqual(NONE);
      }),
    );

    test(
      'count a change that was refused because of its revision not at all',
      withBackend(async ({ store }) => {
        const delivery = aDelivery();
        await store.insert(delivery);
        await store.insert(delivery);
        const changes = [advance(delivery, 'canceled', { finishedAt: NOON }), advance(delivery, 'sending')];
        await Promise.all(changes.map((to) => store.update(delivery, to)));
        const stored = (await store.get(delivery.id))?.status;
        expect((await store.stats(null, NOON)).byStatus).toEqual({
          ...NONE,
          sending: stored === 'sending' ? 1 : 0,
        });
      }),
    );

    test(
      'count what settles as sent or failed in the hour in which it settles',
      withBackend(async ({ store }) => {
        const settle = async (status: Status, finishedAt: number) => {
          const delivery = aDelivery();
          await store.insert(delivery);
          const sending = ['expired', 'canceled'].includes(status)
            ? delivery
            : await become(store, delivery, 'sending');
          await become(store, sending, status, { finishedAt });
        };
        for (const status of [
          'sent',
          'partially_sent',
          'sent',
          'failed',
          'uncertain',
          'expired',
          'canceled',
        ] as const)
          await settle(status, NOON);
        await settle('failed', NOON - HOUR);
        await settle('sent', NOON - 23 * HOUR);
        await settle('sent', NOON - 24 * HOUR);
        const { byHour } = await store.stats(null, NOON);
        expect(byHour.filter(({ sent, failed }) => sent + failed > 0)).toEqual([
          { hour: hourOf(NOON - 23 * HOUR), sent: 1, failed: 0 },
          { hour: hourOf(NOON - HOUR), sent: 0, failed: 1 },
          { hour: hourOf(NOON), sent: 3, failed: 3 },
        ]);
        expect((await store.stats(null, NOON + 23 * HOUR)).byHour.at(0)).toEqual({
          hour: hourOf(NOON),
          sent: 3,
          failed: 3,
        });
      }),
    );

    test(
      'count a delivery again that is retried, in the queue and when it settles',
      withBackend(async ({ store }) => {
        const delivery = aDelivery();
        await store.insert(delivery);
        let current = await become(store, delivery, 'sending');
        for (let i = 0; i < 3; i += 1) {
          current = await become(store, current, 'failed', { finishedAt: NOON });
          current = await become(store, current, 'queued', { finishedAt: null });
          expect((await store.stats(null, NOON)).byStatus).toEqual({ ...NONE, queued: 1 });
          current = await become(store, current, 'sending');
        }
        await become(store, current, 'sent', { finishedAt: NOON });
        expect(await lastHours(null, store)).toEqual([{ sent: 1, failed: 3 }]);
        expect((await store.stats(null, NOON)).byStatus).toEqual(NONE);
      }),
    );

    test(
      'have the time since which the oldest delivery waits',
      withBackend(async ({ store }) => {
        const [at, later] = [NOON - 5 * HOUR, NOON + HOUR];
        const old = aDelivery({ createdAt: at + 3000 });
        const planned = aDelivery({ status: 'scheduled', createdAt: at, scheduledAt: later });
        const due = aDelivery({ status: 'scheduled', createdAt: at, scheduledAt: at + 2000 });
        const other = aDelivery({ owner: 'shop', createdAt: at + 1000 });
        await store.insert(planned);
        expect((await store.stats(null, NOON)).oldestDueAt).toBeNull();
        expect((await store.stats(null, later)).oldestDueAt).toBe(later);
        for (const delivery of [old, due, other]) await store.insert(delivery);
        const oldest = async (owner: string | null) => (await store.stats(owner, NOON)).oldestDueAt;
        expect([await oldest(null), await oldest('crm'), await oldest('shop')]).toEqual([
          at + 1000,
          at + 2000,
          at + 1000,
        ]);
        await become(store, other, 'canceled', { finishedAt: NOON });
        const moved = amend(due, { scheduledAt: later });
        await store.update(due, moved);
        expect([await oldest(null), await oldest('shop')]).toEqual([at + 3000, null]);
        await store.update(moved, amend(moved, { scheduledAt: at + 10 }));
        expect(await oldest(null)).toBe(at + 10);
      }),
    );

    test(
      'keep counting deliveries that RETAIN has removed',
      withBackend(
        async ({ store }) => {
          const delivery = aDelivery();
          await store.insert(delivery);
          await become(store, delivery, 'expired', { finishedAt: NOON });
          await expect.poll(() => store.get(delivery.id)).toBeNull();
          expect(await lastHours(null, store)).toEqual([{ sent: 0, failed: 1 }]);
        },
        { retainMs: 20 },
      ),
    );

    test(
      'are those of the deliveries themselves after many random changes',
      withBackend(async ({ store }) => {
        const expected = await changeAtRandom(store, 40, 200);
        for (const owner of [null, 'crm', 'shop'])
          expect(await store.stats(owner, NOON)).toEqual(expected(owner));
      }),
    );
  });
}

/** Stores the delivery in another status, and returns it. */
export async function become(
  store: Backend['store'],
  delivery: Delivery,
  status: Status,
  patch: DeliveryPatch = {},
): Promise<Delivery> {
  const next = advance(delivery, status, patch);
  expect(await store.update(delivery, next)).toBe(true);
  return next;
}

/** The numbers of the hours in which something has settled, or of the last hour. */
async function lastHours(owner: string | null, store: Backend['store']) {
  const { byHour } = await store.stats(owner, NOON);
  const busy = byHour.filter(({ sent, failed }) => sent + failed > 0);
  return (busy.length > 0 ? busy : byHour.slice(-1)).map(({ sent, failed }) => ({ sent, failed }));
}

function hourOf(at: number): number {
  return Math.floor(at / HOUR) * HOUR;
}

const STEPS: Readonly<Partial<Record<Status, readonly Status[]>>> = {
  scheduled: ['queued', 'canceled'],
  queued: ['sending', 'deferred', 'expired'],
  sending: ['sent', 'partially_sent', 'deferred', 'failed', 'uncertain'],
  deferred: ['queued', 'failed', 'sent'],
  failed: ['queued'],
  uncertain: ['queued', 'sent', 'partially_sent'],
  expired: ['queued'],
};

/**
 * Inserts deliveries and changes them at random, several at a time. Returns a function that counts
 * them one by one.
 */
export async function changeAtRandom(
  store: Backend['store'],
  count: number,
  changes: number,
): Promise<(owner: string | null) => DeliveryStats> {
  const settlements: { owner: string; status: Status; finishedAt: number }[] = [];
  const pick = <Item>(items: readonly Item[]): Item =>
    items[Math.floor(Math.random() * items.length)] as Item;
  const all = Array.from({ length: count }, (_, i) =>
    aDelivery({
      owner: pick(['crm', 'shop']),
      createdAt: NOON - 3 * HOUR + i * 1000,
      ...(Math.random() < 0.3 && { status: 'scheduled', scheduledAt: NOON - 2 * HOUR + i }),
    }),
  );
  await Promise.all(all.map((delivery) => store.insert(delivery)));
  const change = async (index: number) => {
    const delivery = all[index] as Delivery;
    const steps = STEPS[delivery.status];
    if (steps === undefined) return;
    const status = pick(steps);
    const finishedAt = ['queued', 'sending', 'deferred'].includes(status)
      ? null
      : NOON - pick([0, 1, 30]) * HOUR;
    all[index] = await become(store, delivery, status, { finishedAt });
    if (finishedAt !== null) settlements.push({ owner: delivery.owner, status, finishedAt });
  };
  for (let i = 0; i < changes; i += 10) {
    const indexes = new Set(Array.from({ length: 10 }, () => Math.floor(Math.random() * count)));
    await Promise.all([...indexes].map(change));
  }
  return (owner) => {
    const own = <Item extends { readonly owner: string }>(items: readonly Item[]) =>
      items.filter((item) => owner === null || item.owner === owner);
    const waiting = own(all).filter(({ status }) => status in NONE);
    const dueAt = Math.min(
      ...waiting.map(({ createdAt, scheduledAt }) => Math.max(createdAt, scheduledAt ?? 0)),
    );
    const inHour = (hour: number, statuses: readonly Status[]) =>
      own(settlements).filter((each) => hourOf(each.finishedAt) === hour && statuses.includes(each.status))
        .length;
    return {
      byStatus: {
        scheduled: waiting.filter(({ status }) => status === 'scheduled').length,
        queued: waiting.filter(({ status }) => status === 'queued').length,
        sending: waiting.filter(({ status }) => status === 'sending').length,
        deferred: waiting.filter(({ status }) => status === 'deferred').length,
      },
      oldestDueAt: Number.isFinite(dueAt) ? dueAt : null,
      byHour: Array.from({ length: 24 }, (_, i) => {
        const hour = hourOf(NOON) - (23 - i) * HOUR;
        return {
          hour,
          sent: inHour(hour, ['sent', 'partially_sent']),
          failed: inHour(hour, ['failed', 'uncertain', 'expired']),
        };
      }),
    };
  };
}
