import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';
import { mailboxServerOf } from '../../src/config/mailbox-config.ts';
import { configOf, problemOf, REQUIRED } from '../helpers/config.ts';

const RELAY = 'smtp://smtp-relay.gmail.com:587?login=none';

function serverOf(env: Record<string, string>) {
  const { accounts, mailbox } = configOf(env);
  return accounts.map((account) => mailboxServerOf(account, mailbox));
}

describe('IMAP_URL', () => {
  test.each([
    ['imaps://imap.acme.com', { host: 'imap.acme.com', port: 993, tls: 'implicit' }],
    ['imap://imap.acme.com', { host: 'imap.acme.com', port: 143, tls: 'starttls' }],
    ['imap://[::1]:1143', { host: '::1', port: 1143, tls: 'starttls' }],
  ])('%s is %j', (IMAP_URL, server) => {
    expect(configOf({ IMAP_URL }).mailbox.server).toEqual(server);
  });

  test.each([
    ['imap.gmail.com', /^It is not a URL: write imap:\/\/host:143 or imaps:\/\/host:993\.$/],
    ['https://imap.gmail.com', /^It must start with imap:\/\//],
    ['imaps://imap.gmail.com:0', /port 0/],
    ['imaps://imap.gmail.com/INBOX', /write only imaps:\/\/host:993/],
    ['imaps://imap.gmail.com?tls=never', /^It has parameters/],
    ['imaps://bot%40acme.com:hunter22@imap.gmail.com', /^It has credentials: remove them.*GMAIL_USER/],
    ['imaps://ı', /no usable host/],
  ])('refuses %s, and does not repeat it', (IMAP_URL, reason) => {
    const message = problemOf('IMAP_URL', IMAP_URL);
    expect(message).toMatch(reason);
    expect(message).not.toContain('hunter22');
  });
});

describe('the mailbox of an account', () => {
  const GMAIL = { host: 'imap.gmail.com', port: 993, tls: 'implicit' };

  test.each([
    ['a server of Gmail', {}, [GMAIL]],
    ['a server of Gmail as the second', { SMTP_URL: `${RELAY},smtp://smtp.gmail.com` }, [GMAIL]],
    ['the relay', { SMTP_URL: RELAY, GMAIL_APP_PASSWORD: '' }, [null]],
    ['the relay with a login', { SMTP_URL: 'smtp://smtp-relay.gmail.com' }, [null]],
    ['another server', { SMTP_URL: 'smtp://127.0.0.1:2525' }, [null]],
    [
      'another server, with IMAP_URL',
      { SMTP_URL: 'smtp://127.0.0.1:2525', IMAP_URL: 'imap://127.0.0.1:2143' },
      [{ host: '127.0.0.1', port: 2143, tls: 'starttls' }],
    ],
    [
      'a server without a login, with IMAP_URL',
      { SMTP_URL: RELAY, GMAIL_APP_PASSWORD: '', IMAP_URL: 'imaps://imap.gmail.com' },
      [null],
    ],
  ])('with %s in SMTP_URL', (_, env, servers) => {
    expect(serverOf(env)).toEqual(servers);
  });
});

describe('INBOUND', () => {
  test('is refused if the mailboxes have no known server', () => {
    expect(problemOf('INBOUND', 'bounces', { SMTP_URL: 'smtp://127.0.0.1:2525' })).toMatch(/set IMAP_URL/);
  });

  test('warns of an account without a login', () => {
    const env = {
      INBOUND: 'replies',
      IMAP_URL: 'imaps://imap.gmail.com',
      GMAIL_APP_PASSWORD: '',
      SMTP_URL: RELAY,
    };
    expect(parseConfig({ ...REQUIRED, ...env }).warnings).toEqual([
      expect.stringMatching(/^INBOUND is replies.*bot@acme\.com/),
    ]);
    expect(parseConfig({ ...REQUIRED, INBOUND: 'replies' }).warnings).toEqual([]);
  });
});
