import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { parseEnv } from 'node:util';
import { describe, expect, test } from 'vitest';
import { ACCOUNT_FIELDS } from '../../src/config/account-config.ts';
import { parseConfig } from '../../src/config/config.ts';
import type { Environment } from '../../src/config/environment.ts';
import { VARIABLES } from '../../src/config/variables.ts';
import {
  accountOf,
  configOf,
  credentialsOf,
  errorOf,
  fileOf,
  plain,
  problemOf,
  REQUIRED,
  SECRET,
} from '../helpers/config.ts';
import { aKey } from '../helpers/keys.ts';

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

describe('the defaults', () => {
  test('are the documented ones', () => {
    expect(plain(configOf({}))).toEqual({
      host: '127.0.0.1',
      port: 3000,
      apiKeys: [aKey(SECRET)],
      accounts: [
        {
          user: 'bot@acme.com',
          credentials: { kind: 'app_password', password: 'abcdefghijklmnop' },
          from: { email: 'bot@acme.com', name: null },
          aliases: [],
          domains: [],
          daily: { messages: 2000, recipients: 10_000 },
          reserve: 0.1,
        },
      ],
      fromPolicy: 'reject',
      smtp: {
        servers: [
          { host: 'smtp.gmail.com', port: 587, tls: 'starttls' },
          { host: 'smtp.gmail.com', port: 465, tls: 'implicit' },
        ],
        ehloName: null,
        connections: 3,
        connectionsHere: 3,
        rate: null,
      },
      onUncertain: 'retry',
      retryForMs: 24 * 3_600_000,
      mailbox: {
        reconcile: true,
        reconcileForMs: 600_000,
        server: { host: 'imap.gmail.com', port: 993, tls: 'implicit' },
        inbound: 'off',
      },
      queue: { url: { kind: 'memory' }, maxMessages: 10_000, maxBytes: 256 * 1024 * 1024 },
      retainMs: 24 * 3_600_000,
      retainContentMs: 0,
      maxMessageBytes: 35_882_577,
      rateLimit: { max: 3000, windowMs: 60_000 },
      trustProxy: [],
      ui: true,
      templatesDir: null,
      webhooks: { url: null, secrets: [], allowedHosts: [] },
      alertWebhookUrl: null,
      allowedRecipients: null,
      redirectAllTo: null,
      suppress: 'hard',
      metrics: { access: 'key', port: null },
      logFormat: 'auto',
      logLevel: 'info',
      shutdownTimeoutMs: 25_000,
    });
  });

  test('apply to empty variables', () => {
    const empty = Object.fromEntries(
      VARIABLES.filter(({ required }) => !required).map(({ name }) => [name, ' ']),
    );
    expect(plain(configOf(empty))).toEqual(plain(configOf({})));
  });

  test('are frozen at every depth', () => {
    const config = configOf({});
    const frozen: object[] = [
      config,
      config.apiKeys,
      config.accounts,
      config.smtp,
      config.smtp.servers,
      config.queue,
    ];
    const parts = config.accounts.flatMap((account) => [
      account,
      account.from,
      account.aliases,
      account.daily,
    ]);
    for (const part of [
      ...frozen,
      ...parts,
      ...config.apiKeys,
      ...config.smtp.servers,
      config.rateLimit,
      config.trustProxy,
    ]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });
});

describe('the configuration error', () => {
  test('lists NODE_TLS_REJECT_UNAUTHORIZED=0 first, before invalid variables', () => {
    const { problems } = errorOf({ NODE_TLS_REJECT_UNAUTHORIZED: '0', PORT: 'x' });
    expect(problems.map(({ variable }) => variable)).toEqual(['NODE_TLS_REJECT_UNAUTHORIZED', 'PORT']);
    for (const value of ['1', '', undefined])
      expect(configOf({ NODE_TLS_REJECT_UNAUTHORIZED: value }).port).toBe(3000);
  });

  test('lists every missing variable with how to set it', () => {
    const { problems, message } = errorOf({ API_KEYS: undefined, GMAIL_USER: '', GMAIL_APP_PASSWORD: ' ' });
    expect(problems.map(({ variable }) => variable)).toEqual([
      'API_KEYS',
      'GMAIL_USER',
      'GMAIL_APP_PASSWORD',
    ]);
    expect(message).toContain('API_KEYS="crm:$(openssl rand -hex 24)"');
    expect(message).toContain('GMAIL_USER=you@gmail.com');
    expect(message).toContain('https://myaccount.google.com/apppasswords');
  });

  test('lists every invalid variable on its own line', () => {
    const { message, problems } = errorOf({
      HOST: '[::1]',
      PORT: '65536',
      API_KEYS: 'crm:short',
      GMAIL_USER: 'bot',
      GMAIL_APP_PASSWORD: 'hunter2',
      GMAIL_OAUTH_TOKEN_URL: 'http://oauth2.googleapis.com/token',
      GMAIL_FROM: 'a@acme.com, b@acme.com',
      GMAIL_ALIASES: 'help',
      GMAIL_DOMAINS: 'acme',
      FROM_POLICY: 'refuse',
      GMAIL_DAILY_MESSAGES: '0',
      GMAIL_DAILY_RECIPIENTS: 'many',
      GMAIL_RESERVE: '10',
      SMTP_URL: 'http://smtp.gmail.com',
      SMTP_EHLO_NAME: 'localhost',
      SMTP_CONNECTIONS: '21',
      SMTP_CONNECTIONS_PER_INSTANCE: '0',
      SMTP_RATE: '0',
      ON_UNCERTAIN: 'drop',
      RETRY_FOR: '24',
      RECONCILE: 'yes',
      RECONCILE_FOR: '0s',
      IMAP_URL: 'imap.gmail.com',
      INBOUND: 'all',
      QUEUE_URL: 'memory',
      QUEUE_MAX_MESSAGES: '0',
      QUEUE_MAX_BYTES: '0',
      RETAIN: '0s',
      RETAIN_CONTENT: 'long',
      MAX_MESSAGE_BYTES: '36mb',
      RATE_LIMIT: '600',
      TRUST_PROXY: 'true',
      UI: 'yes',
      WEBHOOK_URL: 'crm.example.com',
      WEBHOOK_SECRET: 'whsec_c2hvcnQ=',
      WEBHOOK_ALLOWED_HOSTS: 'http://crm:3000',
      ALERT_WEBHOOK_URL: 'hooks.slack.com/services/x',
      ALLOWED_RECIPIENTS: '@acme.com,acme.com',
      REDIRECT_ALL_TO: 'tester',
      SUPPRESS: 'soft',
      METRICS: 'on',
      METRICS_PORT: '65536',
      LOG_LEVEL: 'loud',
      LOG_FORMAT: 'colorful',
      SHUTDOWN_TIMEOUT: 'soon',
    });
    // A missing directory is reported when it is read. For the other ways to log in, which cannot
    // be combined with an app password, see config-login.test.ts and config-accounts.test.ts.
    const others = /^(GMAIL_(OAUTH$|OAUTH_(CLIENT|REFRESH)|SERVICE|ACCOUNTS)|TEMPLATES_DIR)/;
    const names = VARIABLES.map(({ name }) => name).filter((name) => !others.test(name));
    expect(problems.map(({ variable }) => variable)).toEqual(names);
    expect(message.split('\n').slice(1)).toEqual(
      names.map((name) => expect.stringMatching(new RegExp(`^ {2}${name}: [A-Z].*[.)"]$`))),
    );
  });

  test('never repeats an invalid value', () => {
    const secret = 'TopSecret-0123456789-abcdef';
    const wrong = [
      ...[
        secret,
        `${secret}:admin`,
        `a b:${secret}`,
        `crm:${secret}:root`,
        `crm:sha256:${secret}`,
        `crm:${secret},ops:${secret}`,
        `[${secret}]`,
      ],
      ...[
        `smtp://bot:${secret}@smtp.gmail.com`,
        `smtp://bot:${secret}/x@smtp.gmail.com?tls=never`,
        `smtp://smtp.gmail.com?password=${secret}`,
      ],
      ...[`${secret}:${secret}:${secret}`, `smtp://${secret}!`, `"${secret}"@acme.com`],
    ];
    for (const value of wrong) {
      const all = Object.fromEntries(VARIABLES.map(({ name }) => [name, value]));
      const listed = JSON.stringify([Object.fromEntries(ACCOUNT_FIELDS.map((field) => [field, value]))]);
      for (const GMAIL_ACCOUNTS of ['', value, listed]) {
        const { message, problems } = errorOf({ ...all, GMAIL_ACCOUNTS });
        expect(problems.length).toBeGreaterThan(10);
        expect(message).not.toContain(secret);
      }
    }
  });
});

describe('API_KEYS', () => {
  test('accepts secrets and digests, with and without :admin', () => {
    const digest = digestOf(SECRET).toString('hex');
    const { apiKeys } = configOf({
      API_KEYS: `crm:${SECRET}1, ops:${SECRET}2:admin, a.b_c-1:sha256:${digest}, root:sha256:${digest.replace(/./, '0')}:admin,`,
    });
    expect(apiKeys.map(({ name, scopes }) => [name, scopes])).toEqual([
      ['crm', ['send', 'read']],
      ['ops', ['admin']],
      ['a.b_c-1', ['send', 'read']],
      ['root', ['admin']],
    ]);
    expect(apiKeys[0]?.digest).toEqual(digestOf(`${SECRET}1`));
    expect(apiKeys[2]?.digest).toEqual(digestOf(SECRET));
  });

  test.each([
    ['a secret of 23 characters', `crm:${'x'.repeat(23)}`, 'fewer than 24 characters'],
    ['a secret without a name', SECRET, 'no colon'],
    ['an empty name', `:${SECRET}`, 'no valid name'],
    ['a name with a space', `my crm:${SECRET}`, 'no valid name'],
    ['a name of 65 characters', `${'x'.repeat(65)}:${SECRET}`, 'no valid name'],
    ['a colon in a secret', `crm:${SECRET}:${SECRET}`, 'other than :admin'],
    ['a second admin', `crm:${SECRET}:admin:admin`, 'other than :admin'],
    ['white space in a secret', 'crm:correct horse battery staple', 'white space'],
    ['a non-ASCII secret', `crm:${'é'.repeat(24)}`, 'non-ASCII'],
    ['a short digest', 'crm:sha256:abcdef', '64 hexadecimal digits'],
    ['two keys with the same name', `crm:${SECRET}1,crm:${SECRET}2`, 'Keys 1 and 2 have the same name'],
    [
      'two keys with the same secret',
      `a:${SECRET},b:${SECRET}0,c:sha256:${digestOf(SECRET).toString('hex')}`,
      'Keys 1 and 3 have the same secret',
    ],
    ['a list without a key', ',', 'required'],
  ])('refuses %s', (_, value, reason) => {
    expect(problemOf('API_KEYS', value)).toContain(reason);
  });
});

describe('the account', () => {
  test.each(['bot', 'acme.com', 'bot@acme', 'Bot <bot@acme.com>', '"bot"@acme.com', 'a@acme.com,b@acme.com'])(
    'GMAIL_USER refuses %s',
    (value) => {
      expect(problemOf('GMAIL_USER', value)).toContain(
        'the full address of the account, also for Workspace domains: name@yourdomain',
      );
    },
  );

  test.each([
    'abcdefghijklmnop',
    'abcd efgh ijkl mnop',
    'abcd\u00a0efgh\u00a0ijkl\u00a0mnop',
    ' abcd efgh\tijkl mnop\n',
  ])('GMAIL_APP_PASSWORD accepts %j and removes the spaces', (value) => {
    expect(credentialsOf({ GMAIL_APP_PASSWORD: value })).toEqual({
      kind: 'app_password',
      password: 'abcdefghijklmnop',
    });
  });

  test.each(['hunter2', 'abcdefghijklmno', 'abcdefghijklmnopq', 'abcdefghijklmno1', 'abcdéfghijklmnop'])(
    'GMAIL_APP_PASSWORD refuses %s',
    (value) => {
      const problem = problemOf('GMAIL_APP_PASSWORD', value);
      expect(problem).toContain("The account's own password does not work");
      expect(problem).toContain('https://myaccount.google.com/apppasswords');
    },
  );

  test('GMAIL_FROM accepts one mailbox, with an optional name', () => {
    expect(accountOf({ GMAIL_FROM: '"Acme, Inc." <no-reply@ACME.com>' }).from).toEqual({
      email: 'no-reply@acme.com',
      name: 'Acme, Inc.',
    });
    expect(problemOf('GMAIL_FROM', 'a@acme.com, b@acme.com')).toContain('more than one address');
  });
});

describe('SMTP_URL', () => {
  test('maps each scheme to its encryption and port', () => {
    const SMTP_URL =
      'smtp://Relay.acme.com, smtps://relay.acme.com/,smtp://[::1]:2525,smtps://10.0.0.1:4465,smtp://sink:25?tls=never,smtp://smtp-relay.gmail.com/?login=none';
    expect(configOf({ SMTP_URL }).smtp.servers).toEqual([
      { host: 'relay.acme.com', port: 587, tls: 'starttls' },
      { host: 'relay.acme.com', port: 465, tls: 'implicit' },
      { host: '::1', port: 2525, tls: 'starttls' },
      { host: '10.0.0.1', port: 4465, tls: 'implicit' },
      { host: 'sink', port: 25, tls: 'never' },
      { host: 'smtp-relay.gmail.com', port: 587, tls: 'starttls', login: 'none' },
    ]);
  });

  test.each([
    ['unencrypted credentials', 'smtp://bot:pw@relay.acme.com?tls=never', 'would be sent unencrypted'],
    ['an unencrypted user', 'smtp://bot@relay.acme.com?tls=never', 'would be sent unencrypted'],
    ['credentials', 'smtps://bot:pw@smtp.gmail.com', 'set GMAIL_USER and GMAIL_APP_PASSWORD'],
    [
      'credentials that break the URL',
      'smtp://bot:p/w@smtp.gmail.com',
      'set GMAIL_USER and GMAIL_APP_PASSWORD',
    ],
    ['smtps: with tls=never', 'smtps://relay.acme.com?tls=never', 'use smtp:'],
    ['another value of tls', 'smtp://relay.acme.com?tls=maybe', 'unknown parameter'],
    ['another parameter', 'smtp://relay.acme.com?tls=never&x=1', 'unknown parameter'],
    ['another value of login', 'smtp://relay.acme.com?login=off', '?tls=never and ?login=none'],
    [
      'login=none for Gmail',
      'smtp://smtp.gmail.com?login=none',
      'smtp://smtp-relay.gmail.com:587?login=none',
    ],
    ['login=none for Gmail by its other name', 'smtps://SMTP.googlemail.com?login=none', 'after a login'],
    ['credentials and login=none', 'smtp://bot:pw@relay.acme.com?login=none', 'never logs in'],
    ['a path', 'smtp://relay.acme.com/inbox', 'after the port'],
    ['a fragment', 'smtp://relay.acme.com#x', 'after the port'],
    ['another scheme', 'https://smtp.gmail.com', 'must start with smtp://'],
    ['a bare host', 'smtp.gmail.com:587', 'must start with smtp://'],
    ['a port without a host', 'smtp://:587', 'not a URL'],
    ['no host', 'smtp://', 'no usable host'],
    ['a non-ASCII host', 'smtp://bücher.example', 'no usable host'],
    ['a host with a space', 'smtp://smtp gmail.com', 'Server 1'],
    ['a port past 65535', 'smtp://smtp.gmail.com:65536', 'not a URL'],
    ['port 0', 'smtp://smtp.gmail.com:0', 'port 0'],
    ['no server', ' , ', 'at least one server'],
    ['an invalid second server', 'smtp://smtp.gmail.com,ftp://smtp.gmail.com', 'Server 2'],
  ])('refuses %s', (_, value, reason) => {
    expect(problemOf('SMTP_URL', value)).toContain(reason);
  });
});

describe('TRUST_PROXY', () => {
  test('accepts addresses and CIDRs', () => {
    expect(configOf({ TRUST_PROXY: '10.0.0.5, 192.168.0.0/16,fd00::/8,::1' }).trustProxy).toEqual([
      '10.0.0.5',
      '192.168.0.0/16',
      'fd00::/8',
      '::1',
    ]);
  });

  test.each([
    'true',
    '1',
    '2',
    'false',
    'loopback',
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0/33',
    '10.0.0.0/8/8',
    '10.0.0.0/',
    '10.0.0/8',
    '10.0.0.5,true',
  ])('refuses %s', (value) => {
    const problem = problemOf('TRUST_PROXY', value);
    expect(problem).toContain('list the proxies');
    expect(problem).toContain('clients could then choose the address that they are rate-limited by');
  });
});

describe('numbers, durations and sizes', () => {
  test.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
    ['0s', 0],
  ])('a duration of %s is %i ms', (RETRY_FOR, ms) => {
    expect(configOf({ RETRY_FOR }).retryForMs).toBe(ms);
  });

  test.each([
    '30',
    's',
    '1.5h',
    '-1s',
    '1 h 5 m',
    '1w',
    '1e3s',
    '25d',
    '99999999999999999999d',
    '1constructor',
  ])('a duration of %s is refused', (value) => {
    problemOf('RETRY_FOR', value);
  });

  test.each([
    ['1000', 1000],
    ['512b', 512],
    ['256kb', 262_144],
    ['25MB', 26_214_400],
    ['1gb', 1_073_741_824],
  ])('a size of %s is %i bytes', (QUEUE_MAX_BYTES, bytes) => {
    expect(configOf({ QUEUE_MAX_BYTES }).queue.maxBytes).toBe(bytes);
  });

  test.each(['0', '-1', '1.5mb', '25mib', 'mb', '9999999999999999gb'])('a size of %s is refused', (value) => {
    problemOf('QUEUE_MAX_BYTES', value);
  });

  test('MAX_MESSAGE_BYTES cannot exceed the maximum of Gmail', () => {
    expect(configOf({ MAX_MESSAGE_BYTES: '35882577' }).maxMessageBytes).toBe(35_882_577);
    expect(problemOf('MAX_MESSAGE_BYTES', '35882578')).toContain('35882577');
  });

  test.each([
    ['PORT', ['0', '65535'], ['65536', '-1', '3000.5', '0x10', 'http', 'tcp://10.0.0.1:3000']],
    ['SMTP_CONNECTIONS', ['1', '20'], ['0', '21']],
    ['SMTP_CONNECTIONS_PER_INSTANCE', ['1', '20'], ['0', '21']],
    ['QUEUE_MAX_MESSAGES', ['1', '1000000'], ['0', 'many']],
    ['RATE_LIMIT', ['1/1s', '600/1m'], ['0/1m', '600', '600/0s', '600/m', '/1m', '600/1m/1m']],
    ['RETAIN', ['1s', '7d'], ['0s', '24']],
    ['RETAIN_CONTENT', ['0', '0s', '1h', '24h'], ['1', '25h', '7d']],
    ['SHUTDOWN_TIMEOUT', ['1s'], ['0s']],
    ['UI', ['on', 'off'], ['true', 'On']],
    ['ON_UNCERTAIN', ['retry', 'hold'], ['RETRY', 'fail']],
    ['LOG_LEVEL', ['silent', 'trace'], ['verbose']],
    ['LOG_FORMAT', ['auto', 'json', 'pretty'], ['text', 'JSON']],
    ['FROM_POLICY', ['reject', 'rewrite', 'allow'], ['Reject', 'drop']],
    ['SMTP_RATE', ['1000', '20', '0.5', '0.01'], ['0', '0.0', '-1', '1000.1', '1e2', '.5', '5/s']],
    ['GMAIL_RESERVE', ['0%', '12.5%', '90%'], ['10', '90.1%', '100%', '-1%', '%', '1e1%']],
    ['GMAIL_DAILY_MESSAGES', ['1', '500'], ['0', '1.5', '2k']],
    ['GMAIL_DAILY_RECIPIENTS', ['1', '10000'], ['0', '-1']],
    ['HOST', ['0.0.0.0', '::', 'localhost'], ['[::]', '*', 'a b', 'http://localhost']],
  ] as const)('%s accepts %j and refuses %j', (name, accepted, refused) => {
    for (const value of accepted) configOf({ [name]: value });
    for (const value of refused) problemOf(name, value);
  });
});

