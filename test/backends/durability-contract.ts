import { describe, expect, test } from 'vitest';
import { type Attempt, advance, amend, type Delivery } from '../../src/core/delivery/delivery.ts';
import { mailboxChannel } from '../../src/core/delivery/lookup.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import type { IdempotencyClaim } from '../../src/core/ports/idempotency-store.ts';
import { aDelivery, aLookup } from '../helpers/delivery.ts';
import { aSuppression, put } from '../helpers/suppression.ts';
import { aNotice } from '../helpers/webhook-notice.ts';
import type { BackendLimits } from './backend-contract.ts';
import { changeAtRandom, NOON } from './stats-contract.ts';

/** The storage of a backend: a file, or a Redis. */
export interface Storage {
  open(limits: BackendLimits): Promise<Backend>;
  /** Returns the storage as it would be if the process that has it open died now. */
  afterCrash(): Promise<Storage>;
}

const ROOMY: BackendLimits = { maxMessages: 1000, maxBytes: 1e6, retainMs: 60_000 };
const CHANNEL = 'bot@acme.com';
const OTHER = 'other@acme.com';
/** A backend may need some seconds to detect that another instance has died. */
const PATIENCE = { timeout: 15_000 };

/** Tests that a durable backend still has everything it acknowledged when it is opened again. */
export function durabilityContract(name: string, createStorage: () => Promise<Storage>): void {
  describe.each([
    ['close', async (backend: Backend, storage: Storage) => backend.close().then(() => storage)],
    ['crash', (_backend: Backend, storage: Storage) => storage.afterCrash()],
  ])(`${name} after a %s`, (how, stop) => {
    /**
     * Runs `before` with new storage, and `after` with its result once the storage is opened again.
     */
    async function reopened<Result>(
      before: (backend: Backend) => Promise<Result>,
      after: (backend: Backend, result: Result) => Promise<void>,
      limits: Partial<BackendLimits> = {},
    ) {
      const storage = await createStorage();
      const first = await storage.open({ ...ROOMY, ...limits });
      const result = await before(first);
      const second = await (await stop(first, storage)).open({ ...ROOMY, ...limits });
      try {
        await after(second, result);
      } finally {
        await second.close();
        if (how === 'crash') await first.close();
      }
    }

    test('has the deliveries with their content byte for byte and all their changes', () =>
      reopened(
        async ({ store }) => {
          const waiting = aDelivery({
            content: contentOf(70_000),
            tags: { flow: 'größe' },
            metadata: { id: '\u{1F600}' },
          });
          const fresh = aDelivery();
          const sending = advance(fresh, 'sending', { attempts: [anAttempt(null)] });
          const failing = aDelivery({ content: contentOf(10) });
          for (const delivery of [waiting, fresh, failing]) await store.insert(delivery);
          await store.update(fresh, sending);
          return [waiting, sending, await become(store, failing, 'failed')];
        },
        async ({ store }, stored) => {
          for (const delivery of stored)
            expect(withBuffers(await store.get(delivery.id))).toEqual(withBuffers(delivery));
          const [waiting] = stored;
          if (waiting) expect(await store.update(waiting, advance(waiting, 'canceled'))).toBe(true);
        },
      ));

    test('has no content of deliveries that cannot be retried', () =>
      reopened(
        async ({ store }) => {
          const delivery = aDelivery();
          await store.insert(delivery);
          return become(store, delivery, 'sent');
        },
        async ({ store }, sent) => expect(await store.get(sent.id)).toEqual({ ...sent, content: null }),
      ));

    test('has the content that RETAIN_CONTENT keeps', () =>
      reopened(
        async ({ store }) => {
          const delivery = aDelivery();
          await store.insert(delivery);
          await become(store, delivery, 'sent');
          return delivery;
        },
        async ({ store }, { id, content }) => {
          expect(await store.content(id)).toEqual(content);
          expect((await store.get(id))?.content).toBeNull();
        },
        { retainContentMs: 60_000 },
      ));

    test('has every delivery of many that were inserted at once', () =>
      reopened(
        async ({ store }) => {
          const deliveries = Array.from({ length: 300 }, () => aDelivery());
          await Promise.all(deliveries.map((delivery) => store.insert(delivery)));
          return deliveries.map(({ id }) => id).toSorted();
        },
        async ({ store }, ids) => {
          const found: string[] = [];
          for await (const { id } of store.unsettled()) found.push(id);
          expect(found.toSorted()).toEqual(ids);
        },
      ));

    test('still counts the unsettled deliveries against its limits', () =>
      reopened(
        async ({ store }) => {
          const first = aDelivery();
          for (const delivery of [first, aDelivery(), aDelivery()]) await store.insert(delivery);
          await become(store, first, 'sent');
        },
        async ({ store }) => {
          expect(store.refusalCode()).toBeNull();
          await store.insert(aDelivery());
          expect(store.refusalCode()).toBe('queue_full');
          await expect(store.insert(aDelivery())).rejects.toMatchObject({ code: 'queue_full' });
        },
        { maxMessages: 3 },
      ));

    test('has the numbers of its deliveries', () =>
      reopened(
        async ({ store }) => changeAtRandom(store, 60, 300),
        async ({ store }, expected) => {
          for (const owner of [null, 'crm', 'shop'])
            expect(await store.stats(owner, NOON)).toEqual(expected(owner));
        },
      ));

    test('counts a delivery that failed and was retried at once', () =>
      reopened(
        async ({ store }) => {
          const delivery = aDelivery();
          await store.insert(delivery);
          const sending = advance(delivery, 'sending');
          await store.update(delivery, sending);
          const failed = advance(sending, 'failed', { finishedAt: NOON });
          await store.update(sending, failed);
          await store.update(failed, advance(failed, 'queued', { finishedAt: null }));
        },
        async ({ store }) => {
          const { byStatus, byHour } = await store.stats(null, NOON);
          expect([byStatus.queued, byHour.at(-1)?.failed]).toEqual([1, 1]);
        },
      ));

    test('returns due ids in their order, high priority first, each in its channel', () =>
      reopened(
        async (backend) => {
          const ids = ['msg_c', 'msg_a', 'msg_b'];
          for (const [i, id] of ids.entries()) await accept(backend, aDelivery({ id, createdAt: 1000 + i }));
          await accept(backend, aDelivery({ id: 'msg_urgent', createdAt: 2000, priority: 'high' }));
          await accept(backend, aDelivery({ id: 'msg_other', createdAt: 3000, account: OTHER }));
          const gone = aDelivery({ createdAt: 500 });
          await accept(backend, gone);
          await backend.store.update(gone, advance(gone, 'canceled'));
          await backend.queue.done(gone.id, CHANNEL);
        },
        async ({ queue }) => {
          const taken: string[] = [];
          for (let i = 0; i < 4; i++)
            taken.push(await queue.take(CHANNEL, AbortSignal.timeout(PATIENCE.timeout)));
          expect(taken).toEqual(['msg_urgent', 'msg_c', 'msg_a', 'msg_b']);
          expect(await queue.take(OTHER, AbortSignal.timeout(PATIENCE.timeout))).toBe('msg_other');
        },
      ));

    test('returns the id of a delivery that is looked up in the channel of its mailbox only', () =>
      reopened(
        async (backend) => {
          const { store, queue } = backend;
          const take = () => queue.take(CHANNEL, AbortSignal.timeout(PATIENCE.timeout));
          for (const id of ['msg_due', 'msg_taken', 'msg_changed']) {
            const sending = await store.insert(aDelivery({ id, status: 'sending' }));
            await take();
            const looking = advance(sending, 'deferred', { lookup: aLookup(), nextAttemptAt: 7 });
            await store.update(sending, looking, { kind: 'retry', afterMs: 0 });
            if (id !== 'msg_due') await queue.take(mailboxChannel(CHANNEL), AbortSignal.timeout(2000));
            if (id === 'msg_changed')
              await store.update(looking, amend(looking, { lookup: aLookup({ lookedAt: 3000 }) }));
          }
          await accept(backend, aDelivery({ id: 'msg_other' }));
        },
        async ({ store, queue }) => {
          const take = (channel: string) => queue.take(channel, AbortSignal.timeout(PATIENCE.timeout));
          const mailbox = mailboxChannel(CHANNEL);
          const taken = [await take(mailbox), await take(mailbox), await take(mailbox)];
          expect(taken.toSorted()).toEqual(['msg_changed', 'msg_due', 'msg_taken']);
          expect((await store.get('msg_changed'))?.lookup).toEqual(aLookup({ lookedAt: 3000 }));
          expect(await take(CHANNEL)).toBe('msg_other');
          await expect(queue.take(CHANNEL, AbortSignal.timeout(100))).rejects.toThrow();
        },
      ));

    test('returns an id no sooner than it was due', () =>
      reopened(
        async (backend) => {
          const at = Date.now() + 1000;
          const deferred = aDelivery({ id: 'msg_deferred' });
          await accept(backend, deferred);
          await backend.queue.take(CHANNEL, AbortSignal.timeout(PATIENCE.timeout));
          await backend.store.update(deferred, advance(deferred, 'deferred', { nextAttemptAt: at + 300.5 }));
          await backend.queue.retry(deferred.id, CHANNEL, at + 300.5 - Date.now());
          await accept(backend, aDelivery({ id: 'msg_scheduled', status: 'scheduled', scheduledAt: at }));
          await accept(
            backend,
            aDelivery({ id: 'msg_far', status: 'scheduled', scheduledAt: at + 3_600_000 }),
          );
          await accept(backend, aDelivery({ id: 'msg_now' }));
          return at;
        },
        async ({ queue }, at) => {
          const take = async () => ({
            id: await queue.take(CHANNEL, AbortSignal.timeout(PATIENCE.timeout)),
            at: Date.now(),
          });
          const [now, scheduled, deferred] = [await take(), await take(), await take()];
          expect([now.id, scheduled.id, deferred.id]).toEqual(['msg_now', 'msg_scheduled', 'msg_deferred']);
          // The queue measures delays by another clock than `Date.now`.
          expect(scheduled.at).toBeGreaterThan(at - 20);
          expect(deferred.at).toBeGreaterThan(at + 280);
        },
      ));

    test('returns an id again that was taken and not done', () =>
      reopened(
        async (backend) => {
          await accept(backend, aDelivery({ id: 'msg_taken' }));
          await backend.queue.take(CHANNEL, AbortSignal.timeout(PATIENCE.timeout));
        },
        async ({ queue }) =>
          expect(await queue.take(CHANNEL, AbortSignal.timeout(PATIENCE.timeout))).toBe('msg_taken'),
      ));

    test('has the responses of idempotency keys, and the seeds of unfinished requests', () =>
      reopened(
        async ({ idempotency }) => {
          await idempotency.claim('responded', 'f', 'crm');
          await idempotency.accept('responded', RECEIPT, RESPONSE);
          await idempotency.claim('waiting', 'f', 'crm');
          await idempotency.accept('waiting', RECEIPT, null);
          await idempotency.claim('forgotten', 'f', 'crm');
          await idempotency.release('forgotten');
          return seedOf(await idempotency.claim('open', 'f', 'crm'));
        },
        async ({ idempotency }, seed) => {
          expect(await idempotency.claim('responded', 'f', 'crm')).toEqual({
            kind: 'accepted',
            receipt: RECEIPT,
            response: RESPONSE,
          });
          expect(await idempotency.claim('waiting', 'f', 'crm')).toEqual({
            kind: 'accepted',
            receipt: RECEIPT,
            response: null,
          });
          expect(await idempotency.claim('responded', 'g', 'crm')).toEqual({ kind: 'mismatch' });
          expect(await idempotency.claim('forgotten', 'g', 'crm')).toMatchObject({ kind: 'new' });
          expect(await idempotency.claim('open', 'g', 'crm')).toEqual({ kind: 'mismatch' });
          await expect
            .poll(() => idempotency.claim('open', 'f', 'crm'), PATIENCE)
            .toEqual({ kind: 'new', seed });
          expect(await idempotency.claim('open', 'f', 'crm')).toEqual({ kind: 'in_progress' });
          await idempotency.accept('open', RECEIPT, RESPONSE);
          expect(await idempotency.claim('open', 'f', 'crm')).toEqual({
            kind: 'accepted',
            receipt: RECEIPT,
            response: RESPONSE,
          });
        },
      ));

    test('has the suppressions', () =>
      reopened(
        async ({ suppressions }) => {
          const suppression = aSuppression('Ada@example.com');
          await put(suppressions, suppression);
          await put(suppressions, aSuppression('bob@example.com'));
          await suppressions.remove('bob@example.com');
          return suppression;
        },
        async ({ suppressions }, suppression) =>
          expect(await suppressions.list({ limit: 10, after: null })).toEqual([suppression]),
      ));

    test('has the notices of a stored change', () =>
      reopened(
        async ({ store }) => {
          const from = await store.insert(aDelivery());
          const to = advance(from, 'canceled', { finishedAt: 1 });
          const notice = aNotice();
          await store.update(from, to, { kind: 'done' }, [notice]);
          return { id: to.id, notice };
        },
        async ({ store, outbox }, { id, notice }) => {
          expect(await store.get(id)).toMatchObject({ status: 'canceled' });
          expect(await outbox.get(notice.id)).toEqual(notice);
        },
      ));

    test('has the notices of a stored change of a shared value', () =>
      reopened(
        async ({ sharedState, store }) => {
          const notice = aNotice();
          const value = await sharedState.open('account:a', () => ({ count: 0 }));
          await value.change((draft, _usage, notices) => {
            draft.count += 1;
            notices.push(notice);
          });
          await store.insert(aDelivery());
          return notice;
        },
        async ({ sharedState, outbox }, notice) => {
          expect((await sharedState.open('account:a', () => ({ count: 0 }))).value).toEqual({ count: 1 });
          expect(await outbox.get(notice.id)).toEqual(notice);
        },
      ));

    test('has the pending notices, and counts them against the capacity of the outbox', () =>
      reopened(
        async ({ outbox }) => {
          const [pending, removed] = [aNotice(), aNotice()];
          for (const notice of [pending, removed]) await outbox.put(notice);
          await outbox.remove(removed.id);
          const replaced = { ...pending, failures: 1, dueAt: 5000 };
          await outbox.put(replaced);
          await outbox.put(aNotice());
          return replaced;
        },
        async ({ outbox }, notice) => {
          const found: string[] = [];
          for await (const { id } of outbox.pending()) found.push(id);
          expect(found).toHaveLength(2);
          expect(await outbox.get(notice.id)).toEqual(notice);
          // The capacity is four notices, of which one endpoint may hold half.
          expect(await outbox.put(aNotice())).toBe(false);
          expect(await outbox.put(aNotice({ url: 'https://b.test/' }))).toBe(true);
        },
        { maxMessages: 1 },
      ));

    test('has the shared values, with every change made before the last write', () =>
      reopened(
        async ({ sharedState, store }) => {
          const value = await sharedState.open<{ spent: number[] }>('quota', () => ({ spent: [] }));
          for (const at of [1, 2, 3]) await value.change(({ spent }) => spent.push(at));
          await store.insert(aDelivery());
        },
        async ({ sharedState }) => {
          const { value } = await sharedState.open<{ spent: number[] }>('quota', () => ({ spent: [] }));
          expect(value).toEqual({ spent: [1, 2, 3] });
        },
      ));
  });
}

