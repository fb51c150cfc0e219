import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Delivery, Status } from '../../src/core/delivery/delivery.ts';
import type { Outcome } from '../../src/core/delivery/outcome.ts';
import { AppError } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import type { DeliveryStore } from '../../src/core/ports/delivery-store.ts';
import { createWaiters } from '../../src/core/waiters.ts';
import { aBackend, type Core, type CoreSetup, type Send, startCore } from '../helpers/core.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';

const LONG = 10_000;
const never = new AbortController().signal;

function start(send: Send, setup: CoreSetup = {}): Core {
  const core = startCore(send, setup);
  onTestFinished(() => core[Symbol.asyncDispose]());
  return core;
}

describe('the dispatcher', () => {
  test('emits message.deferred once per pause of the account', async () => {
    let refusals = 8;
    const refused = aFailure(aFault('bad_credentials', { scope: 'account', backoffMs: [4000] }));
    const core = start((job) => (refusals-- > 0 ? refused : anAcceptance(job.recipients)));
    let emitted = 0;
    core.events.on('message.deferred', () => emitted++);
    const messages = await Promise.all(Array.from({ length: 20 }, () => core.accept()));
    for (const { id } of messages) await core.outcomeOf(id);
    // Once per message, and once more for each message that was a probe.
    expect(emitted).toBeLessThanOrEqual(20 + 8);
  });

  test('records the start of an attempt before the transport sends', async () => {
    const seen: (Status | undefined)[] = [];
    const core = start(async (job) => {
      const delivery = await core.store.get(job.id);
      seen.push(delivery?.status);
      expect(delivery?.attempts).toMatchObject([{ number: 1, endedAt: null, account: 'bot@acme.com' }]);
      return anAcceptance(job.recipients);
    });
    const { id } = await core.accept();
    expect(await core.outcomeOf(id)).toMatchObject({
      status: 'sent',
      attempts: [{ number: 1, smtp: { code: 250 }, error: null }],
    });
    expect(seen).toEqual(['sending']);
  });

  test('retries after a transient failure, with pending recipients only', async () => {
    const core = start((job) => {
      const [first, second = ''] = job.recipients;
      if (core.jobs.length > 1) return anAcceptance(job.recipients);
      return anAcceptance(
        [first ?? ''],
        [{ email: second, fault: aFault('smtp_temporary_failure', { scope: 'recipient' }) }],
      );
    });
    const { id } = await core.accept({ to: ['ada@example.com', 'bob@example.com'] });
    expect(await core.outcomeOf(id)).toMatchObject({
      status: 'sent',
      attempts: [{ number: 1 }, { number: 2 }],
    });
    expect(core.jobs.map(({ recipients }) => recipients)).toEqual([
      ['ada@example.com', 'bob@example.com'],
      ['bob@example.com'],
    ]);
  });

  test('uses the same Message-ID and date for every attempt', async () => {
    const core = start((job) =>
      core.jobs.length < 3 ? aFailure(aFault('connection_lost')) : anAcceptance(job.recipients),
    );
    const { id } = await core.accept();
    await core.outcomeOf(id);
    expect(new Set(core.jobs.map(({ messageId, date }) => `${messageId} ${date}`)).size).toBe(1);
  });

  test('defers all messages on a fault of the account without counting attempts, and sends them once it works', async () => {
    let loginWorks = false;
    const core = start(
      (job) =>
        loginWorks ? anAcceptance(job.recipients) : aFailure(aFault('bad_credentials', { scope: 'account' })),
      {
        workers: 3,
      },
    );
    const accepted = await Promise.all(Array.from({ length: 50 }, () => core.accept()));
    await expect
      .poll(
        async () =>
          (await Promise.all(accepted.map(({ id }) => core.store.get(id)))).every(
            (it) => it?.status === 'deferred',
          ),
        {
          interval: 1,
        },
      )
      .toBe(true);
    const waiting = await core.store.get(accepted[0]?.id ?? '');
    expect(waiting).toMatchObject({
      attempts: [],
      error: { code: 'bad_credentials' },
      nextAttemptAt: expect.any(Number),
    });
    loginWorks = true;
    for (const { id } of accepted)
      expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent', attempts: [{ number: 1 }] });
    const sentTimes = new Map<string, number>();
    for (const { id } of core.jobs.slice(-50)) sentTimes.set(id, (sentTimes.get(id) ?? 0) + 1);
    expect([...sentTimes.values()].every((times) => times === 1)).toBe(true);
  });

  test('only one worker attempts a login that is refused', async () => {
    const gate = Promise.withResolvers<Outcome>();
    const core = start(() => gate.promise, { workers: 3, login: false });
    const accepted = await Promise.all(Array.from({ length: 20 }, () => core.accept()));
    gate.resolve(aFailure(aFault('bad_credentials', { scope: 'account', backoffMs: [LONG * 1000] })));
    await expect
      .poll(async () => (await core.store.get(accepted[19]?.id ?? ''))?.status, { interval: 1 })
      .toBe('deferred');
    expect(core.jobs).toHaveLength(1);
  });

  test('treats an attempt without a recorded end as uncertain', async () => {
    const backend = aBackend();
    const attempt = {
      number: 1,
      startedAt: 1,
      endedAt: null,
      account: 'bot@acme.com',
      smtp: null,
      error: null,
    };
    const interrupted = aDelivery({ status: 'sending', attempts: [attempt] });
    await backend.store.insert(interrupted);
    await backend.queue.push(interrupted.id, {
      channel: interrupted.account,
      afterMs: 0,
      priority: 'normal',
    });
    const core = start((job) => anAcceptance(job.recipients), { backend });
    expect(await core.outcomeOf(interrupted.id)).toMatchObject({
      status: 'sent',
      possibleDuplicate: true,
      attempts: [
        { number: 1, error: { code: 'connection_lost' } },
        { number: 2, error: null },
      ],
    });
  });

  test('expires a message instead of sending it after expires_at', async () => {
    const core = start(() => aFailure(aFault('connection_lost', { backoffMs: [LONG * 1000] })));
    const { id } = await core.accept({ expiresAt: Date.now() + 40 });
    expect(await core.outcomeOf(id)).toMatchObject({
      status: 'expired',
      error: { code: 'expired' },
      attempts: [{ number: 1 }],
    });
    expect(core.jobs).toHaveLength(1);
  });

  test('sends a message that would expire during its back-off as soon as a probe reaches the server', async () => {
    const unreachable = aFault('connect_failed', {
      scope: 'connection',
      noSession: true,
      backoffMs: [LONG * 1000],
    });
    const core = start(
      (job) => (core.jobs.length > 1 ? anAcceptance(job.recipients) : aFailure(unreachable)),
      {
        backoffScale: 1,
        retryForMs: 3_600_000,
      },
    );
    const deferred = new Promise((resolve) => core.events.once('message.deferred', resolve));
    const { id } = await core.accept({ expiresAt: Date.now() + 60_000 });
    await deferred;
    await core.accounts.verify('bot@acme.com', never);
    expect(await core.outcomeOf(id)).toMatchObject({
      status: 'sent',
      attempts: [{ number: 1 }, { number: 2 }],
    });
  });

  test('sends a scheduled message at its time', async () => {
    const core = start((job) => anAcceptance(job.recipients));
    const scheduledAt = Date.now() + 60;
    const delivery = await core.accept({ scheduledAt });
    expect(delivery.status).toBe('scheduled');
    const sent = await core.outcomeOf(delivery.id);
    expect(sent.attempts[0]?.startedAt).toBeGreaterThanOrEqual(scheduledAt - 5);
  });

  test('reports a failed worker and leaves the message sending', async () => {
    const core = start((job) => {
      if (core.jobs.length === 1) throw new Error('a bug');
      return anAcceptance(job.recipients);
    });
    const { id } = await core.accept();
    await expect.poll(() => core.failures, { interval: 1 }).toHaveLength(1);
    expect(await core.store.get(id)).toMatchObject({ status: 'sending' });
  });

  test('draining waits for the attempt under way and takes no more messages', async () => {
    const gate = Promise.withResolvers<Outcome>();
    const core = start(() => gate.promise);
    const first = await core.accept();
    const second = await core.accept();
    await expect.poll(() => core.jobs.length, { interval: 1 }).toBe(1);
    const drained = core.drain();
    gate.resolve(anAcceptance(['ada@example.com']));
    await drained;
    expect(await core.store.get(first.id)).toMatchObject({ status: 'sent' });
    expect(await core.store.get(second.id)).toMatchObject({ status: 'queued', attempts: [] });
  });
});

