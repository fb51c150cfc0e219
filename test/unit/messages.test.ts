import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CALLER, type Core, type CoreSetup, type Send, startCore } from '../helpers/core.ts';
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

test('a message is known to the key that sent it and to an admin, and to nobody else', async () => {
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
  const query = {
    statuses: null,
    tag: null,
    recipient: null,
    createdAfter: null,
    createdBefore: null,
    limit: 10,
    after: null,
  };
  expect(await messages.list(query, SHOP)).toEqual([]);
  expect(await messages.list(query, CALLER)).toHaveLength(1);
  expect(await messages.list(query, ADMIN)).toHaveLength(1);
});

describe('canceling', () => {
  test('a scheduled message ends it, and it never goes out', async () => {
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

  test('a scheduled message leaves nothing of it in the queue', async () => {
    const { accept, messages, queue } = start();
    const { id } = await accept({ scheduledAt: Date.now() + HOUR });
    await messages.cancel(id, CALLER);
    // The queue takes an id that it does not know, and only such a one.
    await queue.push(id, { channel: 'another', afterMs: 0, priority: 'normal' });
    expect(await queue.take('another', AbortSignal.timeout(1000))).toBe(id);
  });

  test('a deferred message ends it', async () => {
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

  test('is refused while an attempt runs, and when the message is settled, saying how it is', async () => {
    const { promise: answer, resolve: release } = Promise.withResolvers<void>();
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const core = start(async (job) => {
      begin();
      await answer;
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

  test('and an attempt that starts exclude each other: of many, each message is either canceled or sent', async () => {
    const core = start(
      async (job) => {
        await nextTurn();
        return anAcceptance(job.recipients);
      },
      { lanes: 4 },
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

describe('trying again', () => {
  test('a failed message sends it with the same Message-ID to all who did not get it', async () => {
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

  test('an uncertain message names only those who may not have it, and says that a second copy may exist', async () => {
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

  test('an expired message forgets the time that has passed', async () => {
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

  test('works at the very moment the message fails, and is never lost', async () => {
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

  test('is refused for a message that is on its way, sent or canceled, and while the service shuts down', async () => {
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

describe('another scheduled_at', () => {
  test('in the past sends it now', async () => {
    const core = start();
    const { id } = await core.accept({ scheduledAt: Date.now() + HOUR });
    expect(await core.messages.reschedule(id, Date.now() - 5, CALLER)).toMatchObject({ status: 'scheduled' });
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent' });
  });

  test('further ahead puts it off', async () => {
    const core = start();
    const first = await core.accept({ scheduledAt: Date.now() + 20 });
    const scheduledAt = Date.now() + HOUR;
    expect(await core.messages.reschedule(first.id, scheduledAt, CALLER)).toMatchObject({ scheduledAt });
    const second = await core.accept({ scheduledAt: Date.now() + 40 });
    await core.outcomeOf(second.id);
    expect(await core.store.get(first.id)).toMatchObject({ status: 'scheduled', scheduledAt });
  });

  test('is refused when it is not before expires_at, and when the message is not scheduled any more', async () => {
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

  test('at the moment its time has come either holds or is refused', async () => {
    const core = start(take, { lanes: 3 });
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
