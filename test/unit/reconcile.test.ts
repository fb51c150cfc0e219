import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { advance, type Delivery } from '../../src/core/delivery/delivery.ts';
import { waitForLook } from '../../src/core/dispatch/lookup-rules.ts';
import { INTERRUPTED } from '../../src/core/dispatch/steps.ts';
import type { MailboxFault, SentResult } from '../../src/core/ports/mailbox.ts';
import {
  aBackend,
  CALLER,
  type Core,
  type CoreSetup,
  type FindSent,
  type Send,
  startCore,
} from '../helpers/core.ts';
import { aDelivery, aLookup } from '../helpers/delivery.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';

const LOST = aFailure(aFault('connection_lost', { certain: false }));
const ABSENT: SentResult = { kind: 'absent' };
const FOUND: SentResult = { kind: 'found' };
const DOWN: MailboxFault = { code: 'imap_unavailable', detail: 'No route to host.', isRefusal: false };
const REFUSED: MailboxFault = { code: 'imap_disabled', detail: 'IMAP is off.', isRefusal: true };
const TO = ['ada@example.com', 'bob@example.com'];

function start(send: Send, findSent: FindSent, setup: CoreSetup = {}): Core {
  const core = startCore(send, { findSent, ...setup });
  onTestFinished(() => core[Symbol.asyncDispose]());
  return core;
}

/** A transport whose first attempts end with these outcomes; later ones succeed. */
const sends =
  (...outcomes: (typeof LOST)[]): Send =>
  (job) =>
    outcomes.shift() ?? anAcceptance(job.recipients);

/** Searches with these results; the last one repeats. */
function finds(...results: SentResult[]): FindSent & { readonly calls: number } {
  const find = () => {
    find.calls += 1;
    return results[Math.min(find.calls, results.length) - 1] ?? ABSENT;
  };
  find.calls = 0;
  return find;
}

const failing = (fault: MailboxFault): SentResult => ({ kind: 'failed', fault });

/** A mailbox that does not respond. */
const hangs: FindSent = (_query, _user, signal) =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(failing(DOWN))));

async function becomes(core: Core, id: string, check: (delivery: Delivery) => boolean): Promise<Delivery> {
  return vi.waitFor(
    async () => {
      const delivery = await core.store.get(id);
      if (!delivery || !check(delivery)) throw new Error(`${id} is ${JSON.stringify(delivery)}`);
      return delivery;
    },
    { timeout: 5000, interval: 2 },
  );
}

describe('the times of searches', () => {
  const timesWithin = (forMs: number, scale = 1) => {
    const times: number[] = [];
    for (let at = 0; ; ) {
      const waitMs = waitForLook(at, forMs, scale);
      if (waitMs === null) return times;
      at += waitMs;
      times.push(at / 1000);
    }
  };

  test('are 5, 15 and 45 s, 2, 5 and 10 min after the attempt, each hour, and the end of RECONCILE_FOR', () => {
    expect(timesWithin(600_000)).toEqual([5, 15, 45, 120, 300, 600]);
    expect(timesWithin(3_600_000)).toEqual([5, 15, 45, 120, 300, 600, 3600]);
    expect(timesWithin(9_000_000)).toEqual([5, 15, 45, 120, 300, 600, 3600, 7200, 9000]);
    expect(timesWithin(60_000)).toEqual([5, 15, 45, 60]);
    expect(timesWithin(2000)).toEqual([2]);
    expect(timesWithin(60_000, 0.1)).toEqual([0.5, 1.5, 4.5, 6]);
  });

  test('skip what has passed while the service was down', () => {
    expect(waitForLook(100_000, 600_000, 1)).toBe(20_000);
    expect(waitForLook(600_000, 600_000, 1)).toBeNull();
  });
});

