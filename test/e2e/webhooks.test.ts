import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { describe, expect, test, vi } from 'vitest';
import type { MessageResource } from '../../src/http/schemas/message.ts';
import { type Endpoint, startEndpoint } from '../helpers/endpoint.ts';
import { ADMIN_KEY, API_KEY } from '../helpers/service.ts';
import { startWithGmail } from '../helpers/smtp/gmail.ts';

const SECRET = `whsec_${Buffer.alloc(32, 'new').toString('base64')}`;
const FORMER = `whsec_${Buffer.alloc(32, 'old').toString('base64')}`;
const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };

interface WebhookEvent {
  readonly type: string;
  readonly timestamp: string;
  readonly sequence?: number;
  readonly data: MessageResource & { readonly user?: string; readonly code?: string };
}

/** A receiver that verifies every call with the public package and accepts it. */
async function startReceiver(secret: string) {
  const webhook = new Webhook(secret);
  const events: WebhookEvent[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    events.push(
      webhook.verify(
        Buffer.concat(chunks).toString(),
        request.headers as Record<string, string>,
      ) as WebhookEvent,
    );
    response.end();
    server.emit('event');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks/mail`,
    events,
    /** Resolves with the first event of this type, and of this message if `id` is given. */
    async event(type: string, id?: string): Promise<WebhookEvent> {
      for (;;) {
        const found = events.find((one) => one.type === type && (id === undefined || one.data.id === id));
        if (found) return found;
        await once(server, 'event');
      }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function environment(url: string, more: Record<string, string> = {}) {
  return { WEBHOOK_URL: url, WEBHOOK_SECRET: SECRET, WEBHOOK_ALLOWED_HOSTS: '127.0.0.1', ...more };
}

describe('WEBHOOK_URL', () => {
  test.each([
    ['sent', 'ada@example.com', {}],
    ['partially_sent', ['ada@example.com', 'no-such-user@simulator.test'], {}],
    ['failed', 'no-such-user@simulator.test', {}],
    ['uncertain', 'drop-after-dot@simulator.test', { ON_UNCERTAIN: 'hold' }],
  ])('receives message.%s', async (status, to, env) => {
    await using receiver = await startReceiver(SECRET);
    await using app = await startWithGmail({ env: environment(receiver.url, env) });
    const { body } = await app.service.send({ ...HELLO, to, metadata: { crm_id: '42' } });
    const event = await receiver.event(`message.${status}`);
    expect(event.data).toEqual(await app.service.get(body.id));
    expect(event.data).toMatchObject({ status, metadata: { crm_id: '42' } });
    expect(event.timestamp).toMatch(/^\d{4}-.*Z$/);
    expect(Object.keys(event)).toEqual(['type', 'timestamp', 'sequence', 'data']);
  });

  test('receives message.deferred, message.canceled and message.expired, ordered by sequence', async () => {
    await using receiver = await startReceiver(SECRET);
    await using app = await startWithGmail({ env: environment(receiver.url), backoffScale: 1 });
    const { id } = (await app.service.send({ ...HELLO, to: 'greylisted@simulator.test' })).body;
    const deferred = await receiver.event('message.deferred', id);
    expect(deferred.data.error).toMatchObject({ scope: 'message' });
    await app.service.request(`/messages/${id}/cancel`, { method: 'POST' });
    const canceled = await receiver.event('message.canceled', id);
    expect(canceled.sequence).toBeGreaterThan(deferred.sequence ?? Number.NaN);
    const expires_at = new Date(Date.now() + 300).toISOString();
    const late = await app.service.send({ ...HELLO, to: 'greylisted+late@simulator.test', expires_at });
    expect((await receiver.event('message.expired', late.body.id)).data.status).toBe('expired');
  });

  test('receives account.paused and account.resumed', async () => {
    await using receiver = await startReceiver(SECRET);
    await using app = await startWithGmail({ env: environment(receiver.url) });
    app.gmail.setPassword('another-password');
    await app.service.send(HELLO);
    const paused = await receiver.event('account.paused');
    expect(paused.data).toMatchObject({
      user: 'bot@simulator.test',
      status: 'paused',
      code: 'bad_credentials',
    });
    app.gmail.setPassword('abcdefghijklmnop');
    const resumed = await receiver.event('account.resumed');
    expect(resumed.data).toMatchObject({ user: 'bot@simulator.test', status: 'ready', code: null });
  });

  test('gets calls that verify with the previous secret while it is being rotated', async () => {
    await using receiver = await startReceiver(FORMER);
    await using app = await startWithGmail({
      env: environment(receiver.url, { WEBHOOK_SECRET: `${SECRET}, ${FORMER}` }),
    });
    await app.service.send(HELLO);
    expect((await receiver.event('message.sent')).data.status).toBe('sent');
  });
});

test('the webhook_url of a key receives only the messages of that key, and no account events', async () => {
  await using all = await startReceiver(SECRET);
  await using own = await startReceiver(SECRET);
  const keys = [
    { name: 'crm', secret: API_KEY, webhook_url: own.url },
    { name: 'boss', secret: ADMIN_KEY, scopes: ['admin'], webhook_url: all.url },
  ];
  await using app = await startWithGmail({ env: environment(all.url, { API_KEYS: JSON.stringify(keys) }) });
  const byBoss = (await app.service.send(HELLO, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })).body
    .id;
  await all.event('message.sent', byBoss);
  const byCrm = (await app.service.send(HELLO)).body.id;
  await Promise.all([all.event('message.sent', byCrm), own.event('message.sent', byCrm)]);
  expect(own.events.map(({ data }) => data.id)).toEqual([byCrm]);
  // The URL of this key equals WEBHOOK_URL, so each event is sent once.
  expect(all.events.map(({ data }) => data.id)).toEqual([byBoss, byCrm]);
});

test('calls to the webhook_url of a key are signed with the webhook_secret of that key alone', async () => {
  const own = { crm: SECRET, boss: FORMER };
  const shared = `whsec_${Buffer.alloc(32, 'all').toString('base64')}`;
  await using endpoint = await startEndpoint();
  await using all = await startReceiver(shared);
  const webhook_url = `http://127.0.0.1:${endpoint.port}/hooks`;
  const keys = [
    { name: 'crm', secret: API_KEY, webhook_url, webhook_secret: own.crm },
    { name: 'boss', secret: ADMIN_KEY, webhook_url, webhook_secret: own.boss },
  ];
  const env = environment(all.url, { API_KEYS: JSON.stringify(keys), WEBHOOK_SECRET: shared });
  await using app = await startWithGmail({ env });
  const byCrm = (await app.service.send(HELLO)).body.id;
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  const byBoss = (await app.service.send(HELLO, { headers })).body.id;
  await Promise.all([byCrm, byBoss].map((id) => all.event('message.sent', id)));
  await vi.waitFor(() => expect(endpoint.heard).toHaveLength(2));
  const signers = endpoint.heard.map(({ body, headers }) => [
    JSON.parse(body).data.id,
    Object.values({ ...own, shared }).filter((secret) => verifies(secret, body, headers)),
  ]);
  expect(Object.fromEntries(signers)).toEqual({ [byCrm]: [own.crm], [byBoss]: [own.boss] });
});

