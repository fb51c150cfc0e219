import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { pino } from 'pino';
import { Webhook } from 'standardwebhooks';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createMemoryOutbox } from '../../src/adapters/memory/outbox.ts';
import { createMemoryQueue } from '../../src/adapters/memory/queue.ts';
import { createWebhookSender } from '../../src/adapters/webhook/webhook-sender.ts';
import type { Delivery } from '../../src/core/delivery/delivery.ts';
import { createEvents } from '../../src/core/events.ts';
import type { EventPresenter } from '../../src/core/ports/event-presenter.ts';
import type { Notice } from '../../src/core/ports/outbox.ts';
import type { WebhookCall, WebhookResult } from '../../src/core/ports/webhook-sender.ts';
import { putThenQueue } from '../../src/core/webhooks/notice-queue.ts';
import { createWebhookDeliveries } from '../../src/core/webhooks/webhook-deliveries.ts';
import { createWebhooks, type WebhooksOptions } from '../../src/core/webhooks/webhooks.ts';
import { logEvents } from '../../src/log.ts';
import { anAccountStatus } from '../helpers/account-status.ts';
import { aDelivery, aTrace } from '../helpers/delivery.ts';
import { startEndpoint } from '../helpers/endpoint.ts';
import { aCaller } from '../helpers/keys.ts';
import { aNotice } from '../helpers/webhook-notice.ts';

const A = 'https://a.test/hooks/path-secret?token=query-secret';
const B = 'https://b.test/hooks';
const TAKEN: WebhookResult = { kind: 'taken' };
const GONE: WebhookResult = { kind: 'gone' };
const SCALE = 1e-6;
const SECOND = 1000;
const HOUR = 3600 * SECOND;

/** `silence` is for an endpoint that does not respond while the test runs. */
type Post = (
  call: WebhookCall,
  nth: number,
  silence: Promise<WebhookResult>,
) => Promise<WebhookResult> | WebhookResult;

const failed = (retryAfterMs: number | null = null): WebhookResult => ({
  kind: 'failed',
  reason: 'HTTP 503',
  retryAfterMs,
});
const PRESENTER: EventPresenter = {
  message: ({ id, status }) => ({ id, status }),
  followUp: ({ kind }) => ({ kind }),
  account: ({ user }) => ({ user }),
};
const settled = (patch: Partial<Delivery> = {}) => aDelivery({ status: 'sent', revision: 3, ...patch });

/** Webhooks with their own queue, outbox and events. `post` returns what the endpoints respond. */
function start(post: Post, setup: Partial<WebhooksOptions> & { maxNotices?: number } = {}) {
  const queue = createMemoryQueue();
  const outbox = createMemoryOutbox({ notices: setup.maxNotices ?? 1000, bytes: 1e7 }, 60_000);
  const queued = putThenQueue(outbox, queue, Date.now);
  const events = createEvents();
  const silence = Promise.withResolvers<WebhookResult>();
  const calls: WebhookCall[] = [];
  const attempts: Notice[] = [];
  const drops: { notice: Notice; reason: string }[] = [];
  events.on('webhook.attempted', (notice) => attempts.push(notice));
  events.on('webhook.dropped', (notice, reason) => drops.push({ notice, reason }));
  const retry = vi.spyOn(queue, 'retry');
  const sender = { post: async (call: WebhookCall) => post(call, calls.push(call), silence.promise) };
  const webhooks = createWebhooks({
    queue,
    outbox: queued,
    sender,
    events,
    endpointsFor: () => [{ url: A }],
    accountEndpoints: () => [{ url: A }],
    presenter: PRESENTER,
    now: Date.now,
    backoffScale: SCALE,
    random: () => 0.5,
    ...setup,
  });
  webhooks.serve([A, B, ...(setup.endpointsFor?.('crm') ?? []).map(({ url }) => url)]);
  onTestFinished(async () => {
    const drained = webhooks.drain();
    silence.resolve(TAKEN);
    await drained;
    queue.close();
  });

  /** Stores the notices of a delivery, as a store does with its change. */
  async function store(delivery: Delivery): Promise<void> {
    for (const notice of webhooks.notices.ofMessage(delivery)) await queued.add(notice);
  }

  return {
    queue,
    outbox,
    queued,
    events,
    webhooks,
    calls,
    attempts,
    drops,
    /** Waits so far, in unscaled ms. */
    waits: () => retry.mock.calls.map(([, , afterMs]) => Math.round(afterMs / SCALE)),
    settle: (patch: Partial<Delivery> = {}) => store(settled(patch)),
    /** Resolves when `count` calls have ended. */
    async answered(count: number) {
      while (attempts.length < count) await once(events, 'webhook.attempted');
    },
    async pending(): Promise<Notice[]> {
      const notices: Notice[] = [];
      for await (const notice of outbox.pending()) notices.push(notice);
      return notices;
    },
  };
}

