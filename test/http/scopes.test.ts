import { fastify, type InjectOptions } from 'fastify';
import { describe, expect, test } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import type { Scope } from '../../src/core/auth/caller.ts';
import { requireScope } from '../../src/http/request/auth.ts';
import { ADMIN_SECRET, CRM_SECRET, MAIL, SHOP_SECRET, startApp } from '../helpers/app.ts';
import { aKey } from '../helpers/keys.ts';
import { readServedDocument } from '../helpers/openapi-document.ts';

const SECRETS: Readonly<Record<Scope, string>> = {
  send: CRM_SECRET,
  read: SHOP_SECRET,
  metrics: 'prom-secret-0123456789-abcdefghi',
  admin: ADMIN_SECRET,
};
const API_KEYS = createApiKeys(
  [
    aKey(SECRETS.send, { name: 'sender', scopes: ['send'] }),
    aKey(SECRETS.read, { name: 'reader', scopes: ['read'] }),
    aKey(SECRETS.metrics, { name: 'prometheus', scopes: ['metrics'] }),
    aKey(SECRETS.admin, { name: 'boss', scopes: ['admin'] }),
  ],
  createMemorySharedState(),
);

function keyFor(scope: Scope): Record<string, string> {
  return { authorization: `Bearer ${SECRETS[scope]}`, 'content-type': 'application/json' };
}

/**
 * Every operation that needs a key, with its scope: `metrics` for metrics, `read` for others that
 * only read, `send` for the rest.
 */
async function keyedOperations(): Promise<
  { name: string; scope: Scope; request: InjectOptions; forbidden: string }[]
> {
  const { operations } = await readServedDocument();
  return operations
    .filter(({ path, security }) => path !== '/key' && !path.startsWith('/emails') && security?.length !== 0)
    .map(({ method, path, responses }) => ({
      name: `${method.toLowerCase()} ${path}`,
      scope: scopeOf(method, path),
      request: { method: method as 'GET', url: path.replace(/\{\w+\}/g, 'x') },
      forbidden: responses['403']?.description ?? '',
    }));
}

function scopeOf(method: string, path: string): Scope {
  if (path === '/metrics') return 'metrics';
  if (path === '/doctor') return 'admin';
  return method === 'GET' || /\/(preview|ticket)$/.test(path) ? 'read' : 'send';
}

describe('a scope', () => {
  test('is required and documented by every operation that needs a key', async () => {
    await using app = await startApp({ apiKeys: API_KEYS });
    const all = await keyedOperations();
    expect(all.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['post /send', 'get /messages/{id}', 'get /accounts']),
    );
    for (const { name, scope, request, forbidden } of all) {
      const other = scope === 'send' ? 'read' : 'send';
      const answer = await app.inject({ ...request, headers: keyFor(other) });
      expect([name, answer.statusCode]).toEqual([name, 403]);
      expect(answer.json()).toMatchObject({
        code: 'insufficient_scope',
        detail: `This route requires the scope ${scope}; the key has ${other}.`,
        retryable: false,
      });
      expect([name, forbidden]).toEqual([name, expect.stringContaining('`insufficient_scope`')]);
      for (const good of [scope, 'admin'] as const) {
        const { body } = await app.inject({ ...request, headers: keyFor(good) });
        expect([name, good, body]).not.toEqual([name, good, expect.stringContaining('insufficient_scope')]);
      }
    }
  });

  test('is not needed to read the key in use', async () => {
    await using app = await startApp({ apiKeys: API_KEYS });
    for (const [scope, name] of [
      ['send', 'sender'],
      ['read', 'reader'],
      ['admin', 'boss'],
    ] as const) {
      const answer = await app.get('/key', keyFor(scope));
      expect(answer.json()).toEqual({ name, scopes: [scope], test: false });
    }
    expect((await app.get('/key', { authorization: 'Bearer wrong' })).statusCode).toBe(401);
  });

  test('of HEAD is that of GET', async () => {
    await using app = await startApp({ apiKeys: API_KEYS });
    const ask = async (scope: Scope) =>
      (await app.inject({ method: 'HEAD', url: '/accounts', headers: keyFor(scope) })).statusCode;
    expect([await ask('send'), await ask('read')]).toEqual([403, 200]);
  });

  test('is checked after the key and before the body', async () => {
    await using app = await startApp({ apiKeys: API_KEYS });
    expect((await app.send(MAIL, { authorization: 'Bearer wrong' })).statusCode).toBe(401);
    expect((await app.send('{ not JSON', keyFor('read'))).statusCode).toBe(403);
    expect(app.accepted).toEqual([]);
  });

  test('that is missing still counts against the rate limit', async () => {
    await using app = await startApp({ apiKeys: API_KEYS, rateLimit: { max: 2, windowMs: 60_000 } });
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) statuses.push((await app.send(MAIL, keyFor('read'))).statusCode);
    expect(statuses).toEqual([403, 403, 429]);
  });

  test('must be declared by a route that needs a key, or the service does not start', () => {
    const app = fastify().addHook('onRoute', requireScope);
    expect(() => app.get('/mail', { config: { scope: 'read' } }, async () => '')).not.toThrow();
    expect(() => app.get('/forgotten', async () => '')).toThrow('/forgotten has no scope in its config');
  });
});

describe('keys that are replaced while the service runs', () => {
  test('apply from the next request on, and replaced ones are refused', async () => {
    const apiKeys = createApiKeys([aKey(CRM_SECRET, { scopes: ['send'] })], createMemorySharedState());
    await using app = await startApp({ apiKeys });
    const statusOf = async (secret: string) =>
      (await app.get('/accounts', { authorization: `Bearer ${secret}` })).statusCode;
    expect([await statusOf(CRM_SECRET), await statusOf(SHOP_SECRET)]).toEqual([403, 401]);
    apiKeys.replace([aKey(CRM_SECRET), aKey(SHOP_SECRET, { name: 'shop' })]);
    expect([await statusOf(CRM_SECRET), await statusOf(SHOP_SECRET)]).toEqual([200, 200]);
    apiKeys.replace([aKey(SHOP_SECRET, { name: 'shop' })]);
    expect([await statusOf(CRM_SECRET), await statusOf(SHOP_SECRET)]).toEqual([401, 200]);
  });
});
