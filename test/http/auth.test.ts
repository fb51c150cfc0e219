import { once } from 'node:events';
import http from 'node:http';
import { describe, expect, test, vi } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import { createAuthenticator } from '../../src/http/request/auth.ts';
import { CRM, CRM_SECRET, KEYS, MAIL, SHOP, SHOP_SECRET, startApp } from '../helpers/app.ts';
import { aKey } from '../helpers/keys.ts';

describe('API keys', () => {
  test.each(['/send', '/messages/msg_1'])('%s requires one', async (url) => {
    await using app = await startApp();
    const answer = await app.inject({ method: url === '/send' ? 'POST' : 'GET', url });
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer');
    expect(answer.json().code).toBe('missing_api_key');
  });

  test.each(['/livez', '/readyz', '/openapi.yaml', '/docs', '/problems/queue_full'])(
    '%s requires none',
    async (url) => {
      await using app = await startApp();
      expect((await app.get(url, {})).statusCode).toBe(200);
    },
  );

  test.each([
    ['another secret', `Bearer ${CRM_SECRET}x`],
    ['a part of the secret', `Bearer ${CRM_SECRET.slice(0, -1)}`],
    ['another word', 'Bearer wrong'],
  ])('%s is refused with the same text', async (_, authorization) => {
    await using app = await startApp();
    const answer = await app.get('/messages/msg_1', { authorization });
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer');
    expect(answer.json()).toMatchObject({
      code: 'invalid_api_key',
      detail: 'API key not recognized',
      errors: [],
    });
  });

  test('the name of the scheme is case-insensitive', async () => {
    await using app = await startApp();
    expect((await app.send(MAIL, { authorization: `bearer ${CRM_SECRET}` })).statusCode).toBe(202);
  });

  test('every request is refused while no key is configured', () => {
    expect(() => createAuthenticator(() => [])({ authorization: `Bearer ${CRM_SECRET}` })).toThrow(
      'API key not recognized',
    );
  });

  test('an invalid key is refused before the body is read', async () => {
    await using app = await startApp();
    const answer = await app.send('{ not JSON', { authorization: 'Bearer wrong' });
    expect(answer.statusCode).toBe(401);
  });
});

describe('on one connection', () => {
  /** Sends a request over the only connection of an agent. Resolves with its status. */
  async function statusOf(url: string, agent: http.Agent, headers: Record<string, string>): Promise<number> {
    const request = http.get(`${url}/accounts`, { agent, headers });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    await once(response.resume(), 'close');
    return response.statusCode ?? 0;
  }

  test.each([
    ['another valid key', SHOP, 200],
    ['an invalid key of the same length', { authorization: CRM.authorization.replace(/.$/, 'x') }, 401],
    ['a longer invalid key', { authorization: `${CRM.authorization}x` }, 401],
    ['no key', {}, 401],
    ['a second, invalid key', { ...CRM, 'x-api-key': 'wrong' }, 401],
  ])('a request with %s after a valid key is judged by its own headers', async (_, headers, status) => {
    await using app = await startApp();
    const url = await app.listen();
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    expect(await statusOf(url, agent, CRM)).toBe(200);
    expect(await statusOf(url, agent, headers)).toBe(status);
    expect(await statusOf(url, agent, CRM)).toBe(200);
    await vi.waitUntil(() => app.logs.filter(({ route }) => route === '/accounts').length === 3);
    expect(app.logs.map(({ key }) => key).filter(Boolean)).toEqual(
      status === 200 ? ['crm', 'shop', 'crm'] : ['crm', 'crm'],
    );
    agent.destroy();
  });

  test('a reload of the keys revokes the key of the former requests', async () => {
    const apiKeys = createApiKeys(KEYS, createMemorySharedState());
    await using app = await startApp({ apiKeys });
    const url = await app.listen();
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    expect(await statusOf(url, agent, CRM)).toBe(200);
    apiKeys.replace([
      aKey(SHOP_SECRET, { name: 'shop' }),
      aKey(CRM_SECRET, { name: 'crm', scopes: ['send'] }),
    ]);
    expect(await statusOf(url, agent, CRM)).toBe(403);
    apiKeys.replace([aKey(SHOP_SECRET, { name: 'shop' })]);
    expect(await statusOf(url, agent, CRM)).toBe(401);
    agent.destroy();
  });
});

const basic = (name: string, secret: string) => `Basic ${btoa(`${name}:${secret}`)}`;

