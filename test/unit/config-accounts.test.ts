import { describe, expect, test } from 'vitest';
import type { AccountConfig } from '../../src/config/account-config.ts';
import { parseConfig } from '../../src/config/config.ts';
import { accountOf, configOf, errorOf, fileOf, plain, REQUIRED } from '../helpers/config.ts';

const NO_USER = { GMAIL_USER: '', GMAIL_APP_PASSWORD: '' };
const BOT = { user: 'bot@acme.com', app_password: 'abcd efgh ijkl mnop' };
const SALES = { user: 'sales@acme.com', app_password: 'ponm lkji hgfe dcba' };

function accountsOf(list: unknown, env: Record<string, string> = {}): readonly AccountConfig[] {
  return configOf({ ...NO_USER, ...env, GMAIL_ACCOUNTS: JSON.stringify(list) }).accounts;
}

/** Returns the problems of a list. */
function problemsOf(list: unknown, env: Record<string, string> = {}): string[] {
  const { problems } = errorOf({
    ...NO_USER,
    ...env,
    GMAIL_ACCOUNTS: typeof list === 'string' ? list : JSON.stringify(list),
  });
  expect(new Set(problems.map(({ variable }) => variable))).toEqual(new Set(['GMAIL_ACCOUNTS']));
  return problems.map(({ message }) => message);
}

describe('an account', () => {
  test.each([
    ['you@gmail.com', { messages: 500, recipients: 500 }],
    ['you@GoogleMail.com', { messages: 500, recipients: 500 }],
    ['bot@acme.com', { messages: 2000, recipients: 10_000 }],
    ['bot@notgmail.com', { messages: 2000, recipients: 10_000 }],
  ])('%s has the daily limits %j by default', (GMAIL_USER, daily) => {
    expect(accountOf({ GMAIL_USER })).toMatchObject({ daily, reserve: 0.1 });
  });

  test('has the configured limits', () => {
    expect(
      accountOf({ GMAIL_DAILY_MESSAGES: '300', GMAIL_DAILY_RECIPIENTS: '900', GMAIL_RESERVE: '12.5%' }),
    ).toMatchObject({
      daily: { messages: 300, recipients: 900 },
      reserve: 0.125,
    });
  });

  test('has its aliases in canonical form, without duplicates', () => {
    expect(
      accountOf({ GMAIL_ALIASES: 'help@ACME.com, no-reply@acme.com,help@acme.com, hallo@bücher.example' })
        .aliases,
    ).toEqual(['help@acme.com', 'no-reply@acme.com', 'hallo@xn--bcher-kva.example']);
  });

  test('reports an alias that is not a bare address by its position', () => {
    expect(errorOf({ GMAIL_ALIASES: 'help@acme.com, Help <help@acme.com>' }).problems).toEqual([
      { variable: 'GMAIL_ALIASES', message: expect.stringMatching(/^Alias 2: An angle bracket/) },
    ]);
  });
});