describe('while the store is unavailable, the dispatcher', () => {
  /** A backend whose store calls `update` for each transition from `sending`. */
  function withUpdate(update: (persist: () => Promise<boolean>, nth: number) => Promise<boolean>) {
    const backend = aBackend();
    const { store } = backend;
    let ends = 0;
    const flaky: DeliveryStore = {
      ...store,
      update: (...change) =>
        change[0].status === 'sending'
          ? update(() => store.update(...change), ++ends)
          : store.update(...change),
    };
    return { backend: { ...backend, store: flaky }, ends: () => ends };
  }

  const unavailable = () => Promise.reject(new AppError('queue_unavailable'));

  test('keeps the outcome of an attempt and stores it later, without sending twice', async () => {
    const { backend, ends } = withUpdate((persist, nth) => (nth <= 2 ? unavailable() : persist()));
    const core = start((job) => anAcceptance(job.recipients), { backend });
    const { id } = await core.accept();
    expect(await core.outcomeOf(id)).toMatchObject({
      status: 'sent',
      attempts: [{ number: 1, error: null }],
      possibleDuplicate: false,
    });
    expect([core.jobs.length, ends(), core.failures]).toEqual([1, 3, []]);
  });

  test('stores an outcome once even if the reply to the write was lost', async () => {
    const { backend, ends } = withUpdate(async (persist, nth) => {
      const persisted = await persist();
      return nth === 1 ? unavailable() : persisted;
    });
    const core = start((job) => anAcceptance(job.recipients), { backend });
    const settled: string[] = [];
    core.events.on('message.settled', (delivery) => settled.push(delivery.id));
    const { id } = await core.accept();
    await expect.poll(() => settled, { timeout: 5000 }).toEqual([id]);
    expect(await core.store.get(id)).toMatchObject({ status: 'sent', attempts: [{ number: 1 }] });
    const next = await core.accept();
    await core.outcomeOf(next.id);
    expect(core.jobs.map((job) => job.id)).toEqual([id, next.id]);
    expect(ends()).toBe(3);
  });

  test('starts no attempt that it cannot record', async () => {
    const backend = aBackend();
    const { store } = backend;
    let left = 1;
    const flaky: DeliveryStore = {
      ...store,
      update: (...change) => (left-- > 0 ? unavailable() : store.update(...change)),
    };
    const core = start((job) => anAcceptance(job.recipients), { backend: { ...backend, store: flaky } });
    const { id } = await core.accept();
    expect(core.jobs).toEqual([]);
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent', attempts: [{ number: 1 }] });
    expect(core.jobs).toHaveLength(1);
  });
});

