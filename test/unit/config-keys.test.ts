import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type Config, ConfigError } from '../../src/config/config.ts';
import type { Environment } from '../../src/config/environment.ts';
import type { ApiKey } from '../../src/core/auth/caller.ts';
import { configOf, errorOf, fileOf, reloadOf, SECRET } from '../helpers/config.ts';
import { aKey } from '../helpers/keys.ts';

const CRM = { name: 'crm', secret: `${SECRET}1` };
const SHOP = { name: 'shop', secret: `${SECRET}2` };
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const OWN_SECRET = `whsec_${Buffer.alloc(24, 9).toString('base64')}`;

function keysOf(list: unknown, env: Record<string, string> = {}): readonly ApiKey[] {
  return configOf({ ...env, API_KEYS: JSON.stringify(list) }).apiKeys;
}

/** Returns the problems of a list. */
function problemsOf(list: unknown, env: Record<string, string> = {}): string[] {
  const { problems } = errorOf({ ...env, API_KEYS: typeof list === 'string' ? list : JSON.stringify(list) });
  expect(new Set(problems.map(({ variable }) => variable))).toEqual(new Set(['API_KEYS']));
  return problems.map(({ message }) => message);
}

/** Returns the problems of a reload. */
function reloadProblemsOf(config: Config, env: Environment): ConfigError['problems'] {
  try {
    reloadOf(config, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('the keys were accepted');
}

describe('API_KEYS as JSON', () => {
  test('with only names and secrets equals a list of pairs', () => {
    const digest = createHash('sha256').update(SHOP.secret).digest('hex');
    const listed = keysOf([CRM, { name: 'shop', secret: `sha256:${digest}` }]);
    expect(listed).toEqual(configOf({ API_KEYS: `crm:${CRM.secret},shop:${SHOP.secret}` }).apiKeys);
    expect(listed).toEqual([aKey(CRM.secret), aKey(SHOP.secret, { name: 'shop' })]);
  });

  test('sets permissions and limits of each key', () => {
    const list = [
      {
        ...CRM,
        scopes: ['send', 'send'],
        allowed_from: ['No-Reply@ACME.com', '@shop.acme.com', '@SHOP.acme.com'],
        allowed_recipients: ['@bücher.example'],
        rate_limit: '10/1s',
        daily_limit: 500,
        test: true,
        webhook_url: 'https://crm.example.com/hooks#part',
        webhook_secret: `${OWN_SECRET},${WEBHOOK_SECRET}`,
      },
      { ...SHOP, scopes: ['admin'] },
    ];
    expect(keysOf(list, { WEBHOOK_SECRET })).toEqual([
      aKey(CRM.secret, {
        scopes: ['send'],
        allowedFrom: ['No-Reply@acme.com', '@shop.acme.com'],
        allowedRecipients: ['@xn--bcher-kva.example'],
        rateLimit: { max: 10, windowMs: 1000 },
        dailyLimit: 500,
        test: true,
        webhookUrl: 'https://crm.example.com/hooks',
        webhookSecrets: [Buffer.alloc(24, 9), Buffer.alloc(32, 7)],
      }),
      aKey(SHOP.secret, { name: 'shop', scopes: ['admin'] }),
    ]);
  });

  test('reads a secret from its own file', () => {
    using file = fileOf(`${CRM.secret}\n`);
    expect(keysOf([{ name: 'crm', secret_file: file.path }])).toEqual([aKey(CRM.secret)]);
  });

  test('can be in a file, on several lines', () => {
    using file = fileOf(JSON.stringify([CRM, SHOP], null, 2));
    expect(configOf({ API_KEYS: '', API_KEYS_FILE: file.path }).apiKeys.map(({ name }) => name)).toEqual([
      'crm',
      'shop',
    ]);
  });

  test.each([
    ['text that is not JSON', `[{"name": "crm", ${SECRET}}]`, /^It is not valid JSON/],
    ['one object', CRM, /^It must be a JSON list of at least one key/],
    ['an empty list', [], /^It must be a JSON list of at least one key/],
    [
      'an entry that is not an object',
      [CRM, SECRET],
      /^Key 2: It must be an object with at least a name and a secret/,
    ],
    [
      'an unknown field',
      [CRM, { ...SHOP, scope: ['send'] }],
      /^Key 2: "scope" is not a field\. The nearest name is scopes\.$/,
    ],
    ['a missing name', [{ secret: CRM.secret }], /^Key 1: name: It is required: 1 to 64 letters/],
    ['a name with a colon', [{ ...CRM, name: 'a:b' }], /^Key 1: name: It is required: 1 to 64 letters/],
    ['a missing secret', [{ name: 'crm' }], /^Key 1: secret: It is required, or a secret_file/],
    ['an empty secret', [{ name: 'crm', secret: ' ' }], /^Key 1: secret: It is required, or a secret_file/],
    [
      'a short secret',
      [{ ...CRM, secret: 'x'.repeat(23) }],
      /^Key 1: secret: The secret has fewer than 24 characters/,
    ],
    [
      'a secret with a space',
      [{ ...CRM, secret: `${SECRET} x` }],
      /^Key 1: secret: The secret has white space/,
    ],
    [
      'a short digest',
      [{ ...CRM, secret: 'sha256:abcdef' }],
      /^Key 1: secret: The secret needs 64 hexadecimal digits/,
    ],
    ['a number as a secret', [{ ...CRM, secret: 42 }], /^Key 1: secret: It must be a string/],
    [
      'a secret that is set twice',
      [{ ...CRM, secret_file: '/x/y' }],
      /^Key 1: secret: It is set twice, also by secret_file/,
    ],
    [
      'a missing file',
      [{ name: 'crm', secret_file: '/no/such' }],
      /^Key 1: secret_file: \/no\/such cannot be read: no such/,
    ],
    [
      'an empty list of scopes',
      [{ ...CRM, scopes: [] }],
      /^Key 1: scopes: It must be a list of at least one of send, read, metrics, admin/,
    ],
    [
      'an unknown scope',
      [{ ...CRM, scopes: ['send', 'write'] }],
      /^Key 1: scopes: It must be a list of at least one of/,
    ],
    [
      'scopes that are not a list',
      [{ ...CRM, scopes: 'send' }],
      /^Key 1: scopes: It must be a list of at least one of/,
    ],
    [
      'a single address',
      [{ ...CRM, allowed_from: 'a@acme.com' }],
      /^Key 1: allowed_from: It must be a list of addresses/,
    ],
    [
      'senders that are not strings',
      [{ ...CRM, allowed_from: [42, 43] }],
      /^Key 1: allowed_from: It must be a list of strings/,
    ],
    [
      'a list that forbids everything',
      [{ ...CRM, allowed_recipients: [] }],
      /^Key 1: allowed_recipients: It is empty.*remove it/,
    ],
    [
      'a domain without @',
      [{ ...CRM, allowed_recipients: ['a@acme.com', 'acme.com'] }],
      /^Key 1: allowed_recipients: Entry 2: There is no @.* or a domain as @example\.com/,
    ],
    [
      'a rate without a window',
      [{ ...CRM, rate_limit: '600' }],
      /^Key 1: rate_limit: It must be a number and a time window/,
    ],
    ['a rate that is not a string', [{ ...CRM, rate_limit: 600 }], /^Key 1: rate_limit: It must be a string/],
    [
      'a daily limit of 0',
      [{ ...CRM, daily_limit: 0 }],
      /^Key 1: daily_limit: It must be a whole number of at least 1/,
    ],
    [
      'a fractional daily limit',
      [{ ...CRM, daily_limit: 1.5 }],
      /^Key 1: daily_limit: It must be a whole number of at least 1/,
    ],
    [
      'a daily limit in quotes',
      [{ ...CRM, daily_limit: '5' }],
      /^Key 1: daily_limit: It must be a whole number .* without quotes/,
    ],
    ['test in quotes', [{ ...CRM, test: 'true' }], /^Key 1: test: It must be true or false, without quotes/],
    [
      'a webhook that is not a URL',
      [{ ...CRM, webhook_url: 'crm.example.com' }],
      /^Key 1: webhook_url: It must be a complete URL/,
    ],
    [
      'a webhook secret that is too short',
      [{ ...CRM, webhook_url: 'https://crm.example.com/', webhook_secret: 'whsec_c2hvcnQ=' }],
      /^Key 1: webhook_secret: It must be whsec_ and 24 to 64 bytes/,
    ],
    [
      'an empty webhook secret',
      [{ ...CRM, webhook_url: 'https://crm.example.com/', webhook_secret: '' }],
      /^Key 1: webhook_secret: It must be whsec_/,
    ],
    [
      'three webhook secrets',
      [{ ...CRM, webhook_url: 'https://crm.example.com/', webhook_secret: Array(3).fill(OWN_SECRET).join() }],
      /^Key 1: webhook_secret: It must have at most two/,
    ],
    [
      'a webhook secret without a webhook',
      [{ ...CRM, webhook_secret: OWN_SECRET }],
      /^Key 1: webhook_secret: It needs a webhook_url/,
    ],
    ['null', [{ ...CRM, daily_limit: null }], /^Key 1: daily_limit: It must be/],
    [
      'the same name twice',
      [CRM, SHOP, { ...CRM, secret: `${SECRET}3` }],
      /^Keys 1 and 3 have the same name/,
    ],
    ['the same secret twice', [CRM, { ...SHOP, secret: CRM.secret }], /^Keys 1 and 2 have the same secret/],
  ])('refuses %s', (_, list, reason) => {
    const problems = problemsOf(list);
    expect(problems).toEqual([expect.stringMatching(reason)]);
    expect(problems.join()).not.toContain(SECRET);
  });

  test('reports every malformed field of every key', () => {
    expect(
      problemsOf([
        { ...CRM, test: 1, rate_limit: 'x' },
        SHOP,
        { nam: 'x', secret: SECRET },
        { name: 'y', secret: 'y' },
      ]),
    ).toEqual([
      expect.stringMatching(/^Key 1: rate_limit: /),
      expect.stringMatching(/^Key 1: test: /),
      expect.stringMatching(/^Key 3: name: /),
      expect.stringMatching(/^Key 3: "nam" is not a field/),
      expect.stringMatching(/^Key 4: secret: /),
    ]);
  });

  test('refuses webhooks without a signing secret, and unencrypted ones', () => {
    const list = (webhook_url: string) => [CRM, { ...SHOP, webhook_url }];
    expect(problemsOf(list('https://crm.example.com/'))).toEqual([
      expect.stringMatching(/^Key 2: webhook_url: It needs a WEBHOOK_SECRET/),
    ]);
    expect(problemsOf(list('http://crm.example.com/'), { WEBHOOK_SECRET })).toEqual([
      expect.stringMatching(/^Key 2: webhook_url: It must be https/),
    ]);
    expect(
      keysOf(list('http://crm.example.com/'), { WEBHOOK_SECRET, WEBHOOK_ALLOWED_HOSTS: 'crm.example.com' }),
    ).toHaveLength(2);
  });

  test('accepts a webhook with a secret of its own when there is no WEBHOOK_SECRET', () => {
    const key = { ...CRM, webhook_url: 'https://crm.example.com/', webhook_secret: OWN_SECRET };
    expect(keysOf([key])).toMatchObject([{ webhookSecrets: [Buffer.alloc(24, 9)] }]);
  });
});

test('reports every invalid pair, not only the first', () => {
  expect(problemsOf(`crm:short,${SECRET},ops:${SECRET}`)).toEqual([
    expect.stringMatching(/^Key 1: The secret has fewer/),
    expect.stringMatching(/^Key 2: It has no colon/),
  ]);
});

describe('a reload of the keys', () => {
  test('returns the current keys of the file', () => {
    using file = fileOf(`crm:${CRM.secret}`);
    const env = { API_KEYS: '', API_KEYS_FILE: file.path };
    const config = configOf(env);
    file.write(JSON.stringify([{ ...SHOP, daily_limit: 5 }]));
    expect(reloadOf(config, env).apiKeys).toEqual([aKey(SHOP.secret, { name: 'shop', dailyLimit: 5 })]);
    file.write(`crm:${CRM.secret},shop:${SHOP.secret}`);
    expect(reloadOf(config, env).apiKeys.map(({ name }) => name)).toEqual(['crm', 'shop']);
    expect(config.apiKeys.map(({ name }) => name)).toEqual(['crm']);
  });

  test('reads secrets in their own files again, for a list in the environment or in a file', () => {
    using file = fileOf(CRM.secret);
    const list = JSON.stringify([{ name: 'crm', secret_file: file.path }, SHOP]);
    using listFile = fileOf(list);
    for (const env of [{ API_KEYS: list }, { API_KEYS: '', API_KEYS_FILE: listFile.path }]) {
      file.write(CRM.secret);
      const config = configOf(env);
      file.write(`${SECRET}9`);
      expect(reloadOf(config, env)).toMatchObject({
        apiKeys: [aKey(`${SECRET}9`), aKey(SHOP.secret, { name: 'shop' })],
        inFiles: { apiKeys: true, accounts: false },
      });
    }
  });

  test('shows that all keys are in the environment, which cannot change', () => {
    for (const env of [{}, { API_KEYS: JSON.stringify([CRM]) }])
      expect(reloadOf(configOf(env), env).inFiles.apiKeys).toBe(false);
  });

  test.each([
    ['an empty file', '', /is empty/],
    ['a short secret', 'crm:short', /^Key 1: The secret has fewer/],
    ['broken JSON', `[{"name": "crm", "secret": "${SECRET}"`, /^It is not valid JSON/],
    [
      'a webhook without a signing secret',
      JSON.stringify([{ ...CRM, webhook_url: 'https://x.example/' }]),
      /^Key 1: webhook_url: It needs/,
    ],
  ])('refuses %s', (_, content, reason) => {
    using file = fileOf(`crm:${CRM.secret}`);
    const env = { API_KEYS: '', API_KEYS_FILE: file.path };
    const config = configOf(env);
    file.write(content);
    const problems = reloadProblemsOf(config, env);
    expect(problems).toEqual([{ variable: 'API_KEYS_FILE', message: expect.stringMatching(reason) }]);
    expect(JSON.stringify(problems)).not.toContain(SECRET);
  });

  test('fails while the file is missing, and works once it is back', () => {
    using file = fileOf(`crm:${CRM.secret}`);
    const env = { API_KEYS: '', API_KEYS_FILE: file.path };
    const config = configOf(env);
    file.remove();
    expect(reloadProblemsOf(config, env)).toEqual([
      { variable: 'API_KEYS_FILE', message: expect.stringContaining('cannot be read') },
    ]);
    file.write(`shop:${SHOP.secret}`);
    expect(reloadOf(config, env).apiKeys.map(({ name }) => name)).toEqual(['shop']);
  });

  test('returns frozen keys', () => {
    using file = fileOf(JSON.stringify([{ ...CRM, allowed_from: ['a@acme.com'] }]));
    const env = { API_KEYS: '', API_KEYS_FILE: file.path };
    const { apiKeys: keys } = reloadOf(configOf(env), env);
    for (const part of [keys, keys[0], keys[0]?.allowedFrom, keys[0]?.scopes])
      expect(Object.isFrozen(part)).toBe(true);
  });
});
