import { describe, expect, test } from 'vitest';
import { createMetrics, type MetricsOptions } from '../../src/adapters/metrics/metrics.ts';
import { shareRuns } from '../../src/adapters/metrics/share-runs.ts';
import type { SharedMetrics } from '../../src/adapters/metrics/state-metrics.ts';
import { BOUNCE_CLASSES } from '../../src/core/delivery/follow-up.ts';
import { ERROR_CODES } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import { applyInbound } from '../../src/core/inbound/apply.ts';
import { anAccountStatus } from '../helpers/account-status.ts';
import { CALLER, startCore } from '../helpers/core.ts';
import { aDelivery, aDraft, aLookup } from '../helpers/delivery.ts';
import { aBounce, aReply, aReported } from '../helpers/inbound.ts';
import { parseMetrics, samplesOf } from '../helpers/metrics.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';
import { aNotice } from '../helpers/webhook-notice.ts';

const BOT = 'bot@acme.com';

function aState(patch: Partial<SharedMetrics> = {}): SharedMetrics {
  const byStatus = { scheduled: 0, queued: 0, sending: 0, deferred: 0 };
  return {
    queue: { byStatus, oldestDueAt: null, bytes: 0, maxMessages: 10_000, maxBytes: 1e6 },
    accounts: [anAccountStatus()],
    ...patch,
  };
}

function start(options: Partial<MetricsOptions> = {}) {
  const events = createEvents();
  const metrics = createMetrics({
    version: '1.2.3',
    events,
    keys: () => ['crm'],
    accounts: () => [BOT],
    readShared: async () => aState(),
    isBackendUp: () => true,
    ...options,
  });
  return { events, metrics, read: async (name: string) => samplesOf(await metrics.read(), name) };
}

const anAttempt = { number: 1, startedAt: 1000, endedAt: 1250, account: BOT, smtp: null, error: null };