describe('a waiting request', () => {
  test('gets the settled delivery', async () => {
    const core = start((job) => anAcceptance(job.recipients));
    const { id } = await core.accept();
    expect(await core.waiters.wait(id, LONG, never)).toMatchObject({ id, status: 'sent' });
    expect(await core.waiters.wait(id, LONG, never)).toMatchObject({ id, status: 'sent' });
  });

  test('waits through a transient failure', async () => {
    const core = start((job) =>
      core.jobs.length === 1 ? aFailure(aFault('connection_lost')) : anAcceptance(job.recipients),
    );
    const { id } = await core.accept();
    expect(await core.waiters.wait(id, LONG, never)).toMatchObject({ status: 'sent', attempts: [{}, {}] });
  });

  describe('for a message that another instance sends', () => {
    function elsewhere() {
      const first = aDelivery({ status: 'sending' });
      let current: Delivery = first;
      let notify = (_id: string) => {};
      const get = vi.fn(async () => current);
      const waiters = createWaiters({
        store: { get, onRemoteChange: (listener) => (notify = listener) },
        events: createEvents(),
      });
      return {
        id: first.id,
        get,
        waiting: waiters.wait(first.id, LONG, never),
        become(patch: Partial<Delivery>) {
          current = { ...first, ...patch };
          notify(first.id);
        },
        notify: (id: string) => notify(id),
      };
    }

    test('gets it once that instance has settled it', async () => {
      const { become, waiting, id } = elsewhere();
      become({ status: 'sent', finishedAt: 1 });
      expect(await waiting).toMatchObject({ id, status: 'sent' });
    });

    test('ends without it once that instance has paused the account', async () => {
      const { become, waiting } = elsewhere();
      const { error } = aFault('bad_credentials', { scope: 'account' });
      become({ status: 'deferred', error });
      expect(await waiting).toBeNull();
    });

    test('keeps waiting when that instance has deferred it for another reason', async () => {
      const { become, waiting } = elsewhere();
      become({ status: 'deferred', error: aFault('smtp_temporary_failure').error });
      expect(await Promise.race([waiting, new Promise((later) => setImmediate(later, 'waits'))])).toBe(
        'waits',
      );
      become({ status: 'sent', finishedAt: 1 });
      expect(await waiting).toMatchObject({ status: 'sent' });
    });

    test('reads only the message it waits for', async () => {
      const { get, notify, become, waiting } = elsewhere();
      get.mockClear();
      notify('msg_other');
      expect(get).not.toHaveBeenCalled();
      become({ status: 'sent', finishedAt: 1 });
      await waiting;
    });
  });

  test('ends at once when the account is paused', async () => {
    const core = start(() =>
      aFailure(aFault('bad_credentials', { scope: 'account', backoffMs: [LONG * 1000] })),
    );
    expect(await core.waiters.wait((await core.accept()).id, LONG, never)).toBeNull();
    expect(await core.waiters.wait((await core.accept()).id, LONG, never)).toBeNull();
  });

  test('can wait through a pause of the account', async () => {
    let paused = true;
    const core = start((job) =>
      paused
        ? aFailure(aFault('bad_credentials', { scope: 'account', backoffMs: [LONG] }))
        : anAcceptance(job.recipients),
    );
    const { id } = await core.accept();
    const waiting = core.waiters.wait(id, LONG * 1000, never, { throughPauses: true });
    expect(await core.waiters.wait(id, LONG, never)).toBeNull();
    paused = false;
    await core.accounts.verify('bot@acme.com', never);
    expect(await waiting).toMatchObject({ id, status: 'sent' });
  });

  test('ends when its time is up, when its signal is aborted, and when the service stops', async () => {
    const core = start(
      () =>
        new Promise<Outcome>((resolve) =>
          core.events.once('account.resumed', () => resolve(aFailure(aFault('connection_lost')))),
        ),
    );
    const { id } = await core.accept();
    expect(await core.waiters.wait(id, 10, never)).toBeNull();
    expect(await core.waiters.wait(id, LONG, AbortSignal.abort())).toBeNull();
    const left = new AbortController();
    const waiting = core.waiters.wait(id, LONG, left.signal);
    left.abort();
    expect(await waiting).toBeNull();
    const last = core.waiters.wait(id, LONG, never);
    core.waiters.release();
    expect(await last).toBeNull();
    core.events.emit('account.resumed', '');
  });
});

