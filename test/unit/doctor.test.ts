import { describe, expect, test } from 'vitest';
import { ERRORS } from '../../src/core/errors.ts';
import { readConfiguration } from '../../src/doctor/checks/configuration.ts';
import { fail, pass, type Report, toCheck, toJson, toText, warn } from '../../src/doctor/report.ts';
import { TROUBLESHOOTING } from '../../src/doctor/troubleshooting.ts';
import { API_KEY, APP_PASSWORD } from '../helpers/service.ts';

const RIGHT = {
  API_KEYS: `crm:${API_KEY}`,
  GMAIL_USER: 'bot@acme.test',
  GMAIL_APP_PASSWORD: APP_PASSWORD,
  SMTP_URL: 'smtp://mail.test:2525',
};

describe('the advice', () => {
  test('is one row for each trouble, in words that name a thing to do', () => {
    const ids = TROUBLESHOOTING.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { mend } of TROUBLESHOOTING) expect(mend).toMatch(/\.$/);
  });

  test('is the hint of the service, word for word, for what Gmail replies to a login or a token request', () => {
    const shared = TROUBLESHOOTING.filter(({ id }) =>
      /^(?:bad_credentials|app_password|web_login|login_throttled|oauth_)/.test(id),
    );
    expect(shared).toHaveLength(9);
    for (const { id, mend } of shared) expect(mend).toBe(ERRORS[id as keyof typeof ERRORS].hint);
  });
});

describe('the configuration', () => {
  test('that is right is one line, which claims no more than was looked at', () => {
    const { checks, config } = readConfiguration(RIGHT);
    expect(checks).toMatchObject([
      {
        status: 'pass',
        detail: 'the 4 variables that are set are well-formed; what they name is checked below',
      },
    ]);
    expect(config.accounts).toMatchObject([{ user: 'bot@acme.test' }]);
  });

  test('that is wrong in places is used where it is right', () => {
    const { checks, config } = readConfiguration({ ...RIGHT, API_KEYS: 'crm', PORT: 'x', RETAIN: 'y' });
    expect(checks.map(({ target, status }) => [target, status])).toEqual([
      ['PORT', 'fail'],
      ['API_KEYS', 'fail'],
      ['RETAIN', 'fail'],
    ]);
    expect(config.accounts).toMatchObject([{ user: 'bot@acme.test' }]);
    expect(config.smtp.servers).toEqual([{ host: 'mail.test', port: 2525, tls: 'starttls' }]);
  });

  test.each(['GMAIL_USER', 'GMAIL_APP_PASSWORD'])(
    'without %s has no accounts, and still its servers',
    (name) => {
      const { checks, config } = readConfiguration({ ...RIGHT, API_KEYS: '', [name]: '' });
      expect(checks.map(({ target }) => target)).toContain(name);
      expect(config.accounts).toEqual([]);
      expect(config.smtp.servers).toEqual([{ host: 'mail.test', port: 2525, tls: 'starttls' }]);
    },
  );

  test('with a wrong SMTP_URL has no servers: those it falls back to are not the ones that were meant', () => {
    const { config } = readConfiguration({ ...RIGHT, SMTP_URL: 'mail.test' });
    expect(config.smtp.servers).toEqual([]);
    expect(config.accounts).toMatchObject([{ user: 'bot@acme.test' }]);
  });

  test('that is wrong in several places at once keeps its queue, templates and webhooks', () => {
    const env = {
      ...RIGHT,
      GMAIL_USER: '',
      API_KEYS: '',
      PORT: 'x',
      QUEUE_URL: 'sqlite:/q.db',
      TEMPLATES_DIR: '/t',
      WEBHOOK_SECRET: 'x',
    };
    const { config, wrong } = readConfiguration({ ...env, WEBHOOK_URL: 'https://crm.example.com' });
    expect(config).toMatchObject({
      accounts: [],
      queue: { url: { kind: 'sqlite', file: '/q.db' } },
      templatesDir: '/t',
      webhooks: { url: null },
    });
    expect([...wrong].sort()).toEqual(['API_KEYS', 'GMAIL_USER', 'PORT', 'WEBHOOK_SECRET', 'WEBHOOK_URL']);
  });

  test('says first what is wrong, then how to mend it', () => {
    const { checks } = readConfiguration({ ...RIGHT, GMAIL_APP_PASSWORD: 'my own password', GMAIL_USR: 'x' });
    expect(checks).toMatchObject([
      {
        target: 'GMAIL_APP_PASSWORD',
        detail: 'An app password has exactly 16 letters, apart from spaces.',
        advice: expect.stringContaining('create an app password'),
      },
      { target: 'GMAIL_USR', status: 'warn', advice: 'The nearest name is GMAIL_USER.' },
    ]);
  });
});

describe('the report', () => {
  const report: Report = {
    ok: false,
    version: '1.2.3',
    checks: [
      toCheck({ id: 'dns', name: 'DNS', target: 'mail.test:587' }, pass('192.0.2.1'), 12.4),
      toCheck(
        { id: 'tcp_ipv6', name: 'TCP over IPv6', target: 'mail.test:587' },
        warn('clock_wrong', 'no route'),
      ),
      toCheck({ id: 'tls', name: 'TLS', target: 'm:1' }, fail('certificate_expired', 'expired')),
    ],
  };

  test('for people is aligned, with the advice wrapped and indented', () => {
    expect(toText(report, (status, mark) => (status === 'fail' ? `<${mark}>` : mark))).toBe(
      [
        'Outtray 1.2.3: doctor',
        '',
        '✓ DNS            mail.test:587  192.0.2.1',
        '! TCP over IPv6  mail.test:587  no route',
        '    The clock of this machine is behind: set it, and keep it right with NTP.',
        '<✗> TLS            m:1            expired',
        '    If the date of this machine is right, the server must renew its certificate; if not, set the clock',
        '    and keep it right with NTP.',
        '',
        'Mail cannot be sent: one check failed, with a warning.',
        '',
        'Do this first (TLS m:1): If the date of this machine is right, the server must renew its',
        'certificate; if not, set the clock and keep it right with NTP.',
      ].join('\n'),
    );
  });

  test('without a failure says so, and names nothing to do', () => {
    const [dns, ipv6] = report.checks;
    const end = (checks: Report['checks']) =>
      toText({ ok: true, version: '1', checks }, (_, mark) => mark)
        .split('\n')
        .at(-1);
    expect(end(dns ? [dns] : [])).toBe('Mail can be sent with every account. All is well.');
    expect(end(dns && ipv6 ? [dns, ipv6] : [])).toBe('Mail can be sent with every account, with a warning.');
  });

  test('names only the first failure as the thing to do first', () => {
    const later = toCheck({ id: 'auth', name: 'AUTH', target: 'a@b.c' }, fail('bad_credentials', 'refused'));
    const checks = [...report.checks, later];
    expect(toText({ ...report, checks }, (_, mark) => mark).match(/Do this first.*/g)).toEqual([
      expect.stringContaining('(TLS m:1)'),
    ]);
    expect(JSON.parse(toJson({ ...report, checks })).first).toMatchObject({ id: 'tls', target: 'm:1' });
    expect(JSON.parse(toJson({ ...report, checks: [] })).first).toBeNull();
  });

  test('for machines has a row for each check', () => {
    expect(JSON.parse(toJson(report))).toMatchObject({
      ok: false,
      version: '1.2.3',
      checks: [
        { id: 'dns', status: 'pass', code: null, advice: null, duration_ms: 12 },
        {},
        { code: 'certificate_expired' },
      ],
    });
  });
});