describe('the forms of credentials', () => {
  test.each([
    ['X-API-Key', { 'x-api-key': CRM_SECRET }],
    ['Basic with name and secret', { authorization: basic('crm', CRM_SECRET) }],
    ['Basic in another case', { authorization: basic('crm', CRM_SECRET).replace('Basic', 'bAsIc') }],
    ['Basic without padding', { authorization: basic('crm', CRM_SECRET).replace(/=+$/, '') }],
    ['Bearer after several spaces', { authorization: `Bearer   ${CRM_SECRET}` }],
    ['the same secret in both headers', { authorization: `Bearer ${CRM_SECRET}`, 'x-api-key': CRM_SECRET }],
    [
      'the same secret as Basic and X-API-Key',
      { authorization: basic('crm', CRM_SECRET), 'x-api-key': CRM_SECRET },
    ],
  ])('%s is accepted as the key it belongs to', async (_, headers) => {
    await using app = await startApp();
    const answer = await app.get('/accounts', headers);
    expect(answer.statusCode).toBe(200);
    await vi.waitUntil(() => app.logs.length > 0);
    expect(app.logs).toMatchObject([{ status: 200, key: 'crm' }]);
  });

  test.each([
    ['two valid keys', { authorization: `Bearer ${CRM_SECRET}`, 'x-api-key': SHOP_SECRET }],
    ['a valid and an invalid key', { authorization: `Bearer ${CRM_SECRET}`, 'x-api-key': 'wrong' }],
    ['an invalid and a valid key', { authorization: 'Bearer wrong', 'x-api-key': CRM_SECRET }],
    ['two invalid keys', { authorization: 'Bearer wrong', 'x-api-key': 'worse' }],
  ])('%s in the two headers are refused with the same text', async (_, headers) => {
    await using app = await startApp();
    const answer = await app.get('/accounts', headers);
    expect([answer.statusCode, answer.headers['www-authenticate']]).toEqual([401, 'Bearer']);
    expect(answer.json()).toMatchObject({
      code: 'invalid_api_key',
      detail: 'The Authorization and X-API-Key headers have different credentials: send only one of them.',
    });
  });

  test.each([
    ['another name', basic('shop', CRM_SECRET)],
    ['no name', basic('', CRM_SECRET)],
    ['an unknown name', basic('nobody', CRM_SECRET)],
    ['a name in another case', basic('CRM', CRM_SECRET)],
    ['a prefix of the name', basic('cr', CRM_SECRET)],
    ['another secret', basic('crm', `${CRM_SECRET}x`)],
    ['a secret of another key', basic('crm', SHOP_SECRET)],
  ])('Basic with %s is refused with the same text', async (_, authorization) => {
    await using app = await startApp();
    const answer = await app.get('/accounts', { authorization });
    expect([answer.statusCode, answer.headers['www-authenticate']]).toEqual([401, 'Bearer']);
    expect(answer.json()).toMatchObject({
      code: 'invalid_api_key',
      detail:
        'No API key has this name and secret: the Basic user name must be the name of the key, the password its secret.',
    });
  });

  test('a secret with a colon in it is accepted', async () => {
    const secret = `crm:${CRM_SECRET}`;
    await using app = await startApp({ apiKeys: createApiKeys([aKey(secret)], createMemorySharedState()) });
    for (const headers of [
      { authorization: `Bearer ${secret}` },
      { 'x-api-key': secret },
      { authorization: basic('crm', secret) },
    ]) {
      expect((await app.get('/accounts', headers)).statusCode).toBe(200);
    }
  });
});

