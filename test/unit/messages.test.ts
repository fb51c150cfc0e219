import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { applyInbound } from '../../src/core/inbound/apply.ts';
import { ALL_MESSAGES } from '../../src/core/messages.ts';
import { CALLER, type Core, type CoreSetup, type Send, startCore } from '../helpers/core.ts';
import { aBounce } from '../helpers/inbound.ts';
import { aCaller } from '../helpers/keys.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';

const HOUR = 3_600_000;
const SHOP = aCaller({ name: 'shop' });
const ADMIN = aCaller({ name: 'boss', scopes: ['admin'] });
const take: Send = (job) => anAcceptance(job.recipients);

function start(send: Send = take, setup: CoreSetup = {}): Core {
  const core = startCore(send, setup);
  onTestFinished(() => core[Symbol.asyncDispose]());
  return core;
}

test('only the key that sent a message and an admin can access it', async () => {
  const { messages, accept } = start();
  const { id } = await accept({ scheduledAt: Date.now() + HOUR });
  expect((await messages.get(id, ADMIN)).id).toBe(id);
  const asked = [
    messages.get(id, SHOP),
    messages.cancel(id, SHOP),
    messages.retry(id, SHOP),
    messages.reschedule(id, 0, SHOP),
    messages.get('msg_unknown', CALLER),
  ];
  for (const attempt of asked) await expect(attempt).rejects.toMatchObject({ code: 'message_not_found' });
  const query = { ...ALL_MESSAGES, limit: 10, after: null };
  expect(await messages.list(query, SHOP)).toEqual([]);
  expect(await messages.list(query, CALLER)).toHaveLength(1);
  expect(await messages.list(query, ADMIN)).toHaveLength(1);
  const byKey = { ...query, key: CALLER.name };
  expect(await messages.list(byKey, ADMIN)).toHaveLength(1);
  expect(await messages.list(byKey, CALLER)).toHaveLength(1);
  expect(await messages.list({ ...query, key: SHOP.name }, ADMIN)).toEqual([]);
  await expect(messages.list(byKey, SHOP)).rejects.toMatchObject({ code: 'insufficient_scope' });
});

describe('canceling', () => {
  test('a scheduled message settles it, and it is never sent', async () => {
    const core = start();
    const { id } = await core.accept({ scheduledAt: Date.now() + 30 });
    const settled = new Promise((resolve) => core.events.once('message.settled', resolve));
    expect(await core.messages.cancel(id, CALLER)).toMatchObject({
      status: 'canceled',
      content: null,
      finishedAt: expect.any(Number),
    });
    expect(await settled).toMatchObject({ id, status: 'canceled' });
    const next = await core.accept({ scheduledAt: Date.now() + 60 });
    await core.outcomeOf(next.id);
    expect(core.jobs.map((job) => job.id)).toEqual([next.id]);
  });

  test('a scheduled message removes it from the queue', async () => {
    const { accept, messages, queue } = start();
    const { id } = await accept({ scheduledAt: Date.now() + HOUR });
    await messages.cancel(id, CALLER);
    // Pushing an id that the queue still holds would have no effect.
    await queue.push(id, { channel: 'another', afterMs: 0, priority: 'normal' });
    expect(await queue.take('another', AbortSignal.timeout(1000))).toBe(id);
  });

  test('a deferred message settles it', async () => {
    const core = start(() => aFailure(aFault('connect_failed')), { backoffScale: 1 });
    const deferred = new Promise((resolve) => core.events.once('message.deferred', resolve));
    const { id } = await core.accept();
    await deferred;
    expect(await core.messages.cancel(id, CALLER)).toMatchObject({
      status: 'canceled',
      nextAttemptAt: null,
      attempts: [{ number: 1 }],
    });
  });

  test('is refused while an attempt runs and when the message is settled, with its status', async () => {
    const { promise: reply, resolve: release } = Promise.withResolvers<void>();
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const core = start(async (job) => {
      begin();
      await reply;
      return anAcceptance(job.recipients);
    });
    const { id } = await core.accept();
    await begun;
    await expect(core.messages.cancel(id, CALLER)).rejects.toMatchObject({
      code: 'not_cancelable',
      message: 'The message is sending.',
    });
    release();
    await core.outcomeOf(id);
    await expect(core.messages.cancel(id, CALLER)).rejects.toMatchObject({
      code: 'not_cancelable',
      message: 'The message is sent.',
    });
  });

  test('and the start of an attempt exclude each other: each message is either canceled or sent', async () => {
    const core = start(
      async (job) => {
        await nextTurn();
        return anAcceptance(job.recipients);
      },
      { workers: 4 },
    );
    const outcomes = await Promise.all(
      Array.from({ length: 400 }, async (_, i) => {
        const { id } = await core.accept();
        for (let turn = 0; turn < i % 7; turn++) await Promise.resolve();
        if (i % 3 === 0) await nextTurn();
        const canceled = await core.messages.cancel(id, CALLER).then(
          () => true,
          () => false,
        );
        return { id, canceled };
      }),
    );
    for (const { id, canceled } of outcomes) {
      expect((await core.outcomeOf(id)).status).toBe(canceled ? 'canceled' : 'sent');
      expect(core.jobs.filter((job) => job.id === id)).toHaveLength(canceled ? 0 : 1);
    }
    expect(new Set(outcomes.map(({ canceled }) => canceled))).toEqual(new Set([true, false]));
  });
});