describe('GMAIL_ACCOUNTS', () => {
  test('lists accounts that equal those set by variables', () => {
    const [listed] = accountsOf([
      {
        ...BOT,
        from: 'Acme <no-reply@acme.com>',
        aliases: ['help@acme.com', 'no-reply@acme.com'],
        daily_messages: 300,
        daily_recipients: 900,
        reserve: '20%',
      },
    ]);
    const account = accountOf({
      GMAIL_FROM: 'Acme <no-reply@acme.com>',
      GMAIL_ALIASES: 'help@acme.com,no-reply@acme.com',
      GMAIL_DAILY_MESSAGES: '300',
      GMAIL_DAILY_RECIPIENTS: '900',
      GMAIL_RESERVE: '20%',
    });
    expect({ ...listed, credentials: listed?.credentials?.() }).toEqual({
      ...account,
      credentials: account.credentials?.(),
    });
  });

  test('keeps their order', () => {
    expect(accountsOf([SALES, BOT]).map(({ user }) => user)).toEqual(['sales@acme.com', 'bot@acme.com']);
  });

  test('allows a different login for each account', () => {
    const oauth = { oauth_client_id: 'id', oauth_client_secret: 'secret', oauth_refresh_token: 'token' };
    const accounts = accountsOf([BOT, { user: 'sales@acme.com', ...oauth }], {
      GMAIL_OAUTH_TOKEN_URL: 'https://tokens.acme.com/t',
    });
    expect(accounts.map(({ credentials }) => credentials?.())).toEqual([
      { kind: 'app_password', password: 'abcdefghijklmnop' },
      {
        kind: 'refresh_token',
        clientId: 'id',
        clientSecret: 'secret',
        refreshToken: 'token',
        tokenUrl: 'https://tokens.acme.com/t',
      },
    ]);
  });

  test('applies the limits in variables to accounts without their own', () => {
    const shared = { GMAIL_DAILY_MESSAGES: '300', GMAIL_DAILY_RECIPIENTS: '400', GMAIL_RESERVE: '0%' };
    expect(accountsOf([BOT, { ...SALES, daily_messages: 50, reserve: '5%' }], shared)).toMatchObject([
      { daily: { messages: 300, recipients: 400 }, reserve: 0 },
      { daily: { messages: 50, recipients: 400 }, reserve: 0.05 },
    ]);
  });

  test('needs no login if no server requires one', () => {
    expect(
      accountsOf([{ user: 'bot@acme.com' }], { SMTP_URL: 'smtp://127.0.0.1:1025?tls=never' }),
    ).toMatchObject([{ credentials: null }]);
  });

  test.each([
    ['text that is not JSON', '[{"user": "bot@acme.com", hunter2}]', /^It is not valid JSON/],
    ['a value that is not a list', BOT, /^It must be a JSON list/],
    ['an empty list', [], /^It must be a JSON list/],
    ['an entry that is not an object', [BOT, 'sales@acme.com'], /^Account 2: It must be an object/],
    [
      'an unknown field',
      [BOT, { ...SALES, alias: ['x@acme.com'] }],
      /^Account 2: "alias" is not a field\. The nearest name is aliases\.$/,
    ],
    ['a misspelt field', [{ ...BOT, appPassword: 'x' }], /^Account 1: "appPassword" .* app_password\.$/],
    [
      'a file for a field that is not secret',
      [{ ...BOT, user_file: '/x' }],
      /^Account 1: "user_file" is not a field/,
    ],
    [
      'a missing user',
      [{ app_password: BOT.app_password }],
      /^Account 1: user: It is required: the full address/,
    ],
    ['an empty user', [{ ...BOT, user: ' ' }], /^Account 1: user: It is empty/],
    [
      'a user that is not an address',
      [{ ...BOT, user: 'bot' }],
      /^Account 1: user: .* full address of the account/,
    ],
    [
      'a bad app password',
      [{ ...BOT, app_password: 'hunter2' }],
      /^Account 1: app_password: An app password has exactly 16 letters/,
    ],
    [
      'a number as a password',
      [{ ...BOT, app_password: 42 }],
      /^Account 1: app_password: It must be a string/,
    ],
    [
      'an account without a login',
      [{ user: 'bot@acme.com' }],
      /^Account 1: app_password: It is required.*"app_password": "abcd .* or service_account\)$/,
    ],
    [
      'two logins',
      [{ ...BOT, oauth_client_id: 'x' }],
      /^Account 1: app_password: It cannot be combined with oauth_client_id:/,
    ],
    [
      'the same secret twice',
      [{ ...BOT, app_password_file: '/x/y' }],
      /^Account 1: app_password: It is set twice, also by app_password_file/,
    ],
    [
      'a missing file',
      [{ user: 'bot@acme.com', app_password_file: '/no/such' }],
      /^Account 1: app_password_file: \/no\/such cannot be read: no such/,
    ],
    [
      'an invalid service account key',
      [{ user: 'bot@acme.com', service_account: { type: 'user' } }],
      /^Account 1: service_account: It is not the key of a service account/,
    ],
    [
      'a key that is neither object nor text',
      [{ user: 'bot@acme.com', service_account: true }],
      /^Account 1: service_account: It must be the JSON key/,
    ],
    [
      'two addresses in from',
      [{ ...BOT, from: 'a@acme.com, b@acme.com' }],
      /^Account 1: from: There is more than one address/,
    ],
    [
      'aliases that are not a list',
      [{ ...BOT, aliases: 'help@acme.com' }],
      /^Account 1: aliases: It must be a list of addresses/,
    ],
    [
      'aliases that are not strings',
      [{ ...BOT, aliases: [42] }],
      /^Account 1: aliases: It must be a list of strings/,
    ],
    [
      'an alias that is not an address',
      [{ ...BOT, aliases: ['help@acme.com', 'help'] }],
      /^Account 1: aliases: Alias 2: There is no @/,
    ],
    [
      'a limit in quotes',
      [{ ...BOT, daily_messages: '50' }],
      /^Account 1: daily_messages: It must be a number, without quotes/,
    ],
    [
      'a fractional limit',
      [{ ...BOT, daily_recipients: 1.5 }],
      /^Account 1: daily_recipients: It must be a whole number/,
    ],
    [
      'a reserve without a percent sign',
      [{ ...BOT, reserve: '10' }],
      /^Account 1: reserve: It must be a percentage/,
    ],
    [
      'the same account twice',
      [BOT, SALES, { ...BOT, user: 'Bot@ACME.com' }],
      /^Accounts 1 and 3 have the same user/,
    ],
  ])('refuses %s', (_, list, reason) => {
    const problems = problemsOf(list);
    expect(problems).toEqual([expect.stringMatching(reason)]);
    expect(problems.join()).not.toContain('hunter2');
  });

  test('reports every problem of every account', () => {
    expect(
      problemsOf([
        { ...BOT, reserve: '10', from: 'Acme' },
        { app_pasword: 'x' },
        { ...SALES, aliases: ['x'] },
      ]),
    ).toEqual([
      expect.stringMatching(/^Account 1: from: /),
      expect.stringMatching(/^Account 1: reserve: /),
      expect.stringMatching(/^Account 2: user: /),
      expect.stringMatching(/^Account 2: "app_pasword" /),
      expect.stringMatching(/^Account 3: aliases: /),
    ]);
  });

  test('never repeats a secret', () => {
    const secret = 'TopSecret 0123456789';
    const fields = [
      'app_password',
      'app_password_file',
      'oauth_client_id',
      'oauth_client_secret',
      'oauth_refresh_token',
      'oauth',
      'service_account',
    ];
    for (const field of [
      ...fields,
      'oauth_client_secret_file',
      'oauth_file',
      'service_account_file',
      'user',
      'from',
      'reserve',
    ]) {
      const [problem = ''] = problemsOf([{ user: 'bot@acme.com', [field]: secret }]);
      expect(problem).toMatch(/^Account 1: /);
      expect(problem).not.toContain('TopSecret');
    }
  });

  test.each([
    ['GMAIL_USER', 'bot@acme.com'],
    ['GMAIL_APP_PASSWORD', 'abcdefghijklmnop'],
    ['GMAIL_APP_PASSWORD_FILE', '/run/secrets/app_password'],
    ['GMAIL_OAUTH_CLIENT_ID', 'id'],
    ['GMAIL_OAUTH_CLIENT_SECRET', 'secret'],
    ['GMAIL_OAUTH_REFRESH_TOKEN', 'token'],
    ['GMAIL_SERVICE_ACCOUNT', '{}'],
    ['GMAIL_FROM', 'no-reply@acme.com'],
    ['GMAIL_ALIASES', 'help@acme.com'],
  ])('cannot be combined with %s', (name, value) => {
    expect(problemsOf([BOT], { [name]: value })).toEqual([
      expect.stringContaining(`combined with ${name}: move that account into the list`),
    ]);
  });

  test('does not hide an invalid limit', () => {
    const { problems } = errorOf({
      ...NO_USER,
      GMAIL_ACCOUNTS: JSON.stringify([{ ...BOT, daily_messages: 5 }]),
      GMAIL_DAILY_MESSAGES: 'x',
    });
    expect(problems.map(({ variable }) => variable)).toEqual(['GMAIL_DAILY_MESSAGES']);
  });
});

