import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { freePort } from '../helpers/free-port.ts';
import { parseMetrics, samplesOf } from '../helpers/metrics.ts';
import { hasRedis, startRedis } from '../helpers/redis.ts';
import { ADMIN_KEY, type ServiceUnderTest, startService } from '../helpers/service.ts';
import { startWithGmail } from '../helpers/smtp/gmail.ts';

const MAIL = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };
const BOT = 'bot@simulator.test';
const ADMIN = { authorization: `Bearer ${ADMIN_KEY}` };

async function scrape({ url }: Pick<ServiceUnderTest, 'url'>, headers: Record<string, string> = ADMIN) {
  const response = await fetch(`${url}/metrics`, { headers });
  return { status: response.status, text: await response.text() };
}

/** Every metric of Outtray, with its labels. */
const METRICS = {
  outtray_messages_accepted_total: ['key'],
  outtray_messages_settled_total: ['account', 'status', 'code'],
  outtray_attempts_total: ['account', 'outcome', 'code'],
  outtray_queue_messages: ['status'],
  outtray_queue_messages_limit: [],
  outtray_queue_bytes: [],
  outtray_queue_bytes_limit: [],
  outtray_queue_oldest_due_seconds: [],
  outtray_delivery_duration_seconds_count: [],
  outtray_attempt_duration_seconds_count: [],
  outtray_account_paused: ['account', 'code'],
  outtray_account_quota_used: ['account', 'kind'],
  outtray_account_quota_limit: ['account', 'kind'],
  outtray_smtp_connections: ['account', 'state'],
  outtray_webhook_calls_total: ['outcome'],
  outtray_backend_up: [],
  outtray_build_info: ['version'],
  http_server_request_duration_seconds_count: [
    'http_request_method',
    'http_route',
    'http_response_status_code',
  ],
  process_cpu_seconds_total: [],
  nodejs_eventloop_lag_seconds: [],
};

describe('a scrape', () => {
  test.each(['memory:', 'sqlite:'])('has every metric with its labels (%s)', async (backend) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-metrics-'));
    const url = backend === 'memory:' ? backend : `sqlite:${join(folder.path, 'queue.db')}`;
    await using mail = await startWithGmail({ env: { QUEUE_URL: url } });
    await mail.service.send(MAIL, { wait: 15 });
    const { status, text } = await scrape(mail.service);
    expect(status).toBe(200);
    const labels = new Map(parseMetrics(text).map((sample) => [sample.name, Object.keys(sample.labels)]));
    for (const [name, expected] of Object.entries(METRICS))
      expect([name, labels.get(name)]).toEqual([name, expected]);
    expect(samplesOf(text, 'outtray_messages_accepted_total')).toContain('{key="crm"} 1');
    expect(samplesOf(text, 'outtray_attempts_total')).toContain(
      `{account="${BOT}",outcome="accepted",code=""} 1`,
    );
    expect(samplesOf(text, 'outtray_account_quota_used')).toContain(`{account="${BOT}",kind="messages"} 1`);
    expect(samplesOf(text, 'outtray_backend_up')).toEqual(['1']);
  });

  test('shows a paused account with the code of its pause, and the mail that waits for it', async () => {
    await using mail = await startWithGmail();
    mail.gmail.setLoginFault('bad-credentials');
    await mail.service.send(MAIL, { wait: 15 });
    const { text } = await scrape(mail.service);
    expect(samplesOf(text, 'outtray_account_paused')).toEqual([
      `{account="${BOT}",code="bad_credentials"} 1`,
    ]);
  });

  test('counts a message once, however often its request is repeated', async () => {
    await using mail = await startWithGmail();
    const headers = { 'idempotency-key': 'order-1' };
    for (let i = 0; i < 3; i += 1) await mail.service.send(MAIL, { headers });
    const { text } = await scrape(mail.service);
    expect(samplesOf(text, 'outtray_messages_accepted_total')).toContain('{key="crm"} 1');
  });

  test('counts the messages of a test key under the account sandbox', async () => {
    const secret = 'test-secret-0123456789-abcdefghi';
    const keys = [
      { name: 'try', secret, test: true },
      { name: 'boss', secret: ADMIN_KEY, scopes: ['admin'] },
    ];
    await using mail = await startWithGmail({ env: { API_KEYS: JSON.stringify(keys) } });
    await mail.service.send(MAIL, { wait: 15, headers: { authorization: `Bearer ${secret}` } });
    const { text } = await scrape(mail.service);
    expect(samplesOf(text, 'outtray_messages_settled_total')).toContain(
      '{account="sandbox",status="sent",code=""} 1',
    );
    expect(text).not.toContain('test-key@');
  });
});

describe('METRICS_PORT', () => {
  test('moves the metrics to a port of its own', async () => {
    await using mail = await startWithGmail({ env: { METRICS_PORT: '0' } });
    expect((await scrape(mail.service)).status).toBe(404);
    const line = mail.service.logs.find(({ msg }) => msg === 'listening');
    const url = String(line?.metrics_url).replace('/metrics', '');
    expect((await scrape({ url }, {})).status).toBe(401);
    const { status, text } = await scrape({ url });
    expect(status).toBe(200);
    expect(samplesOf(text, 'http_server_request_duration_seconds_count')).toContain(
      '{http_request_method="GET",http_route="/metrics",http_response_status_code="401"} 1',
    );
  });

  test('is named if its port is in use', async () => {
    await using mail = await startWithGmail();
    const { port } = new URL(mail.service.url);
    const starting = startService({
      smtp: mail.gmail.url,
      ca: mail.gmail.ca,
      env: { PORT: String(await freePort()), METRICS_PORT: port },
    });
    await expect(starting).rejects.toMatchObject({ code: 'EADDRINUSE', variable: 'METRICS_PORT' });
  });
});

describe.skipIf(!hasRedis)('while Redis is away (with redis-server)', () => {
  test('a scrape succeeds within 2 s, with outtray_backend_up 0 and no gauges', async () => {
    await using redis = await startRedis();
    await using mail = await startWithGmail({ env: { QUEUE_URL: redis.url() } });
    await mail.service.send(MAIL, { wait: 15 });
    expect(samplesOf((await scrape(mail.service)).text, 'outtray_backend_up')).toEqual(['1']);

    const expectScrapeWithoutGauges = async () => {
      const startedAt = performance.now();
      const { status, text } = await scrape(mail.service);
      expect([status, performance.now() - startedAt < 2000]).toEqual([200, true]);
      expect(samplesOf(text, 'outtray_backend_up')).toEqual(['0']);
      expect(text).not.toMatch(/outtray_(queue|account|smtp)_/);
      expect(samplesOf(text, 'outtray_messages_accepted_total')).toContain('{key="crm"} 1');
    };
    // It accepts connections and does not respond.
    redis.signal('SIGSTOP');
    await expectScrapeWithoutGauges();
    redis.signal('SIGCONT');
    await vi.waitFor(
      async () => expect(samplesOf((await scrape(mail.service)).text, 'outtray_backend_up')).toEqual(['1']),
      { timeout: 15_000 },
    );
    await redis.kill();
    await expectScrapeWithoutGauges();
    await redis.restart();
    await vi.waitFor(
      async () => expect((await scrape(mail.service)).text).toContain('outtray_queue_messages{'),
      { timeout: 15_000 },
    );
  });
});