const bodyOf = ({ body }: { body: string }) => JSON.parse(body);

describe('an endpoint receives', () => {
  test.each(['sent', 'partially_sent', 'failed', 'uncertain', 'canceled', 'expired'] as const)(
    'message.%s when a message is settled',
    async (status) => {
      const { settle, calls, answered } = start(() => TAKEN);
      const before = Date.now();
      await settle({ id: 'msg_1', status, revision: 7 });
      await answered(1);
      const [call] = calls;
      expect(call).toMatchObject({ url: A, id: expect.stringMatching(/^evt_[0-9a-f]{32}$/) });
      expect(call?.sentAt).toBeGreaterThanOrEqual(before);
      expect(calls.map(bodyOf)).toEqual([
        {
          type: `message.${status}`,
          timestamp: expect.any(String),
          sequence: 7,
          data: { id: 'msg_1', status },
        },
      ]);
      const { timestamp } = bodyOf(call ?? { body: '{}' });
      expect(new Date(timestamp).toISOString()).toBe(timestamp);
      expect(Date.parse(timestamp)).toBeGreaterThanOrEqual(before);
    },
  );

  test('message.deferred when a message is deferred', async () => {
    const { settle, calls, answered } = start(() => TAKEN);
    await settle({ status: 'deferred', revision: 4 });
    await answered(1);
    expect(calls.map(bodyOf)).toMatchObject([
      { type: 'message.deferred', sequence: 4, data: { status: 'deferred' } },
    ]);
  });

  test('account.paused and account.resumed', async () => {
    const { webhooks, queued, calls, answered } = start(() => TAKEN);
    const status = anAccountStatus({ user: 'bot@acme.com' });
    for (const type of ['account.paused', 'account.resumed'] as const)
      for (const notice of webhooks.notices.ofAccount(type, status)) await queued.add(notice);
    await answered(2);
    expect(calls.map(bodyOf).map(({ type }) => type)).toEqual(['account.paused', 'account.resumed']);
    expect(bodyOf(calls[0] ?? { body: '{}' })).toEqual({
      type: 'account.paused',
      timestamp: expect.any(String),
      data: { user: 'bot@acme.com' },
    });
  });

  test('events of messages of its keys, with the same id at every URL', async () => {
    const { settle, calls, answered } = start(() => TAKEN, {
      endpointsFor: (owner) => (owner === 'crm' ? [{ url: A }, { url: B, key: 'crm' }] : [{ url: B }]),
    });
    await settle({ owner: 'crm' });
    await answered(2);
    void settle({ owner: 'shop' });
    await answered(3);
    expect(calls.map(({ url, key }) => [url, key]).toSorted()).toEqual([
      [A, null],
      [B, null],
      [B, 'crm'],
    ]);
    const [first, second, third] = calls.map(({ id }) => id);
    expect(first).toBe(second);
    expect(third).not.toBe(first);
  });

  test('nothing if none is configured, and no event data is built', async () => {
    const message = vi.fn();
    const { settle, pending } = start(() => TAKEN, {
      endpointsFor: () => [],
      presenter: { ...PRESENTER, message },
    });
    void settle();
    expect(message).not.toHaveBeenCalled();
    expect(await pending()).toEqual([]);
  });

  test('events out of order after a retry, with a sequence that shows the order', async () => {
    const { settle, calls, answered } = start((_call, nth) => (nth === 1 ? failed() : TAKEN));
    const id = 'msg_1';
    void settle({ id, status: 'deferred', revision: 3 });
    void settle({ id, revision: 6 });
    await answered(3);
    expect(calls.map(bodyOf).map(({ sequence }) => sequence)).toEqual([3, 6, 3]);
  });
});