describe('the secrets of a listed account', () => {
  test('are read again from their own files', () => {
    using file = fileOf('abcdefghijklmnop');
    const [bot, sales] = accountsOf([{ user: 'bot@acme.com', app_password_file: file.path }, SALES]);
    file.write('aaaabbbbccccdddd');
    expect(bot?.credentials?.()).toEqual({ kind: 'app_password', password: 'aaaabbbbccccdddd' });
    expect(sales?.credentials?.()).toEqual({ kind: 'app_password', password: 'ponmlkjihgfedcba' });
  });

  test('are read again from the list if it is a file, in any order, and kept while the list is unusable', () => {
    using file = fileOf(JSON.stringify([BOT, SALES]));
    const [, sales] = configOf({ ...NO_USER, GMAIL_ACCOUNTS_FILE: file.path }).accounts;
    const password = () => {
      const credentials = sales?.credentials?.();
      return credentials?.kind === 'app_password' ? credentials.password : null;
    };
    file.write(JSON.stringify([{ ...SALES, app_password: 'aaaabbbbccccdddd' }, { nothing: 'known' }]));
    expect(password()).toBe('aaaabbbbccccdddd');
    for (const content of [
      '[',
      '{}',
      JSON.stringify([BOT]),
      JSON.stringify([{ ...SALES, app_password: 'hunter2' }]),
      JSON.stringify([{ user: SALES.user }]),
    ]) {
      file.write(content);
      expect(password()).toBe('aaaabbbbccccdddd');
    }
    file.remove();
    expect(password()).toBe('aaaabbbbccccdddd');
    file.write(JSON.stringify([BOT, SALES]));
    expect(password()).toBe('ponmlkjihgfedcba');
  });

  test('are an error if the list cannot be read at startup, without asking for GMAIL_USER', () => {
    const { problems } = errorOf({ ...NO_USER, GMAIL_ACCOUNTS_FILE: '/no/such' });
    expect(problems).toEqual([
      { variable: 'GMAIL_ACCOUNTS_FILE', message: expect.stringContaining('/no/such cannot be read') },
    ]);
  });
});

describe('FROM_POLICY=allow', () => {
  test.each([
    ['smtp://smtp.gmail.com', 1],
    ['smtp://smtp-relay.gmail.com,smtps://smtp.gmail.com', 1],
    ['smtp://smtp-relay.gmail.com,smtps://smtp-relay.gmail.com', 0],
    ['smtp://127.0.0.1:1025?tls=never', 0],
  ])('with %s causes %i warnings', (SMTP_URL, count) => {
    const warnings = Array(count).fill(
      expect.stringContaining('Gmail silently rewrites a From that is not verified'),
    );
    expect(parseConfig({ ...REQUIRED, SMTP_URL, FROM_POLICY: 'allow' }).warnings).toEqual(warnings);
  });

  test('is the only policy with a warning', () => {
    for (const FROM_POLICY of ['reject', 'rewrite'])
      expect(parseConfig({ ...REQUIRED, FROM_POLICY }).warnings).toEqual([]);
  });
});

test('a list of one account gives the same configuration as the variables', () => {
  const one = plain(configOf({}));
  expect(plain(configOf({ ...NO_USER, GMAIL_ACCOUNTS: JSON.stringify([BOT]) }))).toEqual(one);
});