const RECEIPT = { ids: ['msg_1'], refused: [] };
const RESPONSE = { status: 202, headers: { location: '/messages/msg_1' }, body: '{"größe":1}' };

/** Stores a delivery and then pushes it, as intake does. */
async function accept({ store, queue }: Backend, delivery: Delivery): Promise<void> {
  await store.insert(delivery);
  const afterMs = delivery.scheduledAt === null ? 0 : delivery.scheduledAt - Date.now();
  await queue.push(delivery.id, { channel: delivery.account, priority: delivery.priority, afterMs });
}

async function become(
  store: Backend['store'],
  delivery: Delivery,
  status: 'sent' | 'failed',
): Promise<Delivery> {
  const sending = advance(delivery, 'sending', { attempts: [anAttempt(null)] });
  await store.update(delivery, sending);
  const settled = advance(amend(sending, { attempts: [anAttempt(9)] }), status, { finishedAt: 9 });
  await store.update(sending, settled);
  return settled;
}

function anAttempt(endedAt: number | null): Attempt {
  return {
    number: 1,
    startedAt: 5,
    endedAt,
    account: CHANNEL,
    smtp: { code: 250, enhanced: null, response: 'OK' },
    error: null,
  };
}

function contentOf(bytes: number): Delivery['content'] {
  const content = Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => i % 251));
  const attachments = [{ filename: 'a.bin', content, contentType: null, contentId: null }];
  const rest = {
    replyTo: [],
    html: '<p>\u0000</p>',
    text: null,
    headers: {},
    inReplyTo: null,
    references: [],
    unsubscribe: null,
    calendar: null,
  };
  return { ...rest, attachments };
}

/** Converts attachments to Buffers, so that equal bytes compare as equal. */
function withBuffers(delivery: Delivery | null) {
  const attachments = delivery?.content?.attachments.map((attachment) => ({
    ...attachment,
    content: Buffer.from(attachment.content),
  }));
  return { ...delivery, content: delivery?.content && { ...delivery.content, attachments } };
}

function seedOf(claim: IdempotencyClaim): string {
  if (claim.kind !== 'new') throw new Error(`the claim is ${claim.kind}, not new`);
  return claim.seed;
}