describe('counters', () => {
  test('begin at 0, so that a rate sees the first event', async () => {
    const { read } = start();
    expect(await read('outtray_messages_accepted_total')).toEqual(['{key="crm"} 0']);
    expect(await read('outtray_messages_settled_total')).toContain(
      `{account="${BOT}",status="uncertain",code="delivery_uncertain"} 0`,
    );
    expect(await read('outtray_webhook_calls_total')).toEqual([
      '{outcome="delivered"} 0',
      '{outcome="failed"} 0',
      '{outcome="gone"} 0',
    ]);
  });

  test('count accepted messages by key, and forget the keys that a reload removed', async () => {
    let keys = ['crm'];
    const { events, read } = start({ keys: () => keys });
    events.emit('message.accepted', aDelivery({ owner: 'crm' }));
    events.emit('message.accepted', aDelivery({ owner: 'crm' }));
    expect(await read('outtray_messages_accepted_total')).toEqual(['{key="crm"} 2']);
    keys = ['shop'];
    events.emit('message.accepted', aDelivery({ owner: 'crm' }));
    expect(await read('outtray_messages_accepted_total')).toEqual(['{key="shop"} 0']);
  });

  test('count a message once, although it is accepted again under its id', async () => {
    await using core = startCore(() => anAcceptance(['ada@example.com']));
    const accepted: string[] = [];
    core.events.on('message.accepted', ({ id }) => accepted.push(id));
    for (const requestId of ['req_1', 'req_2'])
      await core.intake.accept(aDraft(), { caller: CALLER, requestId, trace: null }, 'msg_1');
    expect(accepted).toEqual(['msg_1']);
  });

  test('count settled messages by account, status and code, with an empty code for sent', async () => {
    const { events, read } = start();
    const { error } = aFault('recipients_rejected');
    events.emit('message.settled', aDelivery({ status: 'sent', finishedAt: Date.now() }));
    events.emit('message.settled', aDelivery({ status: 'partially_sent', error, finishedAt: Date.now() }));
    expect(await read('outtray_messages_settled_total')).toEqual(
      expect.arrayContaining([
        `{account="${BOT}",status="sent",code=""} 1`,
        `{account="${BOT}",status="partially_sent",code="recipients_rejected"} 1`,
      ]),
    );
    expect(await read('outtray_delivery_duration_seconds_count')).toEqual(['2']);
  });

  test('measure a delivery from the time it was due, and never below 0', async () => {
    const { events, read } = start();
    const [created, due] = [1000, 60_000];
    const settle = (finishedAt: number) =>
      events.emit(
        'message.settled',
        aDelivery({ status: 'sent', createdAt: created, scheduledAt: due, finishedAt }),
      );
    settle(due + 2000);
    // The wall clock went back.
    settle(due - 5000);
    expect(await read('outtray_delivery_duration_seconds_sum')).toEqual(['2']);
  });

  test('count attempts by outcome and code', async () => {
    const { events, read } = start();
    const attempted = (outcome: ReturnType<typeof aFailure>) =>
      events.emit('message.attempted', aDelivery(), anAttempt, outcome);
    attempted(anAcceptance(['ada@example.com']));
    attempted(aFailure(aFault('connect_timeout')));
    attempted(aFailure(aFault('connection_lost', { certain: false })));
    // An attempt that a crash interrupted: its duration is unknown.
    attempted({ ...aFailure(aFault('connection_lost', { certain: false })), server: '' });
    expect(await read('outtray_attempts_total')).toEqual([
      `{account="${BOT}",outcome="accepted",code=""} 1`,
      `{account="${BOT}",outcome="failed",code="connect_timeout"} 1`,
      `{account="${BOT}",outcome="uncertain",code="connection_lost"} 2`,
    ]);
    expect(await read('outtray_attempt_duration_seconds_count')).toEqual(['3']);
    expect(await read('outtray_attempt_duration_seconds_sum')).toEqual(['0.75']);
  });

  test('count searches of Sent Mail by the account that is searched, and by result', async () => {
    const { events, read } = start();
    const delivery = aDelivery({ status: 'deferred', account: 'sales@acme.com', lookup: aLookup() });
    events.emit('message.looked_up', delivery, 'confirmed');
    events.emit('message.looked_up', aDelivery({ account: 'removed@acme.com' }), 'not_possible');
    expect(await read('outtray_reconciliations_total')).toEqual([
      `{account="${BOT}",result="confirmed"} 1`,
      '{account="_OTHER",result="not_possible"} 1',
      `{account="${BOT}",result="not_found"} 0`,
      `{account="${BOT}",result="not_possible"} 0`,
    ]);
  });

  test('count each bounced recipient once, by class, and mail that follows messages by kind', async () => {
    const { events, read } = start();
    const recipients = ['ada@example.com', 'bob@example.com'].map(
      (email) => ({ email, status: 'accepted', smtp: null }) as const,
    );
    const reported = [aReported(), aReported({ email: 'bob@example.com', class: 'soft' })];
    let delivery = aDelivery({ status: 'sent', recipients });
    const unverified = aBounce({ recipients: [aReported()], unverified: true });
    for (const mail of [aReply(), unverified, aBounce({ recipients: reported })]) {
      const applied = applyInbound(delivery, mail);
      if (applied) events.emit('message.followed_up', applied.delivery, applied.followUp);
      delivery = applied?.delivery ?? delivery;
    }
    const { email, suppress: _, ...bounce } = aReported({ class: 'blocked' });
    const mail = { id: 'msg_1', owner: 'crm', account: 'removed@acme.com', recipients: [email] };
    events.emit('message.bounced_late', mail, [{ email, bounce: { at: 1, unverified: false, ...bounce } }]);
    expect(await read('outtray_recipients_bounced_total')).toEqual([
      `{account="${BOT}",class="hard"} 1`,
      `{account="${BOT}",class="soft"} 1`,
      '{account="_OTHER",class="blocked"} 1',
      `{account="${BOT}",class="blocked"} 0`,
      `{account="${BOT}",class="policy"} 0`,
    ]);
    expect(await read('outtray_follow_ups_total')).toEqual([
      `{account="${BOT}",kind="replied"} 1`,
      `{account="${BOT}",kind="bounced"} 2`,
      '{account="_OTHER",kind="bounced"} 1',
      `{account="${BOT}",kind="delayed"} 0`,
      `{account="${BOT}",kind="auto_replied"} 0`,
    ]);
  });

  test('count webhook calls by outcome', async () => {
    const { events, read } = start();
    events.emit('webhook.attempted', aNotice(), { kind: 'taken' });
    events.emit('webhook.attempted', aNotice(), { kind: 'failed', reason: 'HTTP 500', retryAfterMs: null });
    events.emit('webhook.attempted', aNotice(), { kind: 'gone' });
    expect(await read('outtray_webhook_calls_total')).toEqual([
      '{outcome="delivered"} 1',
      '{outcome="failed"} 1',
      '{outcome="gone"} 1',
    ]);
  });
});

