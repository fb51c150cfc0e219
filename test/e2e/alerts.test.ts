import { pino } from 'pino';
import { describe, expect, test, vi } from 'vitest';
import { createMemoryBackend } from '../../src/adapters/memory/index.ts';
import { createEvents } from '../../src/core/events.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import { openAlerts } from '../../src/service/alerts.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { type Endpoint, type EndpointOptions, startEndpoint } from '../helpers/endpoint.ts';
import { hasRedis, startRedis } from '../helpers/redis.ts';
import { ADMIN_KEY, APP_PASSWORD, startService } from '../helpers/service.ts';
import { startWithGmail } from '../helpers/smtp/gmail.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };
const ASK = { method: 'POST', headers: { authorization: `Bearer ${ADMIN_KEY}` } };
/** The account of `startWithGmail`. */
const USER = 'bot@simulator.test';
const TOKEN = 'T000-secret-token';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** Each test starts a service. */
vi.setConfig({ testTimeout: 60_000 });
const SOON = { timeout: 20_000 };

function environment({ port }: Endpoint, more: Record<string, string> = {}) {
  return {
    ALERT_WEBHOOK_URL: `http://127.0.0.1:${port}/services/${TOKEN}?key=${TOKEN}`,
    WEBHOOK_ALLOWED_HOSTS: '127.0.0.1',
    ...more,
  };
}

function useBackend(backend: Backend): Backend & AsyncDisposable {
  return { ...backend, [Symbol.asyncDispose]: () => backend.close() };
}

/** Returns the first line of each alert that the endpoint has received. */
function titles({ heard }: Endpoint): string[] {
  return heard.map(({ body }) => JSON.parse(body).text.split('\n')[0]);
}