describe('a message whose attempt ended uncertain', () => {
  test.each(['retry', 'hold'] as const)(
    'is sent once it is found in Sent Mail, and is not sent again, with ON_UNCERTAIN=%s',
    async (onUncertain) => {
      const find = finds(ABSENT, ABSENT, FOUND);
      const core = start(sends(LOST), find, { onUncertain });
      const events: string[] = [];
      for (const name of ['message.deferred', 'message.settled', 'message.attempted'] as const)
        core.events.on(name, () => events.push(name));
      const { id } = await core.accept({ to: TO });
      const looking = await becomes(core, id, ({ status }) => status === 'deferred');
      expect(looking).toMatchObject({ possibleDuplicate: false, nextAttemptAt: expect.any(Number) });
      expect(looking.error).toMatchObject({ code: 'connection_lost' });
      expect(looking.error?.detail).toMatch(/^connection_lost happened\. .*Sent Mail/);
      expect(await core.outcomeOf(id)).toMatchObject({
        status: 'sent',
        error: null,
        lookup: null,
        possibleDuplicate: false,
        recipients: TO.map((email) => ({ email, status: 'accepted', smtp: null })),
        attempts: [{ number: 1, error: { code: 'connection_lost' }, confirmedBy: 'sent_mail' }],
      });
      expect([find.calls, core.jobs.length]).toEqual([3, 1]);
      expect(events).toEqual(['message.deferred', 'message.attempted', 'message.settled']);
      expect(core.accounts.status('bot@acme.com').quota).toMatchObject({ messages: { used: 1 } });
    },
  );

  test('is searched for by its Message-ID since the start of the attempt', async () => {
    const queries: object[] = [];
    const core = start(sends(LOST), (query, user) => {
      queries.push({ ...query, user });
      return FOUND;
    });
    const { id } = await core.accept();
    const { messageId, attempts } = await core.outcomeOf(id);
    expect(queries).toEqual([{ messageId, since: attempts[0]?.startedAt, user: 'bot@acme.com' }]);
  });

  test('is held if it is never found, with ON_UNCERTAIN=hold', async () => {
    const find = finds(ABSENT);
    const core = start(sends(LOST), find, { onUncertain: 'hold' });
    const { id } = await core.accept();
    const { status, error, lookup, content, ...rest } = await core.outcomeOf(id);
    expect([status, error?.code, rest.possibleDuplicate]).toEqual(['uncertain', 'delivery_uncertain', false]);
    expect(error?.detail).toMatch(
      /connection_lost happened\. It was not found in Sent Mail within \d+ s after the attempt\.$/,
    );
    expect([content === null, lookup?.state]).toEqual([false, 'idle']);
    // A slow machine skips steps.
    expect(find.calls).toBeGreaterThan(1);
  });

  test('is retried if it is never found, with ON_UNCERTAIN=retry, and is searched for right before', async () => {
    const searches: number[] = [];
    const core = start(
      sends(LOST),
      () => {
        searches.push(core.jobs.length);
        return ABSENT;
      },
      { lookForMs: 5000 },
    );
    const { id } = await core.accept();
    expect(await core.outcomeOf(id)).toMatchObject({
      status: 'sent',
      possibleDuplicate: true,
      attempts: [{ number: 1 }, { number: 2 }],
      lookup: null,
    });
    expect(searches).toEqual([1, 1]);
    expect(core.jobs.map(({ messageId }) => messageId)).toEqual(Array(2).fill(core.jobs[0]?.messageId));
  });

  test('is not sent again if it is found right before the retry', async () => {
    const find = finds(ABSENT, FOUND);
    const core = start(sends(LOST), find, { lookForMs: 5000 });
    const { id } = await core.accept();
    expect(await core.outcomeOf(id)).toMatchObject({
      status: 'sent',
      possibleDuplicate: false,
      attempts: [{ confirmedBy: 'sent_mail' }],
    });
    expect([find.calls, core.jobs.length]).toEqual([2, 1]);
  });

  test('is sent to the recipients that were refused for now, if it is found right before the retry', async () => {
    const [ada = '', bob = ''] = TO;
    const busy = { email: bob, fault: aFault('smtp_temporary_failure', { scope: 'recipient' }) };
    const lost = aFailure(aFault('connection_lost', { certain: false }), [busy]);
    const core = start(sends(lost), finds(ABSENT, FOUND), { lookForMs: 5000 });
    const deferred: (string | undefined)[] = [];
    core.events.on('message.deferred', ({ error }) => deferred.push(error?.detail));
    const { id } = await core.accept({ to: TO });
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent', possibleDuplicate: false });
    expect(core.jobs.map(({ recipients }) => recipients)).toEqual([[ada, bob], [bob]]);
    expect(deferred[1]).toBe('The server accepted it for the other recipients. It is sent to the rest.');
  });

  test.each([
    ['found', ['confirmed'], [FOUND], { onUncertain: 'hold' }],
    ['found at last', ['confirmed'], [ABSENT, FOUND], { onUncertain: 'hold' }],
    ['never found', ['not_found'], [ABSENT], { onUncertain: 'hold', lookForMs: 5000 }],
    ['found before the retry', ['not_found', 'confirmed'], [ABSENT, FOUND], { lookForMs: 5000 }],
    ['not to be searched for', ['not_possible'], [failing(DOWN)], { onUncertain: 'hold' }],
  ] as const)('reports once how the search ended if it is %s', async (_how, results, found, setup) => {
    const core = start(sends(LOST), finds(...found), setup);
    const reported: string[] = [];
    core.events.on('message.looked_up', (_delivery, result) => reported.push(result));
    await core.outcomeOf((await core.accept()).id);
    expect(reported).toEqual(results);
  });

  test('is searched for again if its account was paused before the retry', async () => {
    const refused = aFailure(aFault('bad_credentials', { scope: 'account', backoffMs: [20_000] }));
    const find = finds(ABSENT, ABSENT, FOUND);
    const core = start(sends(LOST, refused), find, { lookForMs: 5000 });
    const { id } = await core.accept();
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent', attempts: [{ number: 1 }] });
    expect([find.calls, core.jobs.length]).toEqual([3, 2]);
  });

  test('is searched for before each further attempt, also after one that certainly failed', async () => {
    const find = finds(ABSENT, ABSENT, FOUND);
    const core = start(sends(LOST, aFailure(aFault('smtp_temporary_failure'))), find, { lookForMs: 5000 });
    const { id } = await core.accept();
    expect(await core.outcomeOf(id)).toMatchObject({
      status: 'sent',
      attempts: [{ confirmedBy: 'sent_mail' }, { error: { code: 'smtp_temporary_failure' } }],
    });
    expect(core.jobs).toHaveLength(2);
  });

  test('is a possible duplicate if a second attempt is uncertain, too, and is found', async () => {
    const find = finds(ABSENT, ABSENT, FOUND);
    const core = start(sends(LOST, LOST), find, { lookForMs: 5000 });
    const { id } = await core.accept();
    expect(await core.outcomeOf(id)).toMatchObject({
      status: 'sent',
      possibleDuplicate: true,
      attempts: [{ number: 1 }, { number: 2, confirmedBy: 'sent_mail' }],
    });
    expect(core.jobs).toHaveLength(2);
  });

  test('is searched for before a client retries it', async () => {
    const find = finds(ABSENT, FOUND);
    const core = start(sends(LOST), find, { lookForMs: 5000, onUncertain: 'hold' });
    const { id } = await core.accept();
    await core.outcomeOf(id);
    await core.messages.retry(id, CALLER);
    expect(await becomes(core, id, ({ status }) => status === 'sent')).toMatchObject({
      possibleDuplicate: false,
      attempts: [{ confirmedBy: 'sent_mail' }],
    });
    expect(core.jobs).toHaveLength(1);
  });

  test('that was interrupted by a crash is found', async () => {
    const backend = aBackend();
    const attempt = {
      number: 1,
      startedAt: 1000,
      endedAt: null,
      account: 'bot@acme.com',
      smtp: null,
      error: null,
    };
    const queued = aDelivery();
    await backend.store.insert(queued);
    await backend.store.update(queued, advance(queued, 'sending', { attempts: [attempt] }));
    const core = start(sends(), finds(ABSENT, FOUND), { backend });
    expect(await core.outcomeOf(queued.id)).toMatchObject({
      status: 'sent',
      attempts: [{ error: INTERRUPTED.fault?.error, confirmedBy: 'sent_mail' }],
    });
    expect(core.jobs).toHaveLength(0);
  });

  test('is not attempted while it is searched for, in any channel', async () => {
    const backend = aBackend();
    const { promise, resolve } = Promise.withResolvers<SentResult>();
    const core = start(sends(), () => promise, { backend });
    const delivery = aDelivery({ status: 'deferred' });
    await core.store.insert(delivery);
    const looking = advance(advance(delivery, 'queued'), 'deferred', {
      lookup: aLookup({ endedAt: Number.MAX_SAFE_INTEGER }),
    });
    await core.store.update(delivery, looking);
    await becomes(core, delivery.id, ({ lookup }) => lookup !== null);
    resolve(FOUND);
    expect(await core.outcomeOf(delivery.id)).toMatchObject({ status: 'sent' });
    expect(core.jobs).toHaveLength(0);
  });

  test('does not hold up other messages while its mailbox does not respond', async () => {
    const core = start(sends(LOST), hangs, { workers: 1, lookForMs: 5000 });
    const first = await core.accept();
    await becomes(core, first.id, ({ status }) => status === 'deferred');
    for (let i = 0; i < 20; i += 1)
      expect(await core.outcomeOf((await core.accept()).id)).toMatchObject({ status: 'sent' });
    expect(await core.store.get(first.id)).toMatchObject({ status: 'deferred', attempts: [{ number: 1 }] });
  });

  test('is decided after RECONCILE_FOR as before if the mailbox cannot be reached', async () => {
    const find = finds(failing(DOWN));
    const core = start(sends(LOST), find, { onUncertain: 'hold' });
    const { id } = await core.accept();
    const { status, error, lookup } = await core.outcomeOf(id);
    expect([status, lookup?.fault?.code]).toEqual(['uncertain', 'imap_unavailable']);
    expect(core.accounts.status('bot@acme.com').pause).toBeNull();
    expect(error?.detail).toMatch(
      /Sent Mail could not be searched within \d+ s after the attempt: No route to host\.$/,
    );
    expect(find.calls).toBeGreaterThan(1);
  });

  test('is reported only for the searches that were made, while the mailbox cannot be reached', async () => {
    const find = finds(failing(DOWN));
    const core = start((job) => (job.recipients[0] === TO[0] ? LOST : anAcceptance(job.recipients)), find, {
      onUncertain: 'hold',
    });
    let reports = 0;
    core.events.on('message.searched', () => {
      reports += 1;
    });
    const accepted = await Promise.all(Array.from({ length: 30 }, () => core.accept({ to: TO.slice(0, 1) })));
    for (const { id } of accepted)
      expect((await core.outcomeOf(id)).error?.detail).toMatch(
        /could not be searched.*: No route to host\.$/,
      );
    expect(reports).toBe(find.calls);
    expect(reports).toBeLessThan(accepted.length);
  });

  test('is decided at once if the mailbox is refused, and so are the next ones, without a login', async () => {
    const find = finds(failing(REFUSED));
    const core = start(sends(LOST, LOST, LOST), find, { onUncertain: 'hold' });
    const ends: string[] = [];
    core.events.on('message.looked_up', (_delivery, result) => ends.push(result));
    const [first, second] = [await core.accept(), await core.accept()];
    expect((await core.outcomeOf(first.id)).error?.detail).toMatch(/could not be searched.*: IMAP is off\.$/);
    expect(await core.outcomeOf(second.id)).toMatchObject({ status: 'uncertain' });
    const { error } = await core.outcomeOf((await core.accept()).id);
    expect(error?.detail).toMatch(/Sent Mail could not be searched: IMAP turned off for the account\.$/);
    expect(find.calls).toBe(1);
    expect(ends).toEqual(Array(3).fill('not_possible'));
    expect(core.accounts.status('bot@acme.com')).toMatchObject({
      pause: null,
      mailbox: { status: 'refused', code: 'imap_disabled' },
    });
  });

  test('is decided as before, with the same detail, if there is no mailbox', async () => {
    const core = startCore(sends(LOST), { onUncertain: 'hold' });
    onTestFinished(() => core[Symbol.asyncDispose]());
    const { error } = await core.outcomeOf((await core.accept()).id);
    expect(error?.detail).toMatch(/The last failure: connection_lost: connection_lost happened\.$/);
  });

  test('that is canceled while it is searched for is not sent', async () => {
    const core = start(sends(LOST), () => ABSENT);
    const { id } = await core.accept();
    await becomes(core, id, ({ lookup }) => lookup !== null);
    await core.messages.cancel(id, CALLER);
    await core.outcomeOf((await core.accept()).id);
    const { status, lookup, error } = (await core.store.get(id)) as Delivery;
    expect([status, lookup, error?.detail]).toEqual(['canceled', null, 'connection_lost happened.']);
    expect(core.jobs.filter((job) => job.id === id)).toHaveLength(1);
  });

  test('that expires is searched for again, and is not sent again', async () => {
    const core = start(sends(LOST), () => ABSENT, { lookForMs: 600_000, backoffScale: 0.005 });
    const { id } = await core.accept({ expiresAt: Date.now() + 700 });
    const expired = await core.outcomeOf(id);
    expect(expired).toMatchObject({ status: 'expired', possibleDuplicate: true });
    expect(expired.lookup?.lookedAt).toBeGreaterThan(0);
    expect(core.jobs).toHaveLength(1);
  });
});

