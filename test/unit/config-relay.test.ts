import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import { accountOf, configOf, errorOf, problemOf, REQUIRED } from '../helpers/config.ts';

const RELAY = 'smtp://smtp-relay.gmail.com:587?login=none';
const WITHOUT_LOGIN = { GMAIL_APP_PASSWORD: '', SMTP_URL: RELAY };

describe('login=none', () => {
  test('needs no credentials, and encrypts on both ports', () => {
    expect(accountOf(WITHOUT_LOGIN).credentials).toBeNull();
    const SMTP_URL = `${RELAY},smtps://smtp-relay.gmail.com?login=none`;
    expect(configOf({ ...WITHOUT_LOGIN, SMTP_URL }).smtp.servers).toMatchObject([
      { tls: 'starttls', login: 'none' },
      { tls: 'implicit', port: 465, login: 'none' },
    ]);
  });

  test('still needs GMAIL_USER, which names the account', () => {
    expect(problemOf('GMAIL_USER', '', WITHOUT_LOGIN)).toMatch(/^It is required/);
  });

  test.each([
    ['GMAIL_APP_PASSWORD', { GMAIL_APP_PASSWORD: 'abcd efgh ijkl mnop' }],
    ['GMAIL_APP_PASSWORD', { GMAIL_APP_PASSWORD: 'not an app password' }],
    ['GMAIL_OAUTH_CLIENT_ID', { GMAIL_OAUTH_CLIENT_ID: 'id' }],
    ['GMAIL_SERVICE_ACCOUNT', { GMAIL_SERVICE_ACCOUNT: '{}' }],
  ])('refuses credentials that it contradicts: %s %j', (variable, env) => {
    expect(errorOf({ ...WITHOUT_LOGIN, ...env }).problems).toEqual([
      { variable, message: expect.stringMatching(/^It contradicts login=none in SMTP_URL.*Remove it/) },
    ]);
  });

  test('refuses the password of a listed account', () => {
    const GMAIL_ACCOUNTS = JSON.stringify([
      { user: 'bot@acme.com' },
      { user: 'sales@acme.com', app_password: 'abcdefghijklmnop' },
    ]);
    expect(problemOf('GMAIL_ACCOUNTS', GMAIL_ACCOUNTS, { ...WITHOUT_LOGIN, GMAIL_USER: '' })).toMatch(
      /^Account 2: app_password: It contradicts login=none/,
    );
  });

  test('allows credentials if another server has a login', () => {
    expect(accountOf({ SMTP_URL: `${RELAY},smtp://smtp.gmail.com` }).credentials).not.toBeNull();
    expect(problemOf('GMAIL_APP_PASSWORD', '', { SMTP_URL: `${RELAY},smtp://smtp.gmail.com` })).toMatch(
      /^It is required/,
    );
  });

  test('is optional: the relay also accepts a login', () => {
    expect(accountOf({ SMTP_URL: 'smtp://smtp-relay.gmail.com' }).credentials).not.toBeNull();
  });
});

describe('the daily limit', () => {
  test.each([
    ['smtp://smtp-relay.gmail.com', 10_000],
    ['smtp://relay.acme.com?login=none', 10_000],
    ['smtp://smtp-relay.gmail.com,smtp://smtp.gmail.com', 2000],
    ['smtp://127.0.0.1:25?tls=never', 2000],
  ])('of messages through %s is %i', (SMTP_URL, messages) => {
    const env = SMTP_URL.includes('none') ? { GMAIL_APP_PASSWORD: '' } : {};
    expect(accountOf({ ...env, SMTP_URL }).daily).toEqual({ messages, recipients: 10_000 });
  });

  test('of the relay can be set', () => {
    expect(accountOf({ ...WITHOUT_LOGIN, GMAIL_DAILY_MESSAGES: '50' }).daily.messages).toBe(50);
  });
});

describe('GMAIL_DOMAINS', () => {
  test('is a list of domains in canonical form, each once', () => {
    const GMAIL_DOMAINS = 'Acme.com, @acme.de,bücher.example,acme.com';
    expect(accountOf({ ...WITHOUT_LOGIN, GMAIL_DOMAINS }).domains).toEqual([
      'acme.com',
      'acme.de',
      'xn--bcher-kva.example',
    ]);
  });

  test('can be set for each listed account', () => {
    const GMAIL_ACCOUNTS = JSON.stringify([{ user: 'bot@acme.com', domains: ['acme.com', 'acme.de'] }]);
    expect(accountOf({ ...WITHOUT_LOGIN, GMAIL_USER: '', GMAIL_ACCOUNTS }).domains).toEqual([
      'acme.com',
      'acme.de',
    ]);
  });

  test.each(['acme', 'bot@acme.com', '*.acme.com', 'acme.com.', 'acme .com'])('refuses %j', (entry) => {
    expect(problemOf('GMAIL_DOMAINS', `acme.de,${entry}`, WITHOUT_LOGIN)).toBe(
      'Domain 2: It must be a domain, such as example.com.',
    );
  });

  test('is refused with smtp.gmail.com, which replaces From', () => {
    expect(problemOf('GMAIL_DOMAINS', 'acme.com')).toMatch(
      /^It needs the Workspace relay .*smtp\.gmail\.com replaces a From.*GMAIL_ALIASES instead\.$/,
    );
  });

  test('causes no warning with FROM_POLICY=allow and the relay', () => {
    expect(parseConfig({ ...REQUIRED, ...WITHOUT_LOGIN, FROM_POLICY: 'allow' }).warnings).toEqual([]);
  });
});

describe('SMTP_EHLO_NAME', () => {
  test.each([
    ['Mail.Example.com', 'mail.example.com'],
    ['[192.0.2.1]', '[192.0.2.1]'],
    ['[IPv6:2001:db8::1]', '[IPv6:2001:db8::1]'],
  ])('accepts %s', (SMTP_EHLO_NAME, name) => {
    expect(configOf({ SMTP_EHLO_NAME }).smtp.ehloName).toBe(name);
  });

  test.each([
    'localhost',
    '192.0.2.1',
    '2001:db8::1',
    '[2001:db8::1]',
    '[IPv6:192.0.2.1]',
    '[192.0.2.300]',
    '[mail.example.com]',
    'mail_1.example.com',
    'mail.example.com.',
    'mail.example.com x',
    'mail.example.com\u0007',
    `${'a'.repeat(64)}.example.com`,
  ])('refuses %j', (name) => {
    expect(problemOf('SMTP_EHLO_NAME', name)).toMatch(
      /^It must be a fully qualified host name.* or an address literal/,
    );
  });
});