describe('a failed call', () => {
  test('is retried for a day with increasing waits and the same id and body, then dropped', async () => {
    const { settle, calls, events, waits, drops, pending, attempts } = start(() => failed());
    void settle();
    await once(events, 'webhook.dropped');
    const seconds = waits().map((ms) => Math.round(ms / SECOND));
    expect(seconds).toEqual([5, 30, 120, 600, 1800, 3600, ...Array(11).fill(7200), 1045]);
    expect(waits().reduce((sum, ms) => sum + ms)).toBe(24 * HOUR);
    expect(calls).toHaveLength(seconds.length + 1);
    expect(new Set(calls.map(({ id, body }) => `${id} ${body}`)).size).toBe(1);
    expect(attempts.map(({ failures }) => failures)).toEqual(calls.map((_call, i) => i));
    expect(drops).toMatchObject([
      { notice: { eventId: calls[0]?.id, type: 'message.sent' }, reason: expect.stringContaining('a day') },
    ]);
    expect(await pending()).toEqual([]);
  });

  test.each([
    [0, 4 * SECOND],
    [1, 6 * SECOND],
  ])('spreads its wait by up to a fifth either way (random returns %d)', async (chance, waitMs) => {
    const { settle, waits, answered } = start((_call, nth) => (nth === 1 ? failed() : TAKEN), {
      random: () => chance,
    });
    void settle();
    await answered(2);
    expect(waits()).toEqual([waitMs]);
  });

  test.each([
    ['longer than the back-off', 90 * SECOND, 90 * SECOND],
    ['shorter than the back-off, which has no effect', SECOND, 5 * SECOND],
    ['longer than a day, which is cut to a day', 48 * HOUR, 24 * HOUR],
  ])('honours the wait that the endpoint requests: %s', async (_what, retryAfterMs, waitMs) => {
    const { settle, waits, answered } = start((_call, nth) => (nth === 1 ? failed(retryAfterMs) : TAKEN));
    void settle();
    await answered(2);
    expect(waits()).toEqual([waitMs]);
  });

  test('is not repeated after a retry that succeeds', async () => {
    const { settle, calls, answered, pending } = start((_call, nth) => (nth < 3 ? failed() : TAKEN));
    void settle();
    await answered(3);
    await expect.poll(pending).toEqual([]);
    expect(calls).toHaveLength(3);
  });
});

test('an endpoint that does not respond delays no other', async () => {
  const { settle, calls, answered } = start(({ url }, _nth, silence) => (url === A ? silence : TAKEN), {
    endpointsFor: () => [{ url: A }, { url: B }],
  });
  for (let i = 0; i < 20; i++) void settle();
  await answered(20);
  expect(calls.filter(({ url }) => url === B)).toHaveLength(20);
  expect(calls.filter(({ url }) => url === A)).toHaveLength(4);
});

