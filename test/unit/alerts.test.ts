import { describe, expect, test, vi } from 'vitest';
import type { AccountStatus } from '../../src/core/accounts/account-status.ts';
import { type Alert, type AlertQueueOptions, createAlertQueue } from '../../src/core/alerts/alert-queue.ts';
import { newAlertState, recordPause, recordUsage, recordWait } from '../../src/core/alerts/alert-state.ts';
import { createAlerts } from '../../src/core/alerts/alerts.ts';
import type { DeliveryError } from '../../src/core/delivery/delivery.ts';
import { AppError } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import type { WebhookResult } from '../../src/core/ports/webhook-sender.ts';
import { shareValue } from '../helpers/shared-state.ts';

const MINUTE = 60_000;
const USER = 'bot@acme.com';
const FAILED: WebhookResult = { kind: 'failed', reason: 'HTTP 503', retryAfterMs: null };

const errorOf = (code: DeliveryError['code'], detail = 'It broke.'): DeliveryError => ({
  code,
  scope: 'account',
  detail,
  hint: 'Fix it.',
  smtp: null,
});

function statusOf(messages: number, recipients = 0): AccountStatus {
  return {
    user: USER,
    pause: null,
    quota: {
      messages: { limit: 500, learned: null, used: messages },
      recipients: { limit: 500, learned: null, used: recipients },
      reserve: 0.1,
      countedSince: 0,
      freesAt: null,
    },
    connections: { max: 3, allowed: 3, busy: 0 },
    mailbox: { status: 'ready', code: null },
  };
}

/** Instances that share what they have reported. All see the same queue and accounts. */
function startInstances(count: number, options: { conflicting?: boolean } = {}) {
  const shared = shareValue(newAlertState(), options);
  const sent: Alert[] = [];
  const errors: unknown[] = [];
  const world = {
    accounts: [statusOf(0)],
    waitedMs: null as number | null,
    isDelivered: true,
    now: 0,
    list: async () => world.accounts,
  };
  const instances = Array.from({ length: count }, () => {
    const events = createEvents();
    const alerts = createAlerts({
      events,
      state: shared.open(),
      now: () => world.now,
      listAccounts: () => world.list(),
      readOldestDueAt: async () => (world.waitedMs === null ? null : Date.now() - world.waitedMs),
      send: async (alert) => sent.push(alert) > 0 && world.isDelivered,
      onError: (error) => void errors.push(error),
      checkEveryMs: 5,
    });
    return { events, alerts };
  });
  return {
    world,
    sent,
    errors,
    instances,
    titles: () => sent.map(({ title }) => title),
    emitPause: (code: DeliveryError['code'], detail?: string) => {
      for (const { events } of instances) events.emit('account.paused', USER, errorOf(code, detail), 0, true);
    },
    emitResume: () => {
      for (const { events } of instances) events.emit('account.resumed', USER);
    },
    start() {
      for (const { alerts } of instances) alerts.start();
    },
    /** Resolves when each instance has surely looked again. */
    async looked() {
      const looks = vi.fn();
      const list = world.list;
      world.list = async () => {
        looks();
        return world.accounts;
      };
      await vi.waitFor(() => expect(looks.mock.calls.length).toBeGreaterThan(3 * count));
      world.list = list;
    },
    [Symbol.dispose]() {
      for (const { alerts } of instances) alerts.stop();
    },
  };
}

test('a domain that nears the rules for bulk senders is reported', async () => {
  using setup = startInstances(1);
  setup.instances[0]?.events.emit('domain.near_bulk', 'acme.com', 4000);
  await vi.waitFor(() =>
    expect(setup.titles()).toEqual(['acme.com has sent 4000 messages to Gmail in 24 hours.']),
  );
});

describe.each([{ conflicting: false }, { conflicting: true }])(
  'several instances ($conflicting)',
  (options) => {
    test('send one alert for a pause that all of them see, and one when it ends', async () => {
      using setup = startInstances(3, options);
      setup.emitPause('connect_failed');
      setup.emitResume();
      await vi.waitFor(() => expect(setup.sent).toHaveLength(2));
      setup.emitPause('tls_failed');
      await vi.waitFor(() => expect(setup.sent).toHaveLength(3));
      expect(setup.titles()).toEqual([
        expect.stringMatching(/^Account bot@acme\.com is paused: .+ \(connect_failed\)\.$/),
        'Account bot@acme.com sends again.',
        expect.stringContaining('(tls_failed)'),
      ]);
    });

    test('send one alert when mail becomes overdue, and one when it no longer is', async () => {
      using setup = startInstances(3, options);
      setup.start();
      setup.world.waitedMs = 16 * MINUTE;
      await vi.waitFor(() => expect(setup.sent).toHaveLength(1));
      await setup.looked();
      setup.world.waitedMs = null;
      await vi.waitFor(() => expect(setup.sent).toHaveLength(2));
      await setup.looked();
      expect(setup.titles()).toEqual([
        'Mail is late: the oldest message has been due for 16 minutes.',
        'Mail is no longer late.',
      ]);
    });

    test('send one alert for each quota that is nearly used', async () => {
      using setup = startInstances(3, options);
      setup.start();
      setup.world.accounts = [statusOf(450), { ...statusOf(1, 500), user: 'two@acme.com' }];
      await vi.waitFor(() => expect(setup.sent).toHaveLength(2));
      await setup.looked();
      expect(setup.titles()).toEqual([
        'Account bot@acme.com has used 90 % of its quota.',
        'Account two@acme.com has used 100 % of its quota.',
      ]);
    });
  },
);