describe('a secret in a file', () => {
  test('is read without its final newline', () => {
    using file = fileOf('abcd efgh ijkl mnop\n');
    expect(credentialsOf({ GMAIL_APP_PASSWORD: '', GMAIL_APP_PASSWORD_FILE: file.path })).toEqual({
      kind: 'app_password',
      password: 'abcdefghijklmnop',
    });
  });

  test('may contain one API key per line', () => {
    using file = fileOf(`crm:${SECRET}1\r\nops:${SECRET}2:admin\n\nshop:${SECRET}3,till:${SECRET}4\n`);
    const { apiKeys } = configOf({ API_KEYS: undefined, API_KEYS_FILE: file.path });
    expect(apiKeys.map(({ name }) => name)).toEqual(['crm', 'ops', 'shop', 'till']);
    expect(apiKeys[0]?.digest).toEqual(digestOf(`${SECRET}1`));
  });

  test('is refused if the variable itself is set', () => {
    const { problems } = errorOf({ API_KEYS_FILE: '/run/secrets/api_keys' });
    expect(problems).toEqual([{ variable: 'API_KEYS', message: expect.stringContaining('API_KEYS_FILE') }]);
  });

  test('is reported with the reason if it cannot be read', () => {
    using file = fileOf('');
    const { problems } = errorOf({
      API_KEYS: '',
      API_KEYS_FILE: `${file.path}.missing`,
      GMAIL_APP_PASSWORD: '',
      GMAIL_APP_PASSWORD_FILE: tmpdir(),
    });
    expect(problems).toEqual([
      {
        variable: 'API_KEYS_FILE',
        message: expect.stringContaining(`${file.path}.missing cannot be read: no such file or directory`),
      },
      {
        variable: 'GMAIL_APP_PASSWORD_FILE',
        message: expect.stringContaining(`${tmpdir()} cannot be read: illegal operation on a directory`),
      },
    ]);
  });

  test('is reported if it is empty', () => {
    using file = fileOf('\n');
    expect(errorOf({ API_KEYS: '', API_KEYS_FILE: file.path }).problems).toEqual([
      { variable: 'API_KEYS_FILE', message: expect.stringContaining(`${file.path} is empty`) },
    ]);
  });

  test('is reported by its own name if invalid, without its value', () => {
    using file = fileOf(`crm:${SECRET}:root`);
    const { problems, message } = errorOf({ API_KEYS: '', API_KEYS_FILE: file.path });
    expect(problems.map(({ variable }) => variable)).toEqual(['API_KEYS_FILE']);
    expect(message).not.toContain(SECRET);
  });

  test('is not repeated if set instead of its path', () => {
    expect(
      errorOf({ GMAIL_APP_PASSWORD: '', GMAIL_APP_PASSWORD_FILE: 'abcdefghijklmnop' }).message,
    ).not.toContain('abcdefghijklmnop');
  });

  test('is supported only for secrets', () => {
    using file = fileOf('4000');
    expect(configOf({ PORT_FILE: file.path }).port).toBe(3000);
  });
});