describe('an endpoint that responds 410', () => {
  /** Emits ten events. Of the four calls in flight, the first gets 410. */
  async function dismiss() {
    const answers: PromiseWithResolvers<WebhookResult>[] = [];
    let dismissed = false;
    const world = start(
      ({ url }) => {
        if (url === B || dismissed) return TAKEN;
        const answer = Promise.withResolvers<WebhookResult>();
        answers.push(answer);
        return answer.promise;
      },
      { endpointsFor: () => [{ url: A }, { url: B }] },
    );
    for (let i = 0; i < 10; i++) void world.settle();
    await world.answered(10);
    await expect.poll(() => answers.length).toBe(4);
    const gone = once(world.events, 'webhook.gone');
    answers[0]?.resolve(GONE);
    expect(await gone).toEqual([A, 7]);
    dismissed = true;
    return { ...world, underWay: answers.slice(1) };
  }

  test('loses its waiting notices; calls in flight end normally and are reported', async () => {
    const { underWay, drops, pending, calls, answered } = await dismiss();
    const [works, fails, isGone] = underWay;
    works?.resolve(TAKEN);
    fails?.resolve(failed());
    isGone?.resolve(GONE);
    await answered(14);
    await expect.poll(pending).toEqual([]);
    expect(drops).toMatchObject([
      { notice: { url: A }, reason: expect.stringContaining('410') },
      { notice: { url: A }, reason: expect.stringContaining('410') },
    ]);
    expect(calls.filter(({ url }) => url === A)).toHaveLength(4);
  });

  test('gets no new events until it is reset, while other endpoints do', async () => {
    const { underWay, settle, answered, calls, drops, webhooks, pending } = await dismiss();
    for (const answer of underWay) answer.resolve(TAKEN);
    await answered(14);
    void settle();
    await answered(15);
    expect(await pending()).toEqual([]);
    expect(drops).toEqual([]);
    webhooks.resetGone();
    void settle();
    await answered(17);
    expect(calls.slice(14).map(({ url }) => url)).toEqual([B, A, B]);
  });

  /** Sends a notice that was given up again, as `WebhookDeliveries.replay` does. */
  async function replay({ outbox, queued }: Pick<ReturnType<typeof start>, 'outbox' | 'queued'>) {
    const notice = aNotice({ url: A, replayed: true });
    await outbox.put(notice);
    await outbox.fail({ ...notice, finishedAt: Date.now() });
    expect(await queued.replay(notice)).toBe(true);
    return notice;
  }

  test('gets a replayed event; if it accepts it, new events follow', async () => {
    const world = await dismiss();
    const { underWay, settle, answered, calls, drops } = world;
    for (const answer of underWay) answer.resolve(TAKEN);
    await answered(14);
    const { eventId } = await replay(world);
    await answered(15);
    expect(calls[14]).toMatchObject({ url: A, id: eventId });
    void settle();
    await answered(17);
    expect(calls.slice(15).map(({ url }) => url)).toEqual([A, B]);
    expect(drops).toEqual([]);
  });

  test('gets an event that still waits, if a client replays it', async () => {
    const world = start((_call, nth) => (nth === 1 ? GONE : TAKEN));
    const gone = once(world.events, 'webhook.gone');
    void world.settle();
    await gone;
    // As another instance stored it, which has not called the endpoint yet.
    const waiting = aNotice({ url: A, dueAt: Date.now() + HOUR });
    await world.queued.put(waiting);
    const deliveries = createWebhookDeliveries({
      outbox: world.queued,
      queue: world.queue,
      endpoints: () => [{ url: A }],
      now: Date.now,
    });
    expect(await deliveries.replay(waiting.id, aCaller({ scopes: ['admin'] }))).toMatchObject({
      id: waiting.id,
    });
    await world.answered(2);
    expect(world.calls[1]).toMatchObject({ url: A, id: waiting.eventId });
    expect(world.drops).toEqual([]);
    expect(await world.pending()).toEqual([]);
  });

  test('gets each replayed event once if it responds 410 again', async () => {
    const world = start(() => GONE);
    const dropped = once(world.events, 'webhook.gone');
    void world.settle();
    await dropped;
    const replayed = [await replay(world), await replay(world)];
    await world.answered(3);
    await expect.poll(world.pending).toEqual([]);
    expect(world.calls.slice(1).map(({ id }) => id)).toEqual(replayed.map(({ eventId }) => eventId));
    expect(world.drops.map(({ notice }) => notice.id)).toEqual(replayed.map(({ id }) => id));
  });

  test('gets a replayed event again after another failure', async () => {
    const world = start((_call, nth) => (nth === 1 ? GONE : nth === 2 ? failed() : TAKEN));
    const dropped = once(world.events, 'webhook.gone');
    void world.settle();
    await dropped;
    const { eventId } = await replay(world);
    await world.answered(3);
    expect(world.calls.slice(1).map(({ id }) => id)).toEqual([eventId, eventId]);
    expect(world.drops).toEqual([]);
  });

  test('drops no replayed event that waits on an instance that calls it for the first time', async () => {
    const answers: PromiseWithResolvers<WebhookResult>[] = [];
    const world = start((_call, nth) => {
      if (nth > 4) return TAKEN;
      const answer = Promise.withResolvers<WebhookResult>();
      answers.push(answer);
      return answer.promise;
    });
    for (let i = 0; i < 4; i++) void world.settle();
    await expect.poll(() => answers.length).toBe(4);
    const { eventId } = await replay(world);
    const gone = once(world.events, 'webhook.gone');
    answers[0]?.resolve(GONE);
    expect(await gone).toEqual([A, 1]);
    await world.answered(2);
    expect(world.calls[4]?.id).toBe(eventId);
    for (const answer of answers) answer.resolve(TAKEN);
  });
});