describe('ALERT_WEBHOOK_URL', () => {
  test('receives an alert when an account is paused, with the fix, and when it sends again', async () => {
    await using endpoint = await startEndpoint();
    await using app = await startWithGmail({ env: environment(endpoint), backoffScale: 1 });
    app.gmail.setLoginFault('bad-credentials');
    await app.service.send(HELLO);
    await vi.waitFor(() => expect(endpoint.heard).toHaveLength(1), SOON);
    app.gmail.setLoginFault(null);
    await app.service.request(`/accounts/${USER}/verify`, ASK);
    await vi.waitFor(() => expect(endpoint.heard).toHaveLength(2), SOON);
    const [paused, resumed] = endpoint.heard;
    const { text, content, allowed_mentions } = JSON.parse(paused?.body ?? '');
    expect(text).toMatch(
      /^Account \S+ is paused: .+ \(bad_credentials\)\.\n.+\n.+app password.+\nIt is tried/is,
    );
    expect(content).toContain('(bad_credentials)');
    expect(allowed_mentions).toEqual({ parse: [] });
    expect(JSON.parse(resumed?.body ?? '').text).toBe(`Account ${USER} sends again.`);
    expect(paused).toMatchObject({
      method: 'POST',
      path: `/services/${TOKEN}?key=${TOKEN}`,
      headers: { 'content-type': 'application/json', 'user-agent': expect.stringMatching(/^Outtray\//) },
    });
    expect(Object.keys(paused?.headers ?? {}).filter((name) => name.startsWith('webhook-'))).toEqual([]);
    expect(JSON.stringify(app.service.logs)).not.toContain(TOKEN);
  });

  test('receives an alert when mail is late, and when it no longer is', async () => {
    await using endpoint = await startEndpoint();
    const limits = { maxMessages: 10, maxBytes: 1e6, retainMs: HOUR };
    await using backend = useBackend(createMemoryBackend({ ...limits, onEarlyDrop: () => {} }));
    const late = aDelivery({ createdAt: Date.now() - 20 * MINUTE });
    await backend.store.insert(late);
    await backend.store.insert(aDelivery({ createdAt: Date.now() - HOUR, scheduledAt: Date.now() - MINUTE }));
    const alerts = await openAlerts({
      config: {
        alertWebhookUrl: environment(endpoint).ALERT_WEBHOOK_URL,
        webhooks: { url: null, secrets: [], allowedHosts: ['127.0.0.1'] },
      },
      version: '1.2.3',
      logger: pino({ level: 'silent' }),
      backend,
      events: createEvents(),
      accounts: { list: async () => [] },
      backoffScale: 1e-4,
    });
    alerts?.start();
    await vi.waitFor(() => expect(endpoint.heard).toHaveLength(1), SOON);
    const sent = { ...late, revision: 2, status: 'sent', finishedAt: Date.now() } as const;
    await backend.store.update(late, sent);
    await vi.waitFor(() => expect(endpoint.heard).toHaveLength(2), SOON);
    await alerts?.drain();
    await alerts?.close();
    expect(titles(endpoint)).toEqual([
      'Mail is late: the oldest message has been due for 20 minutes.',
      'Mail is no longer late.',
    ]);
  });

  test('receives one alert when 90 % of a quota are used', async () => {
    await using endpoint = await startEndpoint();
    const env = environment(endpoint, { GMAIL_DAILY_MESSAGES: '10' });
    await using app = await startWithGmail({ env });
    for (let count = 0; count < 9; count += 1) await app.service.send(HELLO, { wait: 20 });
    await vi.waitFor(() => expect(endpoint.heard).toHaveLength(1), SOON);
    expect(titles(endpoint)).toEqual([`Account ${USER} has used 90 % of its quota.`]);
  });

  test.each<[string, EndpointOptions]>([
    ['refuses calls', { answer: (response) => response.writeHead(500).end() }],
    ['does not respond', { answer: () => {} }],
  ])('that %s delays neither mail nor the shutdown, and is logged by its host', async (_, options) => {
    await using endpoint = await startEndpoint(options);
    await using app = await startWithGmail({ env: environment(endpoint, { SHUTDOWN_TIMEOUT: '5s' }) });
    app.gmail.setLoginFault('bad-credentials', 1);
    const { id } = (await app.service.send(HELLO)).body;
    await vi.waitFor(() => expect(endpoint.heard.length).toBeGreaterThan(0), SOON);
    expect((await app.service.settled(id)).status).toBe('sent');
    const startedAt = performance.now();
    await app.service.close();
    expect(performance.now() - startedAt).toBeLessThan(8000);
    const lines = app.service.logs.filter(({ msg }) => /^alert /.test(String(msg)));
    expect(lines).toContainEqual(
      expect.objectContaining({ msg: 'alert dropped', endpoint: `127.0.0.1:${endpoint.port}` }),
    );
    expect(JSON.stringify(app.service.logs)).not.toContain(TOKEN);
  });

  test('is not called at a private address that is not allowed', async () => {
    await using endpoint = await startEndpoint();
    const env = { ...environment(endpoint), WEBHOOK_ALLOWED_HOSTS: 'other.test' };
    const ALERT_WEBHOOK_URL = env.ALERT_WEBHOOK_URL.replace('http:', 'https:');
    await using app = await startWithGmail({ env: { ...env, ALERT_WEBHOOK_URL } });
    app.gmail.setLoginFault('bad-credentials');
    await app.service.send(HELLO);
    await vi.waitFor(
      () =>
        expect(app.service.logs).toContainEqual(
          expect.objectContaining({
            msg: 'alert failed',
            reason: expect.stringContaining('WEBHOOK_ALLOWED_HOSTS'),
          }),
        ),
      SOON,
    );
    expect(endpoint.connections).toBe(0);
  });

  test.skipIf(!hasRedis)(
    'receives one alert from instances that share a queue, whichever of them notices (with redis-server)',
    async () => {
      await using redis = await startRedis();
      await using gmail = await startSimulator({ password: APP_PASSWORD });
      await using endpoint = await startEndpoint();
      const env = environment(endpoint, {
        GMAIL_USER: gmail.user,
        GMAIL_APP_PASSWORD: APP_PASSWORD,
        QUEUE_URL: redis.url(),
        GMAIL_DAILY_MESSAGES: '10',
      });
      const options = { smtp: gmail.url, ca: gmail.ca, env };
      await using one = await startService(options);
      await using other = await startService(options);
      for (let count = 0; count < 9; count += 1) await (count % 2 ? one : other).send(HELLO, { wait: 20 });
      await vi.waitFor(() => expect(endpoint.heard).toHaveLength(1), SOON);
      // No server can be reached: each instance finds out for itself.
      await gmail.blockPort('starttls', 'refused');
      await gmail.blockPort('tls', 'refused');
      await Promise.all([
        one.send({ ...HELLO, priority: 'high' }),
        other.send({ ...HELLO, priority: 'high' }),
      ]);
      await vi.waitFor(() => expect(endpoint.heard).toHaveLength(2), SOON);
      const pauses = () =>
        [one, other].map(({ logs }) => logs.filter(({ msg }) => msg === 'account paused').length);
      await vi.waitFor(() => expect(Math.min(...pauses())).toBeGreaterThan(1), SOON);
      expect(titles(endpoint)).toEqual([
        `Account ${gmail.user} has used 90 % of its quota.`,
        expect.stringMatching(/\(connect_failed\)\.$/),
      ]);
    },
  );
});