describe('retrying', () => {
  test('a failed message sends it with the same Message-ID to every recipient that did not get it', async () => {
    let works = false;
    const core = start((job) =>
      works ? anAcceptance(job.recipients) : aFailure(aFault('content_rejected', { retryable: false })),
    );
    const { id, messageId } = await core.accept({ to: ['ada@example.com', 'bob@example.com'] });
    expect(await core.outcomeOf(id)).toMatchObject({
      status: 'failed',
      recipients: [{ status: 'rejected' }, { status: 'rejected' }],
    });
    works = true;
    expect(await core.messages.retry(id, CALLER)).toMatchObject({
      status: 'queued',
      error: null,
      finishedAt: null,
      retriedForMs: 0,
    });
    expect(await core.outcomeOf(id)).toMatchObject({
      status: 'sent',
      messageId,
      attempts: [{ number: 1 }, { number: 2 }],
    });
    expect(core.jobs.map((job) => [job.messageId, job.recipients.length, job.content.text])).toEqual([
      [messageId, 2, 'Hello.'],
      [messageId, 2, 'Hello.'],
    ]);
  });

  test('an uncertain message sets possibleDuplicate', async () => {
    let works = false;
    const core = start(
      (job) =>
        works ? anAcceptance(job.recipients) : aFailure(aFault('connection_lost', { certain: false })),
      {
        onUncertain: 'hold',
      },
    );
    const { id } = await core.accept();
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'uncertain', possibleDuplicate: false });
    works = true;
    await core.messages.retry(id, CALLER);
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent', possibleDuplicate: true });
  });

  test('an uncertain message skips recipients that have bounced, and is refused if none is left', async () => {
    let works = false;
    const core = start(
      (job) =>
        works ? anAcceptance(job.recipients) : aFailure(aFault('connection_lost', { certain: false })),
      { onUncertain: 'hold' },
    );
    async function acceptAndBounce(to: string[]): Promise<string> {
      const { id } = await core.accept({ to });
      const uncertain = await core.outcomeOf(id);
      const bounced = applyInbound(uncertain, aBounce())?.delivery ?? uncertain;
      expect(await core.store.update(uncertain, bounced)).toBe(true);
      return id;
    }
    const both = await acceptAndBounce(['ada@example.com', 'bob@example.com']);
    const single = await acceptAndBounce(['ada@example.com']);
    works = true;
    await core.messages.retry(both, CALLER);
    expect(await core.outcomeOf(both)).toMatchObject({
      status: 'sent',
      recipients: [{ status: 'bounced' }, { status: 'accepted' }],
    });
    expect(core.jobs.at(-1)?.recipients).toEqual(['bob@example.com']);
    await expect(core.messages.retry(single, CALLER)).rejects.toMatchObject({ code: 'not_retryable' });
  });

  test('an expired message clears an expires_at in the past', async () => {
    let works = false;
    const core = start((job) => (works ? anAcceptance(job.recipients) : aFailure(aFault('connect_failed'))), {
      backoffScale: 1,
    });
    const { id } = await core.accept({ expiresAt: Date.now() + 30 });
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'expired' });
    works = true;
    expect(await core.messages.retry(id, CALLER)).toMatchObject({ status: 'queued', expiresAt: null });
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent' });
  });

  test('works at the moment the message fails, and never loses it', async () => {
    let failures = 0;
    const core = start((job) => {
      if (failures === 50) return anAcceptance(job.recipients);
      failures++;
      return aFailure(aFault('content_rejected', { retryable: false }));
    });
    const { id } = await core.accept();
    while ((await core.store.get(id))?.status !== 'sent') {
      await core.messages.retry(id, CALLER).catch(() => {});
    }
    expect(core.jobs).toHaveLength(51);
  });

  test('is refused for a scheduled, sent or canceled message, and while the service shuts down', async () => {
    const core = start();
    const sent = await core.accept();
    await core.outcomeOf(sent.id);
    const waiting = await core.accept({ scheduledAt: Date.now() + HOUR });
    for (const { id } of [sent, waiting]) {
      await expect(core.messages.retry(id, CALLER)).rejects.toMatchObject({ code: 'not_retryable' });
    }
    await core.messages.cancel(waiting.id, CALLER);
    await expect(core.messages.retry(waiting.id, CALLER)).rejects.toMatchObject({ code: 'not_retryable' });
    core.startDraining();
    await expect(core.messages.retry(sent.id, CALLER)).rejects.toMatchObject({ code: 'shutting_down' });
  });
});

