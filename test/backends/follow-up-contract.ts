import { describe, expect, test, vi } from 'vitest';
import { advance, type Delivery, type Status } from '../../src/core/delivery/delivery.ts';
import { applyInbound } from '../../src/core/inbound/apply.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import type { DeliveryStore } from '../../src/core/ports/delivery-store.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aBounce, aReply } from '../helpers/inbound.ts';
import type { BackendLimits } from './backend-contract.ts';

const ROOMY: BackendLimits = { maxMessages: 1000, maxBytes: 1e6, retainMs: 60_000 };

/** Tests of what every backend must do with mail that follows a message. */
export function followUpContract(name: string, open: (limits: BackendLimits) => Promise<Backend>): void {
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

  describe(`follow-ups on ${name}`, () => {
    test(
      'change a settled delivery, and neither the numbers nor the queue',
      withBackend(async ({ store, queue }) => {
        const sent = await settle(store, 'sent');
        const before = await store.stats(null, Date.now());
        const replied = await follow(store, sent, aReply());
        const bounced = await follow(store, replied, aBounce());
        expect(await store.get(sent.id)).toEqual(bounced);
        expect(await store.update(sent, { ...sent, revision: 9 })).toBe(false);
        expect(await store.stats(null, Date.now())).toEqual(before);
        await queue.push('msg_next', { channel: sent.account, afterMs: 0, priority: 'normal' });
        expect(await queue.take(sent.account, AbortSignal.timeout(5000))).toBe('msg_next');
      }),
    );

    test(
      'leave the content of a delivery that can be retried',
      withBackend(async ({ store }) => {
        const uncertain = await settle(store, 'uncertain');
        const bounced = await follow(store, uncertain, aBounce());
        expect(bounced.content).not.toBeNull();
        expect(await store.get(uncertain.id)).toEqual(bounced);
        expect(await store.content(uncertain.id)).toEqual(uncertain.content);
        const again = advance(bounced, 'queued', { finishedAt: null });
        expect(await store.update(bounced, again)).toBe(true);
        expect(await store.get(uncertain.id)).toEqual(again);
      }),
    );

    test(
      'leave the content that RETAIN_CONTENT keeps',
      withBackend(
        async ({ store }) => {
          const sent = await settle(store, 'sent');
          const kept = await store.content(sent.id);
          await follow(store, sent, aBounce());
          expect(kept).not.toBeNull();
          expect(await store.content(sent.id)).toEqual(kept);
        },
        { retainContentMs: 60_000 },
      ),
    );

    test(
      'do not make a delivery stay for longer than RETAIN',
      withBackend(
        async ({ store }) => {
          const startedAt = performance.now();
          const sent = await settle(store, 'sent');
          await vi.waitFor(() => expect(performance.now() - startedAt).toBeGreaterThan(1000), 5000);
          // On a busy machine it may be gone already.
          await store.update(sent, applyInbound(sent, aBounce())?.delivery ?? sent);
          const bouncedAt = performance.now();
          await vi.waitFor(async () => expect(await store.get(sent.id)).toBeNull(), 5000);
          expect(performance.now() - bouncedAt).toBeLessThan(1800);
        },
        { retainMs: 2000 },
      ),
    );
  });

  describe(`the index of sent mail of ${name}`, () => {
    const mail = {
      id: 'msg_1',
      owner: 'crm',
      account: 'bot@acme.com',
      recipients: ['Ada@example.com', 'bob@example.com'],
    };

    test(
      'returns what was added last for an id, and null for other ids',
      withBackend(async ({ sentIndex }) => {
        await sentIndex.add([mail, { ...mail, id: 'msg_2' }]);
        await sentIndex.add([{ ...mail, id: 'msg_2', account: 'other@acme.com' }]);
        expect(await sentIndex.find('msg_1')).toEqual(mail);
        expect(await sentIndex.find('msg_2')).toMatchObject({ account: 'other@acme.com' });
        expect(await sentIndex.find('msg_3')).toBeNull();
      }),
    );
  });
}

/** Stores a delivery that has settled. */
async function settle(store: DeliveryStore, status: Status): Promise<Delivery> {
  const delivery = aDelivery();
  const sending = advance(delivery, 'sending');
  const recipients = delivery.recipients.map((recipient) => ({ ...recipient, status: 'accepted' }) as const);
  const settled = advance(sending, status, { recipients, finishedAt: Date.now() });
  await store.insert(delivery);
  expect(await store.update(delivery, sending)).toBe(true);
  expect(await store.update(sending, settled, { kind: 'done' })).toBe(true);
  return settled;
}

/** Records a mail, and returns the changed delivery. */
async function follow(
  store: DeliveryStore,
  delivery: Delivery,
  mail: Parameters<typeof applyInbound>[1],
): Promise<Delivery> {
  const applied = applyInbound(delivery, mail);
  if (applied === null) throw new Error('the mail changes nothing');
  expect(await store.update(delivery, applied.delivery)).toBe(true);
  return applied.delivery;
}