describe('an unknown variable', () => {
  test.each([
    ['GMAIL_APP_PASWORD', 'GMAIL_APP_PASSWORD'],
    ['GMAIL_PASSWORD', 'GMAIL_APP_PASSWORD'],
    ['GMAIL_APP_PASSWORD_FIEL', 'GMAIL_APP_PASSWORD_FILE'],
    ['gmail_user', 'GMAIL_USER'],
    ['SMTP_URLS', 'SMTP_URL'],
    ['QUEUE_MAX_BYTE', 'QUEUE_MAX_BYTES'],
    ['API_KEY', 'API_KEYS'],
    ['RATE_LIMITS', 'RATE_LIMIT'],
    ['TRUST_PROXIES', 'TRUST_PROXY'],
    ['ON_UNCERTAINTY', 'ON_UNCERTAIN'],
    ['FROM_POLICIES', 'FROM_POLICY'],
    ['GMAIL_ACCOUNT', 'GMAIL_ACCOUNTS'],
    ['GMAIL_SERVICE_ACCOUNT_FIEL', 'GMAIL_SERVICE_ACCOUNT_FILE'],
  ])('such as %s causes a warning with the nearest name %s and without its value', (name, nearest) => {
    const { warnings } = parseConfig({ ...REQUIRED, [name]: SECRET });
    expect(warnings).toEqual([expect.stringMatching(new RegExp(`^${name} .* ${nearest}\\.$`))]);
    expect(warnings.join()).not.toContain(SECRET);
  });

  test('of another program is ignored', () => {
    const foreign = {
      PATH: '/bin',
      HOSTNAME: 'box',
      API_URL: 'x',
      API_TOKEN: 'x',
      LOG_DIRECTORY: 'x',
      RATE: '1',
      PORTAL: 'x',
      NODE_ENV: 'test',
      MAIL_USER: 'x',
      FROM_EMAIL: 'x',
    };
    expect(parseConfig({ ...REQUIRED, ...foreign }).warnings).toEqual([]);
  });
});