describe('rescheduling', () => {
  test('to the past sends the message now', async () => {
    const core = start();
    const { id } = await core.accept({ scheduledAt: Date.now() + HOUR });
    expect(await core.messages.reschedule(id, Date.now() - 5, CALLER)).toMatchObject({ status: 'scheduled' });
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent' });
  });

  test('to a later time postpones the message', async () => {
    const core = start();
    const first = await core.accept({ scheduledAt: Date.now() + 20 });
    const scheduledAt = Date.now() + HOUR;
    expect(await core.messages.reschedule(first.id, scheduledAt, CALLER)).toMatchObject({ scheduledAt });
    const second = await core.accept({ scheduledAt: Date.now() + 40 });
    await core.outcomeOf(second.id);
    expect(await core.store.get(first.id)).toMatchObject({ status: 'scheduled', scheduledAt });
  });

  test('is refused if not before expires_at, or if the message is no longer scheduled', async () => {
    const core = start();
    const { id } = await core.accept({ scheduledAt: Date.now() + HOUR, expiresAt: Date.now() + 2 * HOUR });
    const late = core.messages.reschedule(id, Date.now() + 2 * HOUR, CALLER);
    await expect(late).rejects.toMatchObject({
      code: 'validation_failed',
      errors: [{ pointer: '/scheduled_at' }],
    });
    await core.messages.cancel(id, CALLER);
    await expect(core.messages.reschedule(id, 0, CALLER)).rejects.toMatchObject({
      code: 'not_reschedulable',
      message: 'The message is canceled.',
    });
  });

  test('at the moment a message becomes due either takes effect or is refused', async () => {
    const core = start(take, { workers: 3 });
    const later = Date.now() + HOUR;
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const { id } = await core.accept({ scheduledAt: Date.now() + 1 + (i % 5) });
        while (Date.now() % 5 !== i % 5) await nextTurn();
        return { id, moved: await core.messages.reschedule(id, later, CALLER).then(Boolean, () => false) };
      }),
    );
    for (const { id, moved } of outcomes) {
      if (!moved) expect((await core.outcomeOf(id)).status).toBe('sent');
      else expect(await core.store.get(id)).toMatchObject({ status: 'scheduled', scheduledAt: later });
      expect(core.jobs.filter((job) => job.id === id)).toHaveLength(moved ? 0 : 1);
    }
  });
});