function verifies(secret: string, body: string, headers: IncomingHttpHeaders): boolean {
  try {
    new Webhook(secret).verify(body, headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
}

describe('POST /webhooks/test', () => {
  const byAdmin = { authorization: `Bearer ${ADMIN_KEY}` };
  const post = (body: object, headers: Record<string, string> = {}) => ({
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

  /** Starts a service with an endpoint for WEBHOOK_URL and one for the key of the tests. */
  async function start(own: Endpoint, all: Endpoint) {
    const url = (port: number) => `http://127.0.0.1:${port}/hooks?token=query-secret`;
    const keys = [
      { name: 'crm', secret: API_KEY, webhook_url: url(own.port), webhook_secret: FORMER },
      { name: 'boss', secret: ADMIN_KEY, scopes: ['admin'] },
    ];
    const env = environment(url(all.port), { API_KEYS: JSON.stringify(keys) });
    return { app: await startWithGmail({ env }), ownUrl: url(own.port), allUrl: url(all.port) };
  }

  test('calls the endpoint of the key with a signed event, and reports that it was delivered', async () => {
    await using own = await startEndpoint();
    await using all = await startEndpoint();
    const { app, ownUrl, allUrl } = await start(own, all);
    await using service = app;
    const { status, body } = await service.service.request('/webhooks/test', post({}));
    expect([status, body]).toEqual([
      200,
      {
        endpoint: ownUrl.replace(/\?.*/, ''),
        event_id: own.heard[0]?.headers['webhook-id'],
        delivered: true,
        reason: null,
        duration_ms: expect.any(Number),
      },
    ]);
    const [{ body: event = '', headers = {} } = {}] = own.heard;
    expect(new Webhook(FORMER).verify(event, headers as Record<string, string>)).toMatchObject({
      type: 'webhook.test',
      data: {},
    });
    // A key cannot reach the endpoint of others, an admin can reach all.
    expect((await service.service.request('/webhooks/test', post({ url: allUrl }))).status).toBe(404);
    for (const sent of [{}, { url: ownUrl }]) {
      const answer = await service.service.request('/webhooks/test', post(sent, byAdmin));
      expect(answer.body).toMatchObject({ delivered: true, endpoint: 'url' in sent ? ownUrl : allUrl });
    }
    expect([own.heard.length, all.heard.length]).toEqual([2, 1]);
  });

  test('reports why a call failed, without the body of the response, and allows five a minute', async () => {
    await using own = await startEndpoint({
      answer: (response) => response.writeHead(401).end('body-secret'),
    });
    await using all = await startEndpoint();
    const { app } = await start(own, all);
    await using service = app;
    for (let i = 0; i < 5; i++) {
      const { body } = await service.service.request('/webhooks/test', post({}));
      expect(body).toMatchObject({ delivered: false, reason: 'HTTP 401' });
      expect(JSON.stringify(body)).not.toContain('secret');
    }
    const { status, headers } = await service.service.request('/webhooks/test', post({}));
    expect(status).toBe(429);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(own.heard).toHaveLength(5);
  });
});

test('a call that was given up is listed, and is made again with the same id on request', async () => {
  let isDown = true;
  await using endpoint = await startEndpoint({
    answer: (response) => response.writeHead(isDown ? 503 : 204).end(),
  });
  const webhook_url = `http://127.0.0.1:${endpoint.port}/hooks?token=query-secret`;
  const keys = [
    { name: 'crm', secret: API_KEY, webhook_url },
    { name: 'shop', secret: ADMIN_KEY, webhook_url },
  ];
  const env = environment('http://127.0.0.1:9/', { WEBHOOK_URL: '', API_KEYS: JSON.stringify(keys) });
  await using app = await startWithGmail({ env, backoffScale: 1e-6 });
  const { id } = (await app.service.send(HELLO)).body;
  const list = async (query: string, headers: Record<string, string> = {}) => {
    const { body } = await app.service.request(`/webhooks/deliveries?${query}`, { headers });
    return (body as unknown as { deliveries: Record<string, string>[] }).deliveries;
  };
  await vi.waitFor(async () => expect(await list('status=failed')).toHaveLength(1), 10_000);
  const [failed = {}] = await list(`message=${id}`);
  expect(failed).toEqual({
    id: expect.stringMatching(/^ntc_/),
    event_id: endpoint.heard[0]?.headers['webhook-id'],
    type: 'message.sent',
    message: id,
    account: 'bot@simulator.test',
    endpoint: webhook_url.replace(/\?.*/, ''),
    status: 'failed',
    calls: endpoint.heard.length,
    reason: expect.stringContaining('HTTP 503'),
    created_at: expect.any(String),
    next_call_at: null,
    finished_at: expect.any(String),
  });
  const byShop = { authorization: `Bearer ${ADMIN_KEY}` };
  expect(await list('', byShop)).toEqual([]);
  const replay = (headers = {}) =>
    app.service.request(`/webhooks/deliveries/${failed.id}/replay`, { method: 'POST', headers });
  expect((await replay(byShop)).status).toBe(404);
  isDown = false;
  const { status, body } = await replay();
  expect([status, body]).toMatchObject([202, { id: failed.id, status: 'waiting', finished_at: null }]);
  await vi.waitFor(async () => expect(await list('')).toEqual([]), 10_000);
  expect(endpoint.heard.at(-1)?.headers['webhook-id']).toBe(failed.event_id);
  expect((await replay()).status).toBe(404);
});

test('an endpoint that responded 410 gets a replayed event, and new ones once it accepts a test', async () => {
  let status = 410;
  await using endpoint = await startEndpoint({
    answer: (response) => response.writeHead(status).end(),
  });
  const webhook_url = `http://127.0.0.1:${endpoint.port}/hooks`;
  const keys = [{ name: 'crm', secret: API_KEY, webhook_url }];
  const env = environment('http://127.0.0.1:9/', { WEBHOOK_URL: '', API_KEYS: JSON.stringify(keys) });
  await using app = await startWithGmail({ env });
  const heard = (count: number) =>
    vi.waitFor(() => expect(endpoint.heard).toHaveLength(count), { timeout: 10_000 });
  const failed = async () => {
    const { body } = await app.service.request('/webhooks/deliveries?status=failed');
    const [found] = (body as unknown as { deliveries: { id: string; event_id: string }[] }).deliveries;
    if (!found) throw new Error('no event was given up');
    return found;
  };
  await app.service.send(HELLO, { wait: 10 });
  const { id, event_id } = await vi.waitFor(failed, { timeout: 10_000 });
  const replay = () => app.service.request(`/webhooks/deliveries/${id}/replay`, { method: 'POST' });
  expect((await replay()).status).toBe(202);
  await heard(2);
  expect(endpoint.heard[1]?.headers['webhook-id']).toBe(event_id);
  await vi.waitFor(failed, { timeout: 10_000 });

  status = 204;
  const { body } = await app.service.request('/webhooks/test', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  expect(body).toMatchObject({ delivered: true });
  await app.service.send(HELLO, { wait: 10 });
  await heard(4);
});

test('a webhook to a private address is refused unless its host is allowed, and the reason is logged', async () => {
  await using receiver = await startReceiver(SECRET);
  const { port } = new URL(receiver.url);
  const env = environment(`https://localhost:${port}/token=SECRET-IN-URL`, {
    WEBHOOK_ALLOWED_HOSTS: 'crm.internal',
  });
  await using app = await startWithGmail({ env, backoffScale: 1 });
  await app.service.send(HELLO, { wait: 10 });
  await expect
    .poll(() => app.service.logs.find(({ msg }) => String(msg).includes('webhook')))
    .toMatchObject({
      level: 40,
      endpoint: expect.stringContaining('localhost'),
      type: 'message.sent',
      reason: expect.stringContaining('WEBHOOK_ALLOWED_HOSTS'),
    });
  expect(JSON.stringify(app.service.logs)).not.toContain('SECRET-IN-URL');
  expect(receiver.events).toEqual([]);
});

test('webhook events that are undelivered at shutdown are logged', async () => {
  await using app = await startWithGmail({
    env: environment('http://127.0.0.1:9/nobody-listens'),
    backoffScale: 1,
  });
  await app.service.send(HELLO, { wait: 10 });
  await app.service.close();
  const line = app.service.logs.find(({ msg }) => String(msg).startsWith('undelivered webhook events lost'));
  expect(line).toMatchObject({ level: 40, lost: [expect.stringMatching(/^evt_/)] });
});