describe('gauges', () => {
  test('show one series for each account, without that of an earlier pause', async () => {
    const { error } = aFault('bad_credentials', { scope: 'account' });
    const pause = { error, since: 0, until: 0 };
    let state = aState();
    const { read } = start({ readShared: async () => state });
    expect(await read('outtray_account_paused')).toEqual([`{account="${BOT}",code=""} 0`]);
    state = aState({ accounts: [anAccountStatus({ pause })] });
    expect(await read('outtray_account_paused')).toEqual([`{account="${BOT}",code="bad_credentials"} 1`]);
    state = aState();
    expect(await read('outtray_account_paused')).toEqual([`{account="${BOT}",code=""} 0`]);
  });

  test('show the limit that Gmail enforces, if it is lower', async () => {
    const status = anAccountStatus();
    const messages = { limit: 2000, learned: 500, used: 480 };
    const state = aState({ accounts: [{ ...status, quota: { ...status.quota, messages } }] });
    const { read } = start({ readShared: async () => state });
    expect(await read('outtray_account_quota_used')).toContain(`{account="${BOT}",kind="messages"} 480`);
    expect(await read('outtray_account_quota_limit')).toEqual([
      `{account="${BOT}",kind="messages"} 500`,
      `{account="${BOT}",kind="recipients"} 2000`,
    ]);
  });

  test.each([
    [{ max: 5, allowed: 5, busy: 2 }, [2, 3, 0]],
    [{ max: 5, allowed: 2, busy: 1 }, [1, 1, 3]],
    // Busy connections end normally when Gmail asks to slow down.
    [{ max: 5, allowed: 2, busy: 4 }, [4, 0, 1]],
  ])('divide the connections %o into busy, free and withheld', async (connections, expected) => {
    const state = aState({ accounts: [anAccountStatus({ connections })] });
    const { metrics } = start({ readShared: async () => state });
    const samples = parseMetrics(await metrics.read()).filter(
      ({ name }) => name === 'outtray_smtp_connections',
    );
    expect(samples.map(({ labels }) => labels.state)).toEqual(['busy', 'free', 'withheld']);
    expect(samples.map(({ value }) => value)).toEqual(expected);
  });

  test('show how long the oldest message has been due, 0 if none is', async () => {
    const { queue } = aState();
    let oldestDueAt: number | null = Date.now() - 90_000;
    const { metrics } = start({ readShared: async () => aState({ queue: { ...queue, oldestDueAt } }) });
    const read = async () =>
      parseMetrics(await metrics.read()).find(({ name }) => name === 'outtray_queue_oldest_due_seconds')
        ?.value;
    expect(await read()).toBeCloseTo(90, -1);
    oldestDueAt = null;
    expect(await read()).toBe(0);
  });

  test.each([
    ['fails', () => Promise.reject(new Error('connection closed'))],
    ['does not respond', () => new Promise<never>(() => {})],
  ])('are absent if the backend %s, within 2 s', async (_, readShared) => {
    const { metrics } = start({ readShared });
    const startedAt = performance.now();
    const text = await metrics.read();
    expect(performance.now() - startedAt).toBeLessThan(2000);
    expect(samplesOf(text, 'outtray_backend_up')).toEqual(['0']);
    expect(text).not.toMatch(/outtray_(queue|account|smtp)_/);
    expect(samplesOf(text, 'outtray_messages_accepted_total')).toEqual(['{key="crm"} 0']);
  });

  test('remain while the backend can be read, although it takes no messages', async () => {
    const { metrics } = start({ isBackendUp: () => false });
    const text = await metrics.read();
    expect(samplesOf(text, 'outtray_backend_up')).toEqual(['0']);
    expect(samplesOf(text, 'outtray_queue_messages')).toContain('{status="queued"} 0');
  });

  test('are not requested again while the backend does not respond', async () => {
    let reads = 0;
    const { metrics } = start({
      readShared() {
        reads += 1;
        return new Promise<never>(() => {});
      },
    });
    await metrics.read();
    await metrics.read();
    expect(reads).toBe(1);
  });
});