describe('draining', () => {
  test('waits for the calls in flight and makes no more', async () => {
    const answers: PromiseWithResolvers<WebhookResult>[] = [];
    const { settle, webhooks, calls, pending } = start(() => {
      const answer = Promise.withResolvers<WebhookResult>();
      answers.push(answer);
      return answer.promise;
    });
    for (let i = 0; i < 6; i++) void settle();
    await expect.poll(() => calls.length).toBe(4);
    const drained = webhooks.drain();
    expect(
      await Promise.race([
        drained.then(() => 'drained'),
        new Promise((later) => setImmediate(later, 'waits')),
      ]),
    ).toBe('waits');
    for (const answer of answers) answer.resolve(TAKEN);
    await drained;
    expect(calls).toHaveLength(4);
    expect(await pending()).toHaveLength(2);
  });

  test('makes the call for an event stored just before', async () => {
    const { settle, webhooks, calls, pending } = start(() => TAKEN);
    await settle();
    await webhooks.drain();
    expect(calls).toHaveLength(1);
    expect(await pending()).toEqual([]);
  });

  test('leaves later events in the outbox', async () => {
    const { settle, webhooks, calls, pending } = start(() => TAKEN);
    await webhooks.drain();
    void settle();
    await expect.poll(async () => (await pending()).length).toBe(1);
    expect(calls).toEqual([]);
  });
});

describe('at start', () => {
  test('delivers the notices that the outbox holds', async () => {
    const { outbox, webhooks, calls, answered } = start(() => TAKEN);
    const left = [aNotice({ url: A }), aNotice({ url: B, failures: 3 })];
    for (const notice of left) await outbox.put(notice);
    await webhooks.recover([A, B]);
    await answered(2);
    expect(calls.map(({ url, id }) => [url, id])).toEqual(left.map(({ url, eventId }) => [url, eventId]));
  });

  test('keeps the due time of a notice that waits for a retry', async () => {
    const { outbox, webhooks, queue } = start(() => TAKEN);
    const push = vi.spyOn(queue, 'push');
    const notice = aNotice({ url: A, dueAt: Date.now() + HOUR });
    await outbox.put(notice);
    await webhooks.recover([A]);
    const [[id, { afterMs }] = ['', { afterMs: 0 }]] = push.mock.calls;
    expect([id, Math.round(afterMs / SECOND)]).toEqual([notice.id, 3600]);
  });

  test('drops and reports notices for an endpoint that is no longer configured', async () => {
    const { outbox, webhooks, calls, drops, pending, answered } = start(() => TAKEN);
    const [known, gone] = [aNotice({ url: A }), aNotice({ url: B })];
    for (const notice of [gone, known]) await outbox.put(notice);
    await webhooks.recover([A]);
    await answered(1);
    expect(calls.map(({ url }) => url)).toEqual([A]);
    expect(drops).toEqual([{ notice: gone, reason: 'its endpoint is no longer configured' }]);
    await expect.poll(pending).toEqual([]);
  });

  test('delivers notices that another instance stores for an endpoint configured here', async () => {
    const { outbox, webhooks, queue, answered, calls } = start(() => TAKEN);
    await webhooks.recover([A]);
    const notice = aNotice({ url: A });
    await outbox.put(notice);
    await queue.push(notice.id, { channel: `webhook:${A}`, afterMs: 0, priority: 'normal' });
    await answered(1);
    expect(calls.map(({ id }) => id)).toEqual([notice.eventId]);
  });
});

