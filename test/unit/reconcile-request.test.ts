import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import type { Delivery } from '../../src/core/delivery/delivery.ts';
import type { SentResult } from '../../src/core/ports/mailbox.ts';
import { CALLER, type Core, type CoreSetup, type FindSent } from '../helpers/core.ts';
import {
  ABSENT,
  becomes,
  DOWN,
  FOUND,
  failing,
  finds,
  hangs,
  LOST,
  REFUSED,
  sends,
  startReconciling,
} from '../helpers/reconcile.ts';

describe('a client that asks for a search', () => {
  const never = new AbortController().signal;
  const reconcile = (core: Core, id: string) => core.reconciliation.reconcile(id, CALLER, never);

  async function anUncertain(findSent: FindSent, setup: CoreSetup = {}) {
    const core = startReconciling(sends(LOST), findSent, { lookForMs: 5000, onUncertain: 'hold', ...setup });
    const { id } = await core.accept();
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'uncertain' });
    return { core, id };
  }

  test('gets an uncertain message as sent if it is found', async () => {
    const { core, id } = await anUncertain(finds(ABSENT, FOUND));
    const settled: string[] = [];
    core.events.on('message.settled', ({ status }) => settled.push(status));
    const { delivery, isSearched } = await reconcile(core, id);
    expect(isSearched).toBe(true);
    expect(delivery).toMatchObject({
      status: 'sent',
      content: null,
      attempts: [{ confirmedBy: 'sent_mail' }],
    });
    expect(settled).toEqual(['sent']);
    await expect(reconcile(core, id)).rejects.toMatchObject({ code: 'not_reconcilable' });
  });

  test('gets it unchanged, with a detail of the search, if it is not found, each time', async () => {
    const { core, id } = await anUncertain(finds(ABSENT));
    const settled: string[] = [];
    core.events.on('message.settled', ({ status }) => settled.push(status));
    for (let i = 0; i < 3; i += 1) {
      const { delivery } = await reconcile(core, id);
      expect(delivery).toMatchObject({ status: 'uncertain', error: { code: 'delivery_uncertain' } });
      expect(delivery.error?.detail).toMatch(
        /connection_lost happened\. It was not found in Sent Mail \d+ s after the attempt\.$/,
      );
      expect(delivery.content).not.toBeNull();
    }
    expect(settled).toEqual([]);
    // It can still be retried.
    await core.messages.retry(id, CALLER);
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent', possibleDuplicate: true });
  });

  test('gets the result of a search that began after it asked', async () => {
    const slow = Promise.withResolvers<SentResult>();
    const results = [ABSENT, slow.promise, FOUND];
    let searches = 0;
    const { core, id } = await anUncertain(() => results[searches++] ?? ABSENT);
    const earlier = reconcile(core, id);
    await vi.waitFor(() => expect(searches).toBe(2));
    const { lookup } = (await core.store.get(id)) as Delivery;
    await delay(5);
    const later = reconcile(core, id);
    await becomes(core, id, (now) => now.lookup?.requestedAt !== lookup?.requestedAt);
    slow.resolve(ABSENT);
    expect((await later).delivery.status).toBe('sent');
    await earlier;
    expect(searches).toBe(3);
  });

  test('gets the reason if the mailbox cannot be searched, and a login that was refused is tried again', async () => {
    const { core, id } = await anUncertain(finds(failing(REFUSED), failing(DOWN), FOUND));
    const outcome = () =>
      reconcile(core, id).then(
        ({ delivery }) => delivery.status,
        ({ code, message }) => `${code}: ${message}`,
      );
    for (const expected of ['imap_unavailable: No route to host.', 'sent'])
      await vi.waitFor(async () => expect(await outcome()).toBe(expected), 5000);
  });

  test('speeds up the search of a message that is looked up already', async () => {
    const find = finds(ABSENT, FOUND);
    const core = startReconciling(sends(LOST), find, { backoffScale: 1, onUncertain: 'hold' });
    const { id } = await core.accept();
    await becomes(core, id, ({ lookup }) => lookup !== null);
    const { delivery } = await reconcile(core, id);
    expect(delivery).toMatchObject({
      status: 'deferred',
      lookup: { lookedAt: expect.any(Number), state: 'looking' },
    });
    expect(delivery.error?.detail).toMatch(/It was not found in Sent Mail\. The search goes on\.$/);
    expect((await reconcile(core, id)).delivery.status).toBe('sent');
  });

  test('does not hasten the retry of a message that waits for it', async () => {
    const find = finds(ABSENT, ABSENT, FOUND);
    // The back-off of four hours at most is the wait until RETRY_FOR ends.
    const core = startReconciling(
      sends({ ...LOST, fault: LOST.fault && { ...LOST.fault, backoffMs: [3_600_000_000] } }),
      find,
      {
        lookForMs: 5000,
        retryForMs: 1e9,
      },
    );
    const { id } = await core.accept();
    const waiting = await becomes(core, id, ({ lookup }) => lookup?.state === 'idle');
    const { delivery } = await reconcile(core, id);
    expect(delivery).toMatchObject({
      status: 'deferred',
      nextAttemptAt: waiting.nextAttemptAt,
      lookup: { state: 'idle' },
    });
    expect(find.calls).toBe(2);
    expect((await reconcile(core, id)).delivery.status).toBe('sent');
    expect(core.jobs).toHaveLength(1);
  });

  test('gets a response without a result if the search takes too long for the request', async () => {
    const results = [ABSENT];
    const { core, id } = await anUncertain((...search) => results.shift() ?? hangs(...search));
    expect(await core.reconciliation.reconcile(id, CALLER, AbortSignal.abort())).toMatchObject({
      isSearched: false,
      delivery: { status: 'uncertain' },
    });
  });

  test('can retry the message while it is searched for', async () => {
    const { promise, resolve } = Promise.withResolvers<SentResult>();
    const results = [ABSENT, promise];
    const { core, id } = await anUncertain(() => results.shift() ?? FOUND);
    const asked = reconcile(core, id);
    await vi.waitFor(() => expect(results).toHaveLength(0));
    await core.messages.retry(id, CALLER);
    resolve(FOUND);
    expect((await asked).delivery).toMatchObject({ status: 'sent', lookup: null });
    expect(core.jobs).toHaveLength(1);
    expect(core.failures).toEqual([]);
  });

  test('gets the result of a search although other clients ask again while it runs', async () => {
    const results = [ABSENT];
    const core = startReconciling(sends(LOST), () => results.shift() ?? delay(200, FOUND), {
      lookForMs: 5000,
      onUncertain: 'hold',
    });
    const { id } = await core.accept();
    await core.outcomeOf(id);
    let isAsking = true;
    const asking = (async () => {
      while (isAsking) {
        await core.reconciliation.reconcile(id, CALLER, AbortSignal.abort()).catch(() => {});
        await delay(20);
      }
    })();
    try {
      await becomes(core, id, ({ status }) => status === 'sent');
    } finally {
      isAsking = false;
      await asking;
    }
  });

  test('is refused for a message that no attempt may have sent', async () => {
    const core = startReconciling(sends(), finds(FOUND), { dispatch: false });
    const { id } = await core.accept();
    await expect(reconcile(core, id)).rejects.toMatchObject({
      code: 'not_reconcilable',
      message: 'The message is queued, and no attempt with an unknown outcome is open.',
    });
    await expect(reconcile(core, 'msg_0')).rejects.toMatchObject({ code: 'message_not_found' });
  });

  test('can search for an uncertain message whose record is of version 0.2', async () => {
    const { core, id } = await anUncertain(finds(ABSENT, FOUND));
    const stored = await core.store.get(id);
    if (!stored) throw new Error('it is gone');
    await core.store.update(stored, { ...stored, revision: stored.revision + 1, lookup: null });
    expect((await reconcile(core, id)).delivery).toMatchObject({
      status: 'sent',
      recipients: [{ status: 'accepted' }],
    });
  });
});