describe('labels', () => {
  test('of requests are the pattern of the route and a known method', async () => {
    const { metrics, read } = start();
    const request = { status: 404, durationMs: 3 };
    for (let i = 0; i < 1000; i += 1) metrics.countRequest({ ...request, method: `M${i}`, route: undefined });
    metrics.countRequest({ method: 'GET', route: '/messages/:id', status: 200, durationMs: 3 });
    metrics.countRequest({ method: 'GET', route: '/messages/:id', status: undefined, durationMs: 3 });
    expect(await read('http_server_request_duration_seconds_count')).toEqual([
      '{http_request_method="_OTHER",http_route="",http_response_status_code="404"} 1000',
      '{http_request_method="GET",http_route="/messages/:id",http_response_status_code="200"} 1',
      '{http_request_method="GET",http_route="/messages/:id",http_response_status_code=""} 1',
    ]);
  });

  test('of accounts are the configured ones, one for test keys and one for all others', async () => {
    const { events, metrics } = start();
    const accounts = Array.from({ length: 500 }, (_, i) => `former-${i}@acme.com`);
    for (const account of [BOT, ...accounts]) {
      events.emit('message.settled', aDelivery({ account, status: 'canceled', finishedAt: Date.now() }));
      events.emit('message.attempted', aDelivery(), { ...anAttempt, account }, anAcceptance(['a@b.co']));
    }
    const sandboxed = { test: true, account: 'test-key@simulator.test', finishedAt: Date.now() };
    events.emit('message.settled', aDelivery({ ...sandboxed, status: 'sent' }));
    const labels = parseMetrics(await metrics.read()).flatMap(({ labels: { account } }) => account ?? []);
    expect([...new Set(labels)].sort()).toEqual([BOT, '_OTHER', 'sandbox'].sort());
  });

  test('cannot make more series than there are statuses, outcomes and codes', async () => {
    const { events, metrics } = start({ keys: () => ['crm', 'shop'] });
    const before = parseMetrics(await metrics.read()).length;
    for (let i = 0; i < 5000; i += 1) {
      const code = ERROR_CODES[i % ERROR_CODES.length] ?? 'expired';
      const patch = { owner: `key-${i}`, account: `user-${i}@acme.com`, finishedAt: Date.now() };
      const { error } = aFault(code);
      events.emit('message.accepted', aDelivery(patch));
      events.emit('message.settled', aDelivery({ ...patch, status: 'failed', error }));
      const attempt = { ...anAttempt, account: patch.account };
      events.emit('message.attempted', aDelivery(patch), attempt, aFailure(aFault(code)));
      const mail = { kind: 'bounced', at: 1, from: `from-${i}@x.test`, mailId: `<${i}@x.test>` } as const;
      events.emit('message.followed_up', aDelivery(patch), { ...mail, recipients: [`user-${i}@acme.com`] });
      const { email, suppress: _, ...bounce } = aReported({ class: BOUNCE_CLASSES[i % 4] ?? 'soft' });
      const sent = { id: 'msg_1', owner: patch.owner, account: patch.account, recipients: [email] };
      const bounced = { email, bounce: { at: 1, unverified: false, ...bounce } };
      events.emit('message.bounced_late', sent, [bounced]);
      events.emit('webhook.attempted', aNotice({ url: `https://${i}.test` }), { kind: 'gone' });
      metrics.countRequest({ method: `M${i}`, route: undefined, status: 404, durationMs: i });
    }
    const samples = parseMetrics(await metrics.read());
    // Node's own metrics vary a little.
    expect(samples.length - before).toBeLessThan(2 * ERROR_CODES.length + 50);
    expect(JSON.stringify(samples)).not.toMatch(/user-|key-|M\d|\.test/);
  });
});

describe('concurrent calls', () => {
  test('share one result', async () => {
    let reads = 0;
    const { metrics } = start({
      async readShared() {
        reads += 1;
        return aState();
      },
    });
    const texts = await Promise.all(Array.from({ length: 10 }, () => metrics.read()));
    expect(new Set(texts).size).toBe(1);
    expect(reads).toBe(1);
  });

  test('run again only after the interval, and then for all that wait', async () => {
    const startedAt: number[] = [];
    const run = shareRuns(async () => startedAt.push(performance.now()), 50);
    await run();
    await Promise.all([run(), run(), run()]);
    const [first = 0, second = 0, ...others] = startedAt;
    // The first run may have begun a little after its interval.
    expect(second - first).toBeGreaterThan(25);
    expect(others).toEqual([]);
  });
});