describe('an event that cannot be stored is reported', () => {
  test('when the outbox is full', async () => {
    const { settle, drops, calls, events } = start((_call, _nth, silence) => silence, { maxNotices: 2 });
    const dropped = once(events, 'webhook.dropped');
    void settle();
    void settle({ id: 'msg_2' });
    await dropped;
    await expect.poll(() => calls.length).toBe(1);
    expect(drops).toMatchObject([
      { notice: { about: 'msg_2' }, reason: expect.stringContaining('outbox is full') },
    ]);
  });
});

test('retries a notice whose queue worker failed', async () => {
  const { settle, queued, events, waits, queue, answered } = start(() => TAKEN);
  vi.spyOn(queued, 'get').mockRejectedValueOnce(new Error('disk failed'));
  const failure = once(events, 'worker.failed');
  void settle();
  const [id, error] = await failure;
  expect([id, String(error)]).toEqual([expect.stringMatching(/^ntc_/), 'Error: disk failed']);
  await expect.poll(waits).toHaveLength(1);
  await queue.reschedule(id, `webhook:${A}`, 0);
  await answered(1);
});

test('logs the host of an endpoint, never its path, query or the event data', async () => {
  const lines: string[] = [];
  const { settle, events } = start((_call, nth) => (nth === 1 ? failed() : GONE), {
    presenter: { ...PRESENTER, message: () => ({ subject: 'body-secret' }) },
  });
  logEvents(events, pino({ level: 'debug' }, { write: (line: string) => lines.push(line) }));
  void settle({ id: 'msg_7' });
  await once(events, 'webhook.gone');
  events.emit('webhook.dropped', aNotice({ url: A, failures: 4 }), 'why');
  const line = { endpoint: 'a.test', event_id: expect.stringMatching(/^evt_/), type: 'message.sent' };
  expect(lines.map((text) => JSON.parse(text))).toMatchObject([
    { ...line, msg_id: 'msg_7', attempt: 1, reason: 'HTTP 503', msg: 'webhook failed' },
    { ...line, msg_id: 'msg_7', attempt: 2, msg: 'webhook delivered' },
    { endpoint: 'a.test', dropped: 1, msg: expect.stringContaining('410') },
    { ...line, attempt: 5, reason: 'why', msg: 'webhook dropped' },
  ]);
  expect(lines.join()).not.toContain('secret');
});

test('events and calls have the trace of their message, and those without one have none', async () => {
  const { webhooks, queued, calls, answered, settle } = start((_, nth) => (nth === 1 ? failed() : TAKEN));
  const trace = aTrace();
  settle({ trace });
  await answered(2);
  settle();
  await answered(3);
  for (const notice of webhooks.notices.ofAccount('account.resumed', anAccountStatus()))
    await queued.add(notice);
  await answered(4);
  expect(calls.map((call) => [bodyOf(call).trace_id, call.trace])).toEqual([
    ['4bf92f3577b34da6a3ce929d0e0e4736', trace],
    ['4bf92f3577b34da6a3ce929d0e0e4736', trace],
    [undefined, undefined],
    [undefined, undefined],
  ]);
  expect(Object.keys(bodyOf(calls[0] ?? { body: '{}' }))).toEqual([
    'type',
    'timestamp',
    'sequence',
    'trace_id',
    'data',
  ]);
});

test('an endpoint verifies events with standardwebhooks and recognises a repetition by its id', async () => {
  const secret = randomBytes(32);
  const verifier = new Webhook(secret.toString('base64'));
  const verified: unknown[] = [];
  await using endpoint = await startEndpoint({
    answer(response, { body, headers }) {
      verified.push(verifier.verify(body, headers as Record<string, string>));
      response.writeHead(verified.length === 1 ? 500 : 200).end();
    },
  });
  const sender = createWebhookSender({
    secretsOf: () => [secret],
    allowedHosts: ['127.0.0.1'],
    version: '1.0.0',
  });
  onTestFinished(() => sender.close());
  const { settle, answered } = start(() => TAKEN, {
    sender,
    endpointsFor: () => [{ url: `http://127.0.0.1:${endpoint.port}/hooks` }],
  });
  void settle({ id: 'msg_1', revision: 5 });
  await answered(2);
  expect(verified).toMatchObject(Array(2).fill({ type: 'message.sent', sequence: 5, data: { id: 'msg_1' } }));
  expect(new Set(endpoint.heard.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
});
