import { describe, expect, test } from 'vitest';
import { type Attempt, advance, amend, type Delivery } from '../../src/core/delivery/delivery.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import type { IdempotencyClaim } from '../../src/core/ports/idempotency-store.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aSuppression, put } from '../helpers/suppression.ts';
import { aNotice } from '../helpers/webhook-notice.ts';
import type { BackendLimits } from './backend-contract.ts';

/** Where a backend keeps things. */
export interface Place {
  /** What is kept there, whoever had it open before. */
  open(limits: BackendLimits): Promise<Backend>;
  /** The place as it is found after the process that has it open has died at this moment. */
  afterCrash(): Promise<Place>;
}

const ROOMY: BackendLimits = { maxMessages: 1000, maxBytes: 1e6, retainMs: 60_000 };
const CHANNEL = 'bot@acme.com';
const OTHER = 'other@acme.com';
/** A backend may need a while to find that another instance is dead. */
const PATIENCE = { timeout: 15_000 };

/** What every backend promises that outlives its process: all that was acknowledged is there when it is opened again. */
export function durableContract(name: string, newPlace: () => Promise<Place>): void {
  describe.each([
    ['is closed', async (backend: Backend, place: Place) => backend.close().then(() => place)],
    ['dies', (_backend: Backend, place: Place) => place.afterCrash()],
  ])(`what ${name} keeps when it %s`, (how, leave) => {
    /** Runs the one against a new place, and the other once it is opened again. */
    async function reopened<Kept>(
      before: (backend: Backend) => Promise<Kept>,
      after: (backend: Backend, kept: Kept) => Promise<void>,
      limits: Partial<BackendLimits> = {},
    ) {
      const place = await newPlace();
      const first = await place.open({ ...ROOMY, ...limits });
      const kept = await before(first);
      const second = await (await leave(first, place)).open({ ...ROOMY, ...limits });
      try {
        await after(second, kept);
      } finally {
        await second.close();
        if (how === 'dies') await first.close();
      }
    }

    test('are deliveries, with their content byte by byte and all that became of them', () =>
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
        async ({ store }, kept) => {
          for (const delivery of kept)
            expect(withBuffers(await store.get(delivery.id))).toEqual(withBuffers(delivery));
          const [waiting] = kept;
          if (waiting) expect(await store.update(waiting, advance(waiting, 'canceled'))).toBe(true);
        },
      ));

    test('is not the content of what has settled for good', () =>
      reopened(
        async ({ store }) => {
          const delivery = aDelivery();
          await store.insert(delivery);
          return become(store, delivery, 'sent');
        },
        async ({ store }, sent) => expect(await store.get(sent.id)).toEqual({ ...sent, content: null }),
      ));

    test('are all that were acknowledged of many at once', () =>
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

    test('fills the queue as before', () =>
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

    test('is due again in its order, urgent ones first, each in its channel', () =>
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

    test('is due no sooner than it was to be', () =>
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
          // The queue counts on another clock than the one that tells these times.
          expect(scheduled.at).toBeGreaterThan(at - 20);
          expect(deferred.at).toBeGreaterThan(at + 280);
        },
      ));

    test('is due again if it was taken and never settled', () =>
      reopened(
        async (backend) => {
          await accept(backend, aDelivery({ id: 'msg_taken' }));
          await backend.queue.take(CHANNEL, AbortSignal.timeout(PATIENCE.timeout));
        },
        async ({ queue }) =>
          expect(await queue.take(CHANNEL, AbortSignal.timeout(PATIENCE.timeout))).toBe('msg_taken'),
      ));

    test('are answers by idempotency key, and the seeds of requests that nobody ended', () =>
      reopened(
        async ({ idempotency }) => {
          await idempotency.claim('answered', 'f', 'crm');
          await idempotency.accept('answered', RECEIPT, ANSWER);
          await idempotency.claim('waiting', 'f', 'crm');
          await idempotency.accept('waiting', RECEIPT, null);
          await idempotency.claim('forgotten', 'f', 'crm');
          await idempotency.release('forgotten');
          return seedOf(await idempotency.claim('open', 'f', 'crm'));
        },
        async ({ idempotency }, seed) => {
          expect(await idempotency.claim('answered', 'f', 'crm')).toEqual({
            kind: 'accepted',
            receipt: RECEIPT,
            answer: ANSWER,
          });
          expect(await idempotency.claim('waiting', 'f', 'crm')).toEqual({
            kind: 'accepted',
            receipt: RECEIPT,
            answer: null,
          });
          expect(await idempotency.claim('answered', 'g', 'crm')).toEqual({ kind: 'mismatch' });
          expect(await idempotency.claim('forgotten', 'g', 'crm')).toMatchObject({ kind: 'new' });
          expect(await idempotency.claim('open', 'g', 'crm')).toEqual({ kind: 'mismatch' });
          await expect
            .poll(() => idempotency.claim('open', 'f', 'crm'), PATIENCE)
            .toEqual({ kind: 'new', seed });
          expect(await idempotency.claim('open', 'f', 'crm')).toEqual({ kind: 'in_progress' });
          await idempotency.accept('open', RECEIPT, ANSWER);
          expect(await idempotency.claim('open', 'f', 'crm')).toEqual({
            kind: 'accepted',
            receipt: RECEIPT,
            answer: ANSWER,
          });
        },
      ));

    test('are suppressions', () =>
      reopened(
        async ({ suppressions }) => {
          const kept = aSuppression('Ada@example.com');
          await put(suppressions, kept);
          await put(suppressions, aSuppression('bob@example.com'));
          await suppressions.remove('bob@example.com');
          return kept;
        },
        async ({ suppressions }, kept) =>
          expect(await suppressions.list({ limit: 10, after: null })).toEqual([kept]),
      ));

    test('are notices that are still to be delivered, and the room they take', () =>
      reopened(
        async ({ outbox }) => {
          const [kept, gone] = [aNotice(), aNotice()];
          for (const notice of [kept, gone]) await outbox.put(notice);
          await outbox.remove(gone.id);
          const again = { ...kept, failures: 1, dueAt: 5000 };
          await outbox.put(again);
          await outbox.put(aNotice());
          return again;
        },
        async ({ outbox }, kept) => {
          const found: string[] = [];
          for await (const { id } of outbox.pending()) found.push(id);
          expect(found).toHaveLength(2);
          expect(await outbox.get(kept.id)).toEqual(kept);
          // One endpoint may hold half of the four that fit.
          expect(await outbox.put(aNotice())).toBe(false);
          expect(await outbox.put(aNotice({ url: 'https://b.test/' }))).toBe(true);
        },
        { maxMessages: 1 },
      ));

    test('are sharedState, as they were when the last thing was written after them', () =>
      reopened(
        async ({ sharedState, store }) => {
          const book = await sharedState.open<{ spent: number[] }>('quota', () => ({ spent: [] }));
          for (const at of [1, 2, 3]) await book.change(({ spent }) => spent.push(at));
          await store.insert(aDelivery());
        },
        async ({ sharedState }) => {
          const book = await sharedState.open<{ spent: number[] }>('quota', () => ({ spent: [] }));
          expect(book.value).toEqual({ spent: [1, 2, 3] });
        },
      ));
  });
}

const RECEIPT = { ids: ['msg_1'], refused: [] };
const ANSWER = { status: 202, headers: { location: '/messages/msg_1' }, body: '{"größe":1}' };

/** As intake does: stored, then pushed. */
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
  };
  return { ...rest, attachments };
}

/** Bytes are the same whatever they are held in. */
function withBuffers(delivery: Delivery | null) {
  const attachments = delivery?.content?.attachments.map((attachment) => ({
    ...attachment,
    content: Buffer.from(attachment.content),
  }));
  return { ...delivery, content: delivery?.content && { ...delivery.content, attachments } };
}

function seedOf(claim: IdempotencyClaim): string {
  if (claim.kind !== 'new') throw new Error(`it is ${claim.kind}`);
  return claim.seed;
}