test('a pause that is no news, and a resume after it, send no alert', async () => {
  using setup = startInstances(1);
  setup.instances[0]?.events.emit('account.paused', USER, errorOf('tls_failed'), 0, false);
  setup.emitResume();
  setup.emitPause('bad_credentials');
  await vi.waitFor(() => expect(setup.sent).toHaveLength(1));
  expect(setup.titles()).toEqual([expect.stringContaining('(bad_credentials)')]);
});

test('an alert names no address but those of the accounts', async () => {
  using setup = startInstances(1);
  setup.emitPause('daily_limit_reached', 'Refused: <ada@example.com> is over the limit');
  await vi.waitFor(() => expect(setup.sent).toHaveLength(1));
  expect(setup.sent[0]?.lines).toEqual([
    'Refused: [address] is over the limit',
    'Fix it.',
    'It is tried again at 1970-01-01T00:00:00.000Z.',
  ]);
});

test('an alert that was dropped is sent again while its reason lasts', async () => {
  using setup = startInstances(2);
  setup.world.isDelivered = false;
  setup.world.waitedMs = 16 * MINUTE;
  setup.world.accounts = [statusOf(450)];
  setup.start();
  await vi.waitFor(() => expect(setup.sent.length).toBeGreaterThan(5));
  setup.emitPause('tls_failed');
  await vi.waitFor(() => expect(setup.titles()).toContainEqual(expect.stringContaining('tls_failed')));
  setup.world.isDelivered = true;
  await setup.looked();
  const count = setup.sent.length;
  await setup.looked();
  expect(setup.sent).toHaveLength(count);
  setup.emitResume();
  setup.emitPause('tls_failed');
  await vi.waitFor(() => expect(setup.sent).toHaveLength(count + 1));
});

test('checks continue after the backend was unavailable, and after an error, which is reported', async () => {
  using setup = startInstances(1);
  const { world } = setup;
  const list = world.list;
  let failures = 0;
  world.list = async () => {
    failures += 1;
    if (failures < 4) throw new AppError('queue_unavailable');
    if (failures < 5) throw new TypeError('bug');
    return list();
  };
  world.waitedMs = 20 * MINUTE;
  setup.start();
  await vi.waitFor(() => expect(setup.sent).toHaveLength(1));
  expect(setup.errors).toEqual([expect.any(TypeError)]);
});

describe('hysteresis', () => {
  test('mail is late above 15 minutes, until below 10', () => {
    const state = newAlertState();
    const waits = [15, 15.1, 20, 14, 10, 16, 9.9, 12, 15.1];
    expect(waits.map((minutes) => recordWait(state, minutes * MINUTE))).toEqual([
      null,
      'late',
      null,
      null,
      null,
      null,
      'in_time',
      null,
      'late',
    ]);
  });

  test('a quota is nearly used from 90 %, and again only after it was below 80 %', () => {
    const state = newAlertState();
    const shares = [0.89, 0.9, 0.95, 0.85, 0.91, 0.79, 0.89, 0.9];
    expect(shares.map((share) => recordUsage(state, USER, share))).toEqual([
      false,
      true,
      false,
      false,
      false,
      false,
      false,
      true,
    ]);
  });

  test('the same pause is reported again after an hour, as its end may have been missed', () => {
    const state = newAlertState();
    expect([0, 59, 60].map((minutes) => recordPause(state, USER, 'tls_failed', minutes * MINUTE))).toEqual([
      true,
      false,
      true,
    ]);
    expect(recordPause(state, USER, 'bad_credentials', 0)).toBe(true);
  });
});

describe('the queue of alerts', () => {
  const alert = (title: string): Alert => ({ title, lines: [] });

  function start(post: (title: string, call: number) => WebhookResult | Promise<WebhookResult>) {
    const calls: string[] = [];
    const dropped: [string, string][] = [];
    const waits: number[] = [];
    const options: AlertQueueOptions = {
      post: async ({ title }) => post(title, calls.push(title)),
      onFailed: (_alert, _reason, count) => void waits.push(count),
      onDropped: ({ title }, reason) => void dropped.push([title, reason]),
      backoffScale: 1e-6,
      random: () => 0.5,
    };
    return { queue: createAlertQueue(options), calls, dropped, waits };
  }

  test('repeats a failed call, and keeps the order', async () => {
    const { queue, calls, dropped, waits } = start((_, call) => (call < 3 ? FAILED : { kind: 'taken' }));
    queue.add(alert('a'));
    queue.add(alert('b'));
    await vi.waitFor(() => expect(calls).toEqual(['a', 'a', 'a', 'b']));
    expect([dropped, waits]).toEqual([[], [1, 2]]);
  });

  test('gives an alert up after six calls, and continues with the next', async () => {
    const { queue, calls, dropped } = start((title) =>
      title === 'a' ? { kind: 'gone' } : { kind: 'taken' },
    );
    queue.add(alert('a'));
    queue.add(alert('b'));
    await vi.waitFor(() => expect(calls).toContain('b'));
    expect(calls.filter((title) => title === 'a')).toHaveLength(6);
    expect(dropped).toEqual([['a', 'the endpoint did not accept it']]);
  });

  test('keeps at most 100 alerts', async () => {
    const { queue, dropped } = start(() => new Promise(() => {}));
    for (let i = 0; i < 103; i += 1) queue.add(alert(String(i)));
    expect(dropped.map(([title]) => title)).toEqual(['100', '101', '102']);
  });

  test('drops what waits when it drains, after the call under way', async () => {
    const response = Promise.withResolvers<WebhookResult>();
    const { queue, calls, dropped } = start(() => response.promise);
    queue.add(alert('a'));
    queue.add(alert('b'));
    const drained = queue.drain();
    response.resolve({ kind: 'taken' });
    await drained;
    expect([calls, dropped]).toEqual([['a'], [['b', 'Outtray stopped']]]);
  });
});