describe('intake', () => {
  test('assigns an id of 128 random bits and a Message-ID in the domain of the sender', async () => {
    const core = start((job) => anAcceptance(job.recipients));
    const { id, messageId } = await core.accept();
    expect(id).toMatch(/^msg_[0-9a-f]{32}$/);
    expect(messageId).toBe(`<${id}@acme.com>`);
    const ids = await Promise.all(Array.from({ length: 600 }, async () => (await core.accept()).id));
    expect(new Set(ids).size).toBe(600);
  });

  test('refuses while the service shuts down', async () => {
    const core = start((job) => anAcceptance(job.recipients));
    core.startDraining();
    await expect(core.accept()).rejects.toMatchObject({ code: 'shutting_down' });
  });

  test('lists each mailbox once among the recipients', async () => {
    const core = start((job) => anAcceptance(job.recipients));
    const { recipients } = await core.accept({
      to: ['ada@example.com', 'bob@example.com', 'ada@example.com'],
    });
    expect(recipients.map(({ email }) => email)).toEqual(['ada@example.com', 'bob@example.com']);
  });
});

describe('while the end of an attempt is being stored', () => {
  /** A backend whose store holds the first end of an attempt back until `release` is called. */
  function holdFirstEnd() {
    const backend = aBackend();
    const held = Promise.withResolvers<void>();
    let isHeld = false;
    const store: DeliveryStore = {
      ...backend.store,
      async update(from, to, effect) {
        if (from.status === 'sending' && !isHeld) {
          isHeld = true;
          await held.promise;
        }
        return backend.store.update(from, to, effect);
      },
    };
    return { backend: { ...backend, store }, release: held.resolve };
  }

  test('the worker stores the start of its next attempt, and sends once the end is stored', async () => {
    const { backend, release } = holdFirstEnd();
    const core = start((job) => anAcceptance(job.recipients), { backend });
    const [first, second] = [await core.accept(), await core.accept()];
    await vi.waitFor(async () =>
      expect(await core.store.get(second.id)).toMatchObject({ status: 'sending' }),
    );
    expect(await core.store.get(first.id)).toMatchObject({ status: 'sending' });
    expect(core.jobs.map(({ id }) => id)).toEqual([first.id]);
    release();
    await core.outcomeOf(second.id);
    expect(await core.store.get(first.id)).toMatchObject({ status: 'sent' });
    expect(core.jobs.map(({ id }) => id)).toEqual([first.id, second.id]);
  });

  test('draining waits until it is stored', async () => {
    const { backend, release } = holdFirstEnd();
    const core = start((job) => anAcceptance(job.recipients), { backend });
    const { id } = await core.accept();
    await vi.waitFor(() => expect(core.jobs).toHaveLength(1));
    let isDrained = false;
    const draining = core.drain().then(() => {
      isDrained = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isDrained).toBe(false);
    release();
    await draining;
    expect(await core.store.get(id)).toMatchObject({ status: 'sent' });
  });
});