describe('an authentication error', () => {
  const SECRET = 'abcd-efgh-ijkl-mnop-qrst-uvwx';
  const MUST = 'The Authorization header must be `Bearer <secret>`; ';

  test.each([
    [SECRET, `${MUST}it has no scheme: put \`Bearer\` before the secret.`],
    [`Token ${SECRET}`, `${MUST}it has the scheme \`Token\`.`],
    [`token ${SECRET}`, `${MUST}it has the scheme \`Token\`.`],
    [`ApiKey ${SECRET}`, `${MUST}it has the scheme \`ApiKey\`.`],
    [`Digest username="crm", response="${SECRET}"`, `${MUST}it has the scheme \`Digest\`.`],
    [`crm ${SECRET}`, `${MUST}it has another scheme.`],
    [SECRET.replaceAll('-', ' '), `${MUST}it has another scheme.`],
    ['Bearer', `${MUST}it has the scheme \`Bearer\` and no secret.`],
    ['Bearer ', `${MUST}it has the scheme \`Bearer\` and no secret.`],
    ['Basic', `${MUST}it has the scheme \`Basic\` and no secret.`],
    ['', `${MUST}it is empty.`],
    [`Bearer: ${SECRET}`, `${MUST}\`Bearer\` must be followed by a space, not by ":".`],
    [`Bearer Bearer ${SECRET}`, `${MUST}after \`Bearer\`, it repeats \`Bearer\`.`],
    [`Bearer ${SECRET} ${SECRET}`, `${MUST}after \`Bearer\`, it has spaces.`],
    [
      `Bearer \u201c${SECRET}\u201d`,
      `${MUST}after \`Bearer\`, it has non-ASCII characters, such as curly quotes.`,
    ],
    [`Bearer "${SECRET}"`, 'The secret matches no API key. It is in quotes: remove them.'],
    [
      `Bearer <${SECRET}>`,
      'The secret matches no API key. It is in angle brackets: send the secret without them.',
    ],
    [
      'Bearer $API_KEY',
      'The secret matches no API key. It looks like the name of a variable: send the value of the variable.',
    ],
    [
      'Bearer undefined',
      'The secret matches no API key. It looks like an unset variable: check how the client reads the secret.',
    ],
    [
      `Bearer crm:${SECRET}`,
      'The secret matches no API key. It has a colon: if it is `name:secret` from API_KEYS, send only the part after the colon.',
    ],
    [
      `Bearer sha256:${'0'.repeat(64)}`,
      'The secret matches no API key. It looks like a digest: send the secret itself.',
    ],
    [`Basic crm:${SECRET}`, 'Basic credentials must be `name:secret` in base64, both as in API_KEYS.'],
    [
      `Basic ${btoa(`crm:${SECRET}\n`)}`,
      'Basic credentials must be `name:secret` in base64, both as in API_KEYS. It ends with a line break: encode it with `printf`, not `echo`.',
    ],
  ])('for "Authorization: %s" describes the mistake without the secret', async (authorization, detail) => {
    await using app = await startApp();
    const answer = await app.get('/accounts', { authorization });
    expect([answer.statusCode, answer.headers['www-authenticate']]).toEqual([401, 'Bearer']);
    expect(answer.json()).toMatchObject({ code: 'invalid_api_key', detail });
    for (const part of SECRET.split('-')) expect(answer.body).not.toContain(part);
  });

  test.each([
    [`Bearer ${SECRET}`, 'The X-API-Key header must contain only the secret, without `Bearer`.'],
    [`${SECRET} ${SECRET}`, 'The X-API-Key header must contain only the secret: it has spaces.'],
    [`"${SECRET}"`, 'The secret matches no API key. It is in quotes: remove them.'],
    ['', 'The X-API-Key header is empty.'],
  ])('for "X-API-Key: %s" describes the mistake without the secret', async (key, detail) => {
    await using app = await startApp();
    const answer = await app.get('/accounts', { 'x-api-key': key });
    expect([answer.statusCode, answer.headers['www-authenticate']]).toEqual([401, 'Bearer']);
    expect(answer.json()).toMatchObject({ code: 'invalid_api_key', detail });
    for (const part of SECRET.split('-')) expect(answer.body).not.toContain(part);
  });

  test('without credentials names both accepted headers', async () => {
    await using app = await startApp();
    const { code, detail, hint } = (await app.get('/accounts', {})).json();
    expect([code, detail]).toEqual([
      'missing_api_key',
      'The request has neither an Authorization nor an X-API-Key header.',
    ]);
    expect(hint).toMatch(/Authorization: Bearer <secret>.*X-API-Key: <secret>/);
  });

  test('is logged without the secret', async () => {
    await using app = await startApp();
    const forms = [
      { authorization: SECRET },
      { authorization: `Token ${SECRET}` },
      { 'x-api-key': SECRET },
      { authorization: basic('crm', SECRET) },
    ];
    for (const headers of forms) await app.get('/accounts', headers);
    await vi.waitUntil(() => app.logs.length === forms.length);
    expect(JSON.stringify(app.logs)).not.toContain(SECRET);
    expect(JSON.stringify(app.logs)).not.toContain(btoa(`crm:${SECRET}`));
  });
});
