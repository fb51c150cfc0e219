import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { createMemoryRateCounter } from '../../src/adapters/memory/rate-counter.ts';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import { AppError } from '../../src/core/errors.ts';
import type { EndedRequest } from '../../src/core/ports/metrics.ts';
import { type AppOptions, buildMetricsApp } from '../../src/http/app.ts';
import { ADMIN, CRM, exchange, KEYS, MAIL, startApp } from '../helpers/app.ts';
import { aKey } from '../helpers/keys.ts';

const TEXT = '# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n';
const metrics = { contentType: Registry.PROMETHEUS_CONTENT_TYPE, read: async () => TEXT };
const SECRET = 'prom-secret-0123456789-abcdefghi';
const PROMETHEUS = { authorization: `Bearer ${SECRET}` };
const RATE = { max: 2, windowMs: 60_000 };
const apiKeys = createApiKeys(
  [...KEYS, aKey(SECRET, { name: 'prometheus', scopes: ['metrics'], rateLimit: RATE })],
  createMemorySharedState(),
);

const start = (options: Partial<AppOptions> = {}) =>
  startApp({ apiKeys, metrics: { metrics, isOpen: false }, ...options });

describe('GET /metrics', () => {
  test.each([
    ['the scope metrics', PROMETHEUS],
    ['the scope admin', ADMIN],
  ])('returns the text format of Prometheus to a key with %s', async (_, headers) => {
    await using app = await start();
    const { statusCode, headers: received, body } = await app.get('/metrics', headers);
    expect([statusCode, body]).toEqual([200, TEXT]);
    expect(received['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(received['cache-control']).toBe('no-store');
  });

  test('refuses a key without the scope, a wrong key and no key', async () => {
    await using app = await start();
    const codeFor = async (headers: Record<string, string>) =>
      (await app.get('/metrics', headers)).json<{ code: string }>().code;
    expect(await codeFor(CRM)).toBe('insufficient_scope');
    expect(await codeFor({ authorization: 'Bearer wrong' })).toBe('invalid_api_key');
    expect(await codeFor({})).toBe('missing_api_key');
  });

  test('needs no key if it is open', async () => {
    await using app = await start({ metrics: { metrics, isOpen: true } });
    expect((await app.get('/metrics', {})).body).toBe(TEXT);
    expect((await app.get('/metrics', { authorization: 'Bearer wrong' })).statusCode).toBe(200);
  });

  test('does not exist if metrics are off', async () => {
    await using app = await start({ metrics: null });
    expect((await app.get('/metrics', PROMETHEUS)).statusCode).toBe(404);
  });

  test('costs nothing of the rate limit, and works while the backend that counts is unavailable', async () => {
    const spend = () => Promise.reject(new AppError('queue_unavailable'));
    await using app = await start({ rates: { keys: { spend }, addresses: { spend } } });
    for (let i = 0; i < 2 * RATE.max; i += 1)
      expect((await app.get('/metrics', PROMETHEUS)).statusCode).toBe(200);
  });

  test('limits how often an address can guess keys', async () => {
    await using app = await start();
    const statuses = new Set<number>();
    for (let i = 0; i < 61; i += 1)
      statuses.add((await app.get('/metrics', { authorization: `Bearer wrong-${i}` })).statusCode);
    expect([...statuses]).toEqual([401, 429]);
  });

  test('logs a scrape at level debug', async () => {
    await using app = await start();
    await app.get('/metrics', PROMETHEUS);
    expect(app.logs).toContainEqual(
      expect.objectContaining({ level: 20, route: '/metrics', status: 200, key: 'prometheus' }),
    );
  });
});

describe('requests', () => {
  test('are counted with the pattern of their route, also if they are refused', async () => {
    const counted: EndedRequest[] = [];
    await using app = await start({ countRequest: (request) => counted.push(request) });
    await app.send(MAIL);
    await app.send('{');
    await app.get('/messages/msg_1?secret=1');
    await app.get('/no/such/route');
    await app.get('/%zz');
    await app.inject({ method: 'PROPFIND' as 'GET', url: '/send', headers: CRM });
    expect(counted.map(({ method, route, status }) => [method, route, status])).toEqual([
      ['POST', '/send', 202],
      ['POST', '/send', 400],
      ['GET', '/messages/:id', 404],
      ['GET', undefined, 404],
      ['GET', undefined, 400],
      ['PROPFIND', undefined, 405],
    ]);
    expect(counted[0]?.durationMs).toBeGreaterThan(0);
  });
});

describe('the app of METRICS_PORT', () => {
  test('has only GET /metrics, with the same keys', async () => {
    const counter = createMemoryRateCounter();
    await using app = await buildMetricsApp(
      {
        logger: (await start()).app.log,
        trustProxy: [],
        maxMessageBytes: 1000,
        freeBytes: () => 1e6,
        isSending: () => false,
        apiKeys,
        rateLimit: RATE,
        rates: counter,
      },
      { metrics, isOpen: false },
    );
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const get = (path: string, headers = {}) => fetch(`${url}${path}`, { headers });
    expect(await (await get('/metrics', PROMETHEUS)).text()).toBe(TEXT);
    expect((await get('/metrics', CRM)).status).toBe(403);
    expect((await get('/metrics')).status).toBe(401);
    const other = await get('/accounts', ADMIN);
    expect(await other.json()).toMatchObject({ code: 'not_found' });
    expect(await exchange(url, 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n')).toContain('Host header');
  });
});