describe('.env.example', () => {
  const text = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8');

  test('contains exactly the known variables, each with its default and meaning', () => {
    const found = [...text.matchAll(/(?:^#.*\n)+?(?:# )?([A-Z_]+)=(.*)$/gm)].map(([block, name, value]) => ({
      name,
      value,
      block,
    }));
    expect(found.map(({ name }) => name).sort()).toEqual(VARIABLES.map(({ name }) => name).sort());
    for (const { name, default: value, meaning } of VARIABLES) {
      const entry = found.find((candidate) => candidate.name === name);
      expect(entry?.value).toBe(name === 'GMAIL_FROM' ? '' : value);
      expect(entry?.block).toContain(`# ${meaning.replaceAll('`', '')}\n`);
    }
  });

  test('is a complete configuration once the three required variables are filled in', () => {
    const filled = text.replace(
      /^(API_KEYS|GMAIL_USER|GMAIL_APP_PASSWORD)=$/gm,
      (_, name: keyof typeof REQUIRED) => `${name}=${REQUIRED[name]}`,
    );
    for (const env of [filled, filled.replace(/^# (?=[A-Z_]+=)/gm, '')].map((content) => parseEnv(content))) {
      const { config, warnings } = parseConfig(env);
      expect(plain(config)).toEqual(plain(configOf({})));
      expect(warnings).toEqual([]);
    }
  });
});

test('the defaults in VARIABLES are those in effect', () => {
  const defaults = Object.fromEntries(
    VARIABLES.map((variable) => [variable.name, variable.name === 'GMAIL_FROM' ? '' : variable.default]),
  );
  expect(plain(configOf({ ...defaults, ...REQUIRED }))).toEqual(plain(configOf({})));
});

describe('METRICS', () => {
  test('is key at PORT by default', () => {
    expect(configOf({}).metrics).toEqual({ access: 'key', port: null });
    expect(configOf({ METRICS: 'off', METRICS_PORT: '9464' }).metrics).toEqual({ access: 'off', port: 9464 });
  });

  test.each([
    ['METRICS', 'on', 'one of key, open, off'],
    ['METRICS_PORT', '70000', 'from 0 to 65535'],
    ['METRICS_PORT', '3000', 'differ from PORT'],
  ])('%s=%s is refused', (variable, value, reason) => {
    expect(problemOf(variable, value)).toContain(reason);
  });

  test('warns, if it is open, that names are shown', () => {
    const warningsOf = (env: Environment) => parseConfig({ ...REQUIRED, ...env }).warnings;
    expect(warningsOf({ METRICS: 'open', METRICS_PORT: '9464' })).toEqual([
      'METRICS is open: anyone who can connect to port 9464 of 127.0.0.1 can read the names of API keys and accounts at /metrics.',
    ]);
    expect(warningsOf({ METRICS: 'key' })).toEqual([]);
  });
});

describe('ALERT_WEBHOOK_URL', () => {
  const SLACK = 'https://hooks.slack.com/services/T0/B0/secret';

  test('is read from the environment or a file', () => {
    using file = fileOf(SLACK);
    expect(configOf({ ALERT_WEBHOOK_URL: `${SLACK}#x` }).alertWebhookUrl).toBe(SLACK);
    expect(configOf({ ALERT_WEBHOOK_URL_FILE: file.path }).alertWebhookUrl).toBe(SLACK);
  });

  test('must be https, unless WEBHOOK_ALLOWED_HOSTS has its host, and is never repeated in the error', () => {
    const url = 'http://chat.internal:8080/hooks/secret';
    expect(configOf({ ALERT_WEBHOOK_URL: url, WEBHOOK_ALLOWED_HOSTS: 'chat.internal' }).alertWebhookUrl).toBe(
      url,
    );
    for (const refused of [
      url,
      'hooks.slack.com/secret',
      'ftp://chat.internal/secret',
      'https://a:secret@chat.com/',
    ])
      expect(problemOf('ALERT_WEBHOOK_URL', refused)).not.toContain('secret');
  });
});
