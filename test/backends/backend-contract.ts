import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { advance, amend, type Delivery } from '../../src/core/delivery/delivery.ts';
import { ANY_DELIVERY, type DeliveryQuery } from '../../src/core/delivery/delivery-query.ts';
import { mailboxChannel } from '../../src/core/delivery/lookup.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import { aDelivery, aLookup, aTrace } from '../helpers/delivery.ts';
import { NOON } from './stats-contract.ts';

export interface BackendLimits {
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
  readonly retainContentMs?: number;
}

const ROOMY: BackendLimits = { maxMessages: 1000, maxBytes: 1e6, retainMs: 60_000 };
const ALL: DeliveryQuery = { ...ANY_DELIVERY, limit: 100, after: null };
const NOW = { channel: 'bot@acme.com', afterMs: 0, priority: 'normal' } as const;
const HIGH = { ...NOW, priority: 'high' } as const;

/** Tests of the contracts in core/ports that every backend must pass. */
export function backendContract(name: string, open: (limits: BackendLimits) => Promise<Backend>): void {
  /** Runs the test with a backend, and closes it afterwards. */
  const withBackend =
    (limits: Partial<BackendLimits>, run: (backend: Backend) => Promise<void>) => async () => {
      const backend = await open({ ...ROOMY, ...limits });
      try {
        await run(backend);
      } finally {
        await backend.close();
      }
    };
  const never = new AbortController().signal;

  describe(`the queue of ${name}`, () => {
    test(
      'returns due ids in the order they were pushed',
      withBackend({}, async ({ queue }) => {
        for (const id of ['a', 'b', 'c']) await queue.push(id, NOW);
        expect([
          await queue.take(NOW.channel, never),
          await queue.take(NOW.channel, never),
          await queue.take(NOW.channel, never),
        ]).toEqual(['a', 'b', 'c']);
      }),
    );

    test(
      'returns ids of high priority first',
      withBackend({}, async ({ queue }) => {
        await queue.push('normal', NOW);
        await queue.push('high', HIGH);
        expect(await queue.take(NOW.channel, never)).toBe('high');
        expect(await queue.take(NOW.channel, never)).toBe('normal');
      }),
    );

    test(
      'returns an id no sooner than it is due, and ids in the order they become due',
      withBackend({}, async ({ queue }) => {
        const pushedAt = performance.now();
        await queue.push('later', { ...HIGH, afterMs: 60 });
        await queue.push('soon', { ...NOW, afterMs: 30 });
        expect(await queue.take(NOW.channel, never)).toBe('soon');
        expect(performance.now() - pushedAt).toBeGreaterThanOrEqual(29);
        expect(await queue.take(NOW.channel, never)).toBe('later');
        expect(performance.now() - pushedAt).toBeGreaterThanOrEqual(59);
      }),
    );

    test(
      'ignores a push of an id that waits or is taken',
      withBackend({}, async ({ queue }) => {
        await queue.push('a', NOW);
        await queue.push('a', NOW);
        await queue.push('b', NOW);
        expect(await queue.take(NOW.channel, never)).toBe('a');
        await queue.push('a', NOW);
        expect(await queue.take(NOW.channel, never)).toBe('b');
      }),
    );

    test(
      'makes an id that was pushed while it was taken due again once it is done',
      withBackend({}, async ({ queue }) => {
        await queue.push('a', NOW);
        await queue.take(NOW.channel, never);
        await queue.push('a', HIGH);
        await queue.done('a', NOW.channel);
        expect(await queue.take(NOW.channel, AbortSignal.timeout(1000))).toBe('a');
        await queue.done('a', NOW.channel);
        await queue.push('b', NOW);
        expect(await queue.take(NOW.channel, never)).toBe('b');
      }),
    );

    test(
      'hides a taken id until it is retried, and keeps its priority',
      withBackend({}, async ({ queue }) => {
        await queue.push('high', HIGH);
        await queue.take(NOW.channel, never);
        await queue.push('normal', NOW);
        await queue.retry('high', NOW.channel, 0);
        expect(await queue.take(NOW.channel, never)).toBe('high');
      }),
    );

    test(
      'removes an id that is done, and accepts another push of it',
      withBackend({}, async ({ queue }) => {
        await queue.push('a', NOW);
        await queue.done(await queue.take(NOW.channel, never), NOW.channel);
        await queue.retry('a', NOW.channel, 0);
        await queue.push('b', NOW);
        expect(await queue.take(NOW.channel, never)).toBe('b');
        await queue.push('a', NOW);
        expect(await queue.take(NOW.channel, never)).toBe('a');
      }),
    );

    test(
      'removes an id that is done while it waits',
      withBackend({}, async ({ queue }) => {
        for (const [id, afterMs] of [
          ['due', 0],
          ['later', 20],
          ['last', 40],
        ] as const) {
          await queue.push(id, { ...NOW, afterMs });
        }
        await queue.done('due', NOW.channel);
        await queue.done('later', NOW.channel);
        expect(await queue.take(NOW.channel, never)).toBe('last');
      }),
    );

    test(
      'resolves a waiting take when an id is pushed',
      withBackend({}, async ({ queue }) => {
        const taken = queue.take(NOW.channel, never);
        await queue.push('a', NOW);
        expect(await taken).toBe('a');
      }),
    );

    test(
      'loses no id when a take is aborted',
      withBackend({}, async ({ queue }) => {
        const controller = new AbortController();
        const left = queue.take(NOW.channel, controller.signal);
        const stayed = queue.take(NOW.channel, never);
        controller.abort(new Error('gone'));
        await expect(left).rejects.toThrow('gone');
        await queue.push('a', NOW);
        expect(await stayed).toBe('a');
        await expect(queue.take(NOW.channel, controller.signal)).rejects.toThrow('gone');
      }),
    );

    test(
      'keeps channels apart, and moves an id to another channel on retry',
      withBackend({}, async ({ queue }) => {
        await queue.push('a', NOW);
        await queue.push('b', { ...NOW, channel: 'other@acme.com' });
        expect(await queue.take('other@acme.com', never)).toBe('b');
        await queue.retry('b', 'other@acme.com', 0, NOW.channel);
        expect([await queue.take(NOW.channel, never), await queue.take(NOW.channel, never)]).toEqual([
          'a',
          'b',
        ]);
      }),
    );

    test(
      'bringForward makes a waiting id due sooner, never later, and ignores a taken one',
      withBackend({}, async ({ queue }) => {
        await queue.push('taken', NOW);
        await queue.take(NOW.channel, never);
        const pushedAt = performance.now();
        await queue.push('late', { ...NOW, afterMs: 60_000 });
        await queue.push('soon', { ...NOW, afterMs: 40 });
        await queue.push('due', NOW);
        for (const id of ['due', 'soon', 'taken', 'unknown'])
          await queue.bringForward(id, NOW.channel, 30_000);
        await queue.bringForward('late', NOW.channel, 80);
        expect(await queue.take(NOW.channel, never)).toBe('due');
        expect(await queue.take(NOW.channel, never)).toBe('soon');
        expect(await queue.take(NOW.channel, never)).toBe('late');
        expect(performance.now() - pushedAt).toBeGreaterThanOrEqual(79);
        expect(performance.now() - pushedAt).toBeLessThan(20_000);
        await expect(queue.take(NOW.channel, AbortSignal.timeout(50))).rejects.toThrow();
      }),
    );

    test(
      'reschedule makes a waiting id due sooner or later, once, and ignores a taken one',
      withBackend({}, async ({ queue }) => {
        await queue.push('late', { ...NOW, afterMs: 60_000 });
        await queue.push('soon', { ...NOW, afterMs: 20 });
        await queue.reschedule('late', NOW.channel, 0);
        expect(await queue.take(NOW.channel, never)).toBe('late');
        await queue.reschedule('late', NOW.channel, 0);
        await queue.reschedule('soon', NOW.channel, 60);
        await queue.reschedule('unknown', NOW.channel, 0);
        await queue.push('between', { ...NOW, afterMs: 40 });
        expect(await queue.take(NOW.channel, never)).toBe('between');
        expect(await queue.take(NOW.channel, never)).toBe('soon');
        await queue.push('last', { ...NOW, afterMs: 30 });
        expect(await queue.take(NOW.channel, never)).toBe('last');
      }),
    );
  });

  describe(`the store of ${name}`, () => {
    test(
      'returns a delivery as it was inserted and updated',
      withBackend({}, async ({ store }) => {
        const delivery = aDelivery({ trace: aTrace() });
        await store.insert(delivery);
        expect(await store.get(delivery.id)).toEqual(delivery);
        const deferred = advance(delivery, 'deferred', { nextAttemptAt: 5 });
        await store.update(delivery, deferred);
        expect(await store.get(delivery.id)).toEqual(deferred);
        expect(await store.get('msg_unknown')).toBeNull();
      }),
    );

    test(
      'stores one delivery for each id, and returns the stored one from a second insert',
      withBackend({ maxMessages: 1 }, async ({ store }) => {
        const delivery = aDelivery();
        expect(await store.insert(delivery)).toEqual(delivery);
        expect(await store.insert({ ...delivery, createdAt: 9 })).toEqual(delivery);
        const canceled = settled(delivery);
        await store.update(delivery, canceled);
        expect(await store.insert(delivery)).toMatchObject({
          status: 'canceled',
          revision: canceled.revision,
        });
        expect(store.refusalCode()).toBeNull();
        expect(await store.list(ALL)).toHaveLength(1);
      }),
    );

    test(
      'returns content byte for byte, with any bytes and characters in it',
      withBackend({}, async ({ store }) => {
        const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i % 251);
        const file = { filename: 'größe.bin', content: bytes, contentType: null, contentId: 'logo' };
        const empty = { filename: '', content: new Uint8Array(), contentType: 'text/plain', contentId: null };
        const delivery = aDelivery();
        if (delivery.content === null) throw new Error('the delivery has no content');
        const content = {
          ...delivery.content,
          html: '<p>\u{1F600}\u0000</p>',
          attachments: [file, empty, file],
        };
        await store.insert({ ...delivery, content });
        const stored = await store.get(delivery.id);
        expect(stored?.content?.attachments.map(({ content: found }) => Buffer.from(found))).toEqual(
          content.attachments.map(({ content: given }) => Buffer.from(given)),
        );
        expect({ ...stored?.content, attachments: [] }).toEqual({ ...content, attachments: [] });
      }),
    );

    test(
      'enqueues a delivery with its insert, at the time it is due',
      withBackend({}, async ({ store, queue }) => {
        const [now, later] = [aDelivery(), aDelivery({ status: 'scheduled', scheduledAt: Date.now() + 60 })];
        for (const delivery of [later, now]) await store.insert(delivery);
        for (const delivery of [now, later]) {
          expect(await queue.take(delivery.account, AbortSignal.timeout(2000))).toBe(delivery.id);
          expect(await store.getTaken(delivery.id)).toEqual(delivery);
        }
        expect(Date.now()).toBeGreaterThanOrEqual((later.scheduledAt ?? 0) - 5);
      }),
    );

    test(
      'changes the queue with a delivery, and only if the delivery changes',
      withBackend({}, async ({ store, queue }) => {
        const take = (channel: string) => queue.take(channel, AbortSignal.timeout(2000));
        const [first, next] = [aDelivery(), aDelivery()];
        for (const delivery of [first, next]) await store.insert(delivery);
        expect(await take(first.account)).toBe(first.id);
        const sending = advance(first, 'sending');
        await store.update(first, sending);
        expect(await store.update(first, settled(first), { kind: 'done' })).toBe(false);
        const moved = advance(sending, 'deferred', { account: 'other@acme.com' });
        expect(await store.update(sending, moved, { kind: 'retry', afterMs: 20 })).toBe(true);
        expect(await take(next.account)).toBe(next.id);
        expect(await take(moved.account)).toBe(first.id);
        expect(await store.getTaken(first.id)).toEqual(moved);
        const expired = advance(moved, 'expired', { finishedAt: 5 });
        expect(await store.update(moved, expired, { kind: 'done' })).toBe(true);
        const queued = advance(expired, 'queued', { account: first.account });
        expect(await store.update(expired, queued, { kind: 'push', afterMs: 60_000 })).toBe(true);
        const soon = amend(queued, {});
        expect(await store.update(queued, soon, { kind: 'reschedule', afterMs: 0 })).toBe(true);
        expect(await take(first.account)).toBe(first.id);
        await expect(queue.take(moved.account, AbortSignal.timeout(50))).rejects.toThrow();
      }),
    );

    test(
      'keeps the id of a delivery that is looked up in the channel of its mailbox only',
      withBackend({}, async ({ store, queue }) => {
        const take = (channel: string) => queue.take(channel, AbortSignal.timeout(2000));
        const queued = aDelivery();
        const { account } = queued;
        const mailbox = mailboxChannel(account);
        await store.insert(queued);
        await take(account);
        const sending = advance(queued, 'sending');
        await store.update(queued, sending);
        const looking = advance(sending, 'deferred', { lookup: aLookup({ account }) });
        await store.update(sending, looking, { kind: 'retry', afterMs: 0 });
        for await (const unsettled of store.unsettled())
          expect(unsettled).toMatchObject({ id: queued.id, account, lookup: looking.lookup });
        await expect(queue.take(account, AbortSignal.timeout(50))).rejects.toThrow();
        expect(await take(mailbox)).toBe(queued.id);
        expect(await store.getTaken(queued.id)).toEqual(looking);

        const again = amend(looking, { lookup: aLookup({ account, lookedAt: 3000 }) });
        await store.update(looking, again, { kind: 'retry', afterMs: 60_000 });
        const asked = amend(again, {});
        await store.update(again, asked, { kind: 'reschedule', afterMs: 0 });
        expect(await take(mailbox)).toBe(queued.id);

        const checked = amend(asked, { lookup: aLookup({ account, state: 'checked' }) });
        await store.update(asked, checked, { kind: 'retry', afterMs: 0 });
        await expect(queue.take(mailbox, AbortSignal.timeout(50))).rejects.toThrow();
        expect(await take(account)).toBe(queued.id);

        const checking = amend(checked, { lookup: aLookup({ account, state: 'checking' }) });
        await store.update(checked, checking, { kind: 'retry', afterMs: 60_000 });
        await store.update(checking, advance(checking, 'canceled', { finishedAt: 5 }), { kind: 'done' });
        await queue.reschedule(queued.id, mailbox, 0);
        await expect(queue.take(mailbox, AbortSignal.timeout(50))).rejects.toThrow();
      }),
    );

    test(
      'enqueues an uncertain delivery for a search of its mailbox, and removes what a copy settles',
      withBackend({}, async ({ store, queue }) => {
        const { id, account, ...rest } = aDelivery({ status: 'sending' });
        const sending = await store.insert({ id, account, ...rest });
        const lookup = aLookup({ account, state: 'idle' });
        const uncertain = advance(sending, 'uncertain', { lookup, finishedAt: NOON });
        await store.update(sending, uncertain, { kind: 'done' });
        const checking = amend(uncertain, { lookup: { ...lookup, state: 'checking' } });
        await store.update(uncertain, checking, { kind: 'push', afterMs: 0 });
        expect(await queue.take(mailboxChannel(account), AbortSignal.timeout(2000))).toBe(id);
        expect(await store.getTaken(id)).toEqual(checking);
        const sent = advance(checking, 'sent', { finishedAt: NOON });
        await store.update(checking, sent, { kind: 'done' });
        expect(await store.get(id)).toEqual({ ...sent, content: null, lookup: null });
        // As for a message that a client retries, both results count.
        expect((await store.stats(null, NOON)).byHour.at(-1)).toMatchObject({ sent: 1, failed: 1 });
      }),
    );

    test(
      'throws queue_full beyond the maximum number of messages, until one settles',
      withBackend({ maxMessages: 2 }, async ({ store }) => {
        const first = aDelivery();
        await store.insert(first);
        expect(store.refusalCode()).toBeNull();
        await store.insert(aDelivery());
        expect(store.refusalCode()).toBe('queue_full');
        const refused = aDelivery();
        await expect(store.insert(refused)).rejects.toMatchObject({ code: 'queue_full' });
        expect(await store.get(refused.id)).toBeNull();
        await store.update(first, settled(first));
        expect(store.refusalCode()).toBeNull();
        await store.insert(refused);
      }),
    );

    test(
      'throws queue_full beyond the maximum number of bytes, until one settles',
      withBackend({ maxBytes: 2500 }, async ({ store }) => {
        const first = aDelivery({ bytes: 2000 });
        await store.insert(first);
        await expect(store.insert(aDelivery({ bytes: 501 }))).rejects.toMatchObject({ code: 'queue_full' });
        expect(store.freeBytes()).toBe(500);
        await store.insert(aDelivery({ bytes: 500 }));
        expect([store.refusalCode(), store.freeBytes()]).toEqual(['queue_full', 0]);
        await store.update(first, settled(first));
        expect([store.refusalCode(), store.freeBytes()]).toEqual([null, 2000]);
      }),
    );

    test(
      'stores a settled delivery for RETAIN, without its content',
      withBackend({ retainMs: 50 }, async ({ store }) => {
        const delivery = aDelivery();
        await store.insert(delivery);
        await store.update(delivery, settled(delivery));
        expect(await store.get(delivery.id)).toMatchObject({ status: 'canceled', content: null });
        await expect.poll(() => store.get(delivery.id)).toBeNull();
      }),
    );

    test(
      'stores the content of a delivery that can be retried, and reopens the delivery',
      withBackend({ maxMessages: 1 }, async ({ store }) => {
        const delivery = aDelivery();
        const sending = advance(delivery, 'sending');
        const failed = advance(sending, 'failed', { finishedAt: 5 });
        await store.insert(delivery);
        await store.update(delivery, sending);
        await store.update(sending, failed);
        expect(await store.get(delivery.id)).toEqual(failed);
        const again = advance(failed, 'queued', { finishedAt: null });
        expect(await store.update(failed, again)).toBe(true);
        expect(await store.get(delivery.id)).toEqual(again);
        expect(store.refusalCode()).toBe('queue_full');
      }),
    );

    test(
      'returns content until the delivery settles, and longer if it can be retried',
      withBackend({}, async ({ store }) => {
        const [waiting, sent, failed] = [aDelivery(), aDelivery(), aDelivery()];
        for (const delivery of [waiting, sent, failed]) await store.insert(delivery);
        for (const [delivery, status] of [
          [sent, 'sent'],
          [failed, 'failed'],
        ] as const) {
          const sending = advance(delivery, 'sending');
          await store.update(delivery, sending);
          await store.update(sending, advance(sending, status, { finishedAt: 5 }));
        }
        expect(await store.content(waiting.id)).toEqual(waiting.content);
        expect(await store.content(failed.id)).toEqual(failed.content);
        expect(await store.content(sent.id)).toBeNull();
        expect(await store.content('msg_unknown')).toBeNull();
      }),
    );

    test(
      'keeps content for RETAIN_CONTENT after the delivery has settled, only to be read',
      withBackend({ retainContentMs: 600 }, async ({ store }) => {
        const delivery = aDelivery();
        await store.insert(delivery);
        await store.update(delivery, settled(delivery));
        const settledAt = performance.now();
        expect(await store.content(delivery.id)).toEqual(delivery.content);
        expect((await store.get(delivery.id))?.content).toBeNull();
        await expect.poll(() => store.content(delivery.id), { interval: 20 }).toBeNull();
        expect(performance.now() - settledAt).toBeGreaterThan(400);
        expect(await store.get(delivery.id)).toMatchObject({ status: 'canceled' });
      }),
    );

    test(
      'drops the oldest content that is kept beyond the maximum number of bytes',
      withBackend({ retainContentMs: 60_000, maxBytes: 10_000 }, async ({ store }) => {
        const { content } = aDelivery();
        const all = [0, 1, 2].map(() =>
          aDelivery({ bytes: 4000, content: content && { ...content, text: 'x'.repeat(4000) } }),
        );
        for (const delivery of all) {
          await store.insert(delivery);
          await store.update(delivery, settled(delivery));
          // The age of content is measured in ms.
          await delay(2);
        }
        const kept = async () => Promise.all(all.map(async ({ id }) => (await store.content(id)) !== null));
        await expect.poll(kept).toEqual([false, true, true]);
        await store.insert(aDelivery({ bytes: 9000 }));
      }),
    );

    test(
      'throws queue_full when there is no capacity to reopen a delivery, and does not change it',
      withBackend({ maxMessages: 1 }, async ({ store }) => {
        const delivery = aDelivery();
        const expired = advance(delivery, 'expired', { finishedAt: 5 });
        await store.insert(delivery);
        await store.update(delivery, expired);
        await store.insert(aDelivery());
        await expect(store.update(expired, advance(expired, 'queued'))).rejects.toMatchObject({
          code: 'queue_full',
        });
        expect(await store.get(delivery.id)).toEqual(expired);
      }),
    );

    test(
      'applies one of several updates of the same revision, and returns false from the others',
      withBackend({}, async ({ store }) => {
        const delivery = aDelivery();
        await store.insert(delivery);
        const changes = [
          advance(delivery, 'canceled'),
          advance(delivery, 'sending'),
          amend(delivery, { account: 'other@acme.com' }),
        ];
        const updated = await Promise.all(changes.map((change) => store.update(delivery, change)));
        expect(updated.filter(Boolean)).toHaveLength(1);
        expect(await store.get(delivery.id)).toMatchObject({
          status: changes[updated.indexOf(true)]?.status,
          revision: delivery.revision + 1,
        });
        expect(await store.update(aDelivery(), aDelivery())).toBe(false);
      }),
    );

    test(
      'lists the deliveries that match a query, newest first',
      withBackend({}, async ({ store }) => {
        const old = aDelivery({ id: 'msg_old', createdAt: 1000, owner: 'shop', tags: { flow: 'welcome' } });
        const twin = aDelivery({ id: 'msg_b', createdAt: 2000, tags: { flow: 'invoice', region: 'eu' } });
        const other = aDelivery({
          id: 'msg_a',
          createdAt: 2000,
          recipients: [{ email: 'Bob@example.com', status: 'pending', smtp: null }],
        });
        // Not in the order of creation: inspecting a message before it is stored may take long.
        for (const delivery of [twin, other, old]) await store.insert(delivery);
        await store.update(other, settled(other));
        const list = async (query: Partial<DeliveryQuery>) =>
          (await store.list({ ...ALL, ...query })).map(({ id }) => id);
        expect(await list({})).toEqual(['msg_b', 'msg_a', 'msg_old']);
        expect((await store.list(ALL)).map(({ content }) => content)).toEqual([null, null, null]);
        expect(await list({ limit: 2 })).toEqual(['msg_b', 'msg_a']);
        expect(await list({ after: { createdAt: 2000, id: 'msg_b' } })).toEqual(['msg_a', 'msg_old']);
        expect(await list({ owner: 'shop' })).toEqual(['msg_old']);
        expect(await list({ statuses: ['canceled', 'sent'] })).toEqual(['msg_a']);
        expect(await list({ tag: 'flow' })).toEqual(['msg_b', 'msg_old']);
        expect(await list({ tag: 'flow:invoice' })).toEqual(['msg_b']);
        expect(await list({ tag: 'flow:in' })).toEqual([]);
        expect(await list({ recipient: 'bob@example.com' })).toEqual(['msg_a']);
        expect(await list({ createdAfter: 2000 })).toEqual(['msg_b', 'msg_a']);
        expect(await list({ createdBefore: 2000 })).toEqual(['msg_old']);
      }),
    );

    test(
      'lists the deliveries that wait, oldest first, with stable pages',
      withBackend({}, async ({ store }) => {
        const old = aDelivery({ id: 'msg_old', createdAt: 1000, tags: { flow: 'a' } });
        const done = aDelivery({ id: 'msg_done', createdAt: 1500 });
        const [twin, other] = [
          aDelivery({ id: 'msg_b', createdAt: 2000, owner: 'shop' }),
          aDelivery({ id: 'msg_a', createdAt: 2000 }),
        ];
        const planned = { status: 'scheduled', createdAt: 500, scheduledAt: 9000 } as const;
        const [future, past] = [
          aDelivery({ id: 'msg_future', ...planned }),
          aDelivery({ id: 'msg_past', ...planned, scheduledAt: 4000 }),
        ];
        for (const delivery of [twin, future, other, done, past, old]) await store.insert(delivery);
        await store.update(done, settled(done));
        await store.update(twin, advance(twin, 'sending'));
        const list = async (query: Partial<DeliveryQuery>) =>
          (await store.list({ ...ALL, waitingAt: 5000, ...query })).map(({ id }) => id);
        expect(await list({})).toEqual(['msg_past', 'msg_old', 'msg_a', 'msg_b']);
        expect(await list({ waitingAt: 9000, limit: 2 })).toEqual(['msg_future', 'msg_past']);
        expect(await list({ limit: 1, after: { createdAt: 500, id: 'msg_past' } })).toEqual(['msg_old']);
        expect(await list({ after: { createdAt: 1000, id: 'msg_old' }, limit: 1 })).toEqual(['msg_a']);
        expect(await list({ after: { createdAt: 2000, id: 'msg_a' } })).toEqual(['msg_b']);
        expect(await list({ owner: 'shop' })).toEqual(['msg_b']);
        expect(await list({ statuses: ['queued'] })).toEqual(['msg_old', 'msg_a']);
        expect(await list({ statuses: ['canceled'] })).toEqual([]);
        expect(await list({ tag: 'flow' })).toEqual(['msg_old']);
        expect(await list({ createdAfter: 1000, createdBefore: 2000 })).toEqual(['msg_old']);
      }),
    );

    test(
      'lists every delivery exactly once on consecutive pages, while others are added and settled',
      withBackend({ maxMessages: 100 }, async ({ store }) => {
        const all = Array.from({ length: 60 }, (_, i) => aDelivery({ createdAt: 1000 + Math.floor(i / 3) }));
        for (const delivery of all) await store.insert(delivery);
        const seen: string[] = [];
        let after: DeliveryQuery['after'] = null;
        for (;;) {
          const page: readonly Delivery[] = await store.list({ ...ALL, limit: 7, after });
          const last = page.at(-1);
          if (!last) break;
          seen.push(...page.map(({ id }) => id));
          after = { createdAt: last.createdAt, id: last.id };
          const newer = aDelivery({ createdAt: 5000 });
          await store.insert(newer);
          await store.update(newer, settled(newer));
          await store.update(last, settled(last));
        }
        expect(seen).toHaveLength(all.length);
        expect(new Set(seen)).toEqual(new Set(all.map(({ id }) => id)));
      }),
    );

    test(
      'lists every match of a filter exactly once on consecutive pages, among many others',
      withBackend({}, async ({ store }) => {
        const all = Array.from({ length: 600 }, (_, i) =>
          aDelivery({ createdAt: 1000 + i, owner: i % 2 === 0 || i > 400 ? 'crm' : 'shop' }),
        );
        await Promise.all(all.map((delivery) => store.insert(delivery)));
        const expected = all.filter(({ owner }) => owner === 'crm').map(({ id }) => id);
        const seen: string[] = [];
        let after: DeliveryQuery['after'] = null;
        for (;;) {
          const page: readonly Delivery[] = await store.list({ ...ALL, owner: 'crm', limit: 90, after });
          const last = page.at(-1);
          if (!last) break;
          seen.push(...page.map(({ id }) => id));
          after = { createdAt: last.createdAt, id: last.id };
        }
        expect(seen).toEqual(expected.toReversed());
      }),
    );

    test(
      'iterates over every unsettled delivery',
      withBackend({}, async ({ store }) => {
        const [waiting, done] = [aDelivery(), aDelivery()];
        await store.insert(waiting);
        await store.insert(done);
        await store.update(done, settled(done));
        const ids: string[] = [];
        for await (const { id } of store.unsettled()) ids.push(id);
        expect(ids).toEqual([waiting.id]);
      }),
    );
  });

  describe(`the idempotency store of ${name}`, () => {
    const response = { status: 202, headers: { location: '/messages/msg_1' }, body: '{"größe":1}' };
    const receipt = { ids: ['msg_1'], refused: [{ index: 1, code: 'recipient_suppressed' }] } as const;

    test(
      'returns new to one of many concurrent claims',
      withBackend({}, async ({ idempotency }) => {
        const claims = await Promise.all(
          Array.from({ length: 100 }, () => idempotency.claim('k', 'f', 'crm')),
        );
        expect(claims.filter(({ kind }) => kind === 'new')).toHaveLength(1);
        expect(claims.filter(({ kind }) => kind === 'in_progress')).toHaveLength(99);
      }),
    );

    test(
      'returns the stored response unchanged',
      withBackend({}, async ({ idempotency }) => {
        await idempotency.claim('k', 'f', 'crm');
        await idempotency.accept('k', receipt, response);
        expect(await idempotency.claim('k', 'f', 'crm')).toEqual({ kind: 'accepted', receipt, response });
      }),
    );

    test(
      'returns the receipt of an accepted request without a response, and stores a response later',
      withBackend({}, async ({ idempotency }) => {
        await idempotency.claim('k', 'f', 'crm');
        await idempotency.accept('k', receipt, null);
        expect(await idempotency.claim('k', 'f', 'crm')).toEqual({
          kind: 'accepted',
          receipt,
          response: null,
        });
        for (const body of ['first', 'second']) {
          await idempotency.accept('k', receipt, { ...response, body });
          await idempotency.accept('k', receipt, null);
          expect(await idempotency.claim('k', 'f', 'crm')).toEqual({
            kind: 'accepted',
            receipt,
            response: { ...response, body },
          });
        }
      }),
    );

    test(
      'counts RETAIN from when the request was accepted, not from its response',
      withBackend({ retainMs: 300 }, async ({ idempotency }) => {
        await idempotency.claim('k', 'f', 'crm');
        await idempotency.accept('k', receipt, null);
        await expect
          .poll(
            async () => {
              await idempotency.accept('k', receipt, response);
              return (await idempotency.claim('k', 'f', 'crm')).kind;
            },
            { timeout: 5000 },
          )
          .toBe('new');
      }),
    );

    test(
      'forgets a claim and its response after RETAIN',
      withBackend({ retainMs: 50 }, async ({ idempotency }) => {
        await idempotency.claim('k', 'f', 'crm');
        await idempotency.accept('k', receipt, response);
        await expect.poll(async () => (await idempotency.claim('k', 'f', 'crm')).kind).toBe('new');
        await idempotency.accept('k', receipt, null);
        expect(await idempotency.claim('k', 'f', 'crm')).toEqual({
          kind: 'accepted',
          receipt,
          response: null,
        });
      }),
    );

    test(
      'returns mismatch for another fingerprint, before and after the response',
      withBackend({}, async ({ idempotency }) => {
        await idempotency.claim('k', 'f', 'crm');
        expect(await idempotency.claim('k', 'g', 'crm')).toEqual({ kind: 'mismatch' });
        await idempotency.accept('k', receipt, response);
        expect(await idempotency.claim('k', 'g', 'crm')).toEqual({ kind: 'mismatch' });
        expect(await idempotency.claim('other', 'g', 'crm')).toMatchObject({ kind: 'new' });
      }),
    );

    test(
      'forgets a released claim',
      withBackend({}, async ({ idempotency }) => {
        const first = await idempotency.claim('k', 'f', 'crm');
        await idempotency.release('k');
        const second = await idempotency.claim('k', 'g', 'crm');
        expect([first.kind, second.kind]).toEqual(['new', 'new']);
        expect(second).not.toEqual(first);
      }),
    );
  });

  describe(`the shared state of ${name}`, () => {
    test(
      'returns a changed value to every reader',
      withBackend({}, async ({ sharedState }) => {
        const counter = await sharedState.open('a', () => ({ count: 1, more: [1] }));
        expect(await counter.change((value) => ++value.count)).toBe(2);
        expect(counter.value).toEqual({ count: 2, more: [1] });
        const again = await sharedState.open('a', () => ({ count: 9, more: [] }));
        expect(await again.read()).toEqual({ count: 2, more: [1] });
        expect((await sharedState.open('b', () => ({ count: 9 }))).value).toEqual({ count: 9 });
      }),
    );

    test(
      'loses no concurrent change',
      withBackend({}, async ({ sharedState }) => {
        const opened = await Promise.all([1, 2, 3].map(() => sharedState.open('a', () => ({ count: 0 }))));
        const results = await Promise.all(
          Array.from({ length: 300 }, (_, i) => opened[i % opened.length]?.change((value) => ++value.count)),
        );
        expect(new Set(results).size).toBe(300);
        expect(await opened[0]?.read()).toEqual({ count: 300 });
      }),
    );

    test(
      'has a clock that shows the time of day and never goes backwards',
      withBackend({}, async ({ sharedState }) => {
        const times = Array.from({ length: 1000 }, () => sharedState.now());
        expect(times).toEqual(times.toSorted((a, b) => a - b));
        expect(Math.abs((times[0] ?? 0) - Date.now())).toBeLessThan(5000);
      }),
    );
  });
}

function settled(delivery: Delivery): Delivery {
  return advance(delivery, 'canceled', { finishedAt: Date.now() });
}