describe('a client that asks for a search', () => {
  const never = new AbortController().signal;
  const reconcile = (core: Core, id: string) => core.reconciliation.reconcile(id, CALLER, never);

  async function anUncertain(findSent: FindSent, setup: CoreSetup = {}) {
    const core = start(sends(LOST), findSent, { lookForMs: 5000, onUncertain: 'hold', ...setup });
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
    const core = start(sends(LOST), find, { backoffScale: 1, onUncertain: 'hold' });
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
    const core = start(
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

  test('gets an answer without a result if the search takes too long for the request', async () => {
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
    const core = start(sends(LOST), () => results.shift() ?? delay(200, FOUND), {
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
    const core = start(sends(), finds(FOUND), { dispatch: false });
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

describe('the recipients of a message that is found', () => {
  const refusal = (email: string, retryable: boolean) => ({
    email,
    fault: aFault(retryable ? 'smtp_temporary_failure' : 'recipients_rejected', {
      scope: 'recipient',
      retryable,
    }),
  });

  test('are not those that the server refused', async () => {
    const lost = { ...LOST, refused: [refusal('bob@example.com', false)] };
    const core = start(sends(lost), finds(FOUND));
    const { id } = await core.accept({ to: TO });
    expect(await core.outcomeOf(id)).toMatchObject({
      status: 'partially_sent',
      recipients: [{ status: 'accepted' }, { status: 'rejected' }],
    });
  });

  test('are not those that the server refused for now, which get it by another attempt', async () => {
    const lost = { ...LOST, refused: [refusal('bob@example.com', true)] };
    const core = start(sends(lost), finds(FOUND));
    const { id } = await core.accept({ to: TO });
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent', possibleDuplicate: false });
    expect(core.jobs.map(({ recipients }) => recipients)).toEqual([TO, ['bob@example.com']]);
  });

  test('are not known from a copy that may be that of other recipients: it is not searched for', async () => {
    const partly = anAcceptance(['ada@example.com'], [refusal('bob@example.com', true)]);
    const find = finds(FOUND);
    const core = start(sends(partly, LOST), find, { onUncertain: 'hold' });
    const { id } = await core.accept({ to: TO });
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'uncertain', lookup: null });
    expect(find.calls).toBe(0);
  });

  test('are not known after an attempt that named more of them than the first uncertain one', async () => {
    const first = { ...LOST, refused: [refusal('bob@example.com', true)] };
    const find = finds(ABSENT, ABSENT, FOUND);
    const core = start(sends(first, LOST), find, { lookForMs: 5000 });
    const { id } = await core.accept({ to: TO });
    expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent', possibleDuplicate: true });
    expect([find.calls, core.jobs.length]).toEqual([2, 3]);
  });
});
