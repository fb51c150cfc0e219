import { describe, expect, test } from 'vitest';
import { ERRORS } from '../../src/core/errors.ts';
import { fail, pass, toCheck, warn } from '../../src/doctor/check.ts';
import { readConfiguration } from '../../src/doctor/checks/configuration.ts';
import { type Report, toJson, toText } from '../../src/doctor/report.ts';
import { TROUBLESHOOTING } from '../../src/doctor/troubleshooting.ts';
import { API_KEY, APP_PASSWORD } from '../helpers/service.ts';

const VALID = {
  API_KEYS: `crm:${API_KEY}`,
  GMAIL_USER: 'bot@acme.test',
  GMAIL_APP_PASSWORD: APP_PASSWORD,
  SMTP_URL: 'smtp://mail.test:2525',
};

describe('TROUBLESHOOTING', () => {
  test('has one row per problem, whose fix is a sentence', () => {
    const ids = TROUBLESHOOTING.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { fix } of TROUBLESHOOTING) expect(fix).toMatch(/\.$/);
  });

  test('repeats the hint of the service for replies to logins and token requests', () => {
    const shared = TROUBLESHOOTING.filter(({ id }) =>
      /^(?:bad_credentials|app_password|web_login|login_throttled|oauth_|imap_)/.test(id),
    );
    expect(shared).toHaveLength(13);
    for (const { id, fix } of shared) expect(fix).toBe(ERRORS[id as keyof typeof ERRORS].hint);
  });
});

describe('readConfiguration', () => {
  test('returns one check for a valid configuration, which claims no more than was checked', () => {
    const { checks, config } = readConfiguration(VALID);
    expect(checks).toMatchObject([
      {
        status: 'pass',
        detail: 'the 4 variables that are set are well-formed; the resources they name are checked below',
      },
    ]);
    expect(config.accounts).toMatchObject([{ user: 'bot@acme.test' }]);
  });

  test('keeps the valid part of a configuration with problems', () => {
    const { checks, config } = readConfiguration({ ...VALID, API_KEYS: 'crm', PORT: 'x', RETAIN: 'y' });
    expect(checks.map(({ target, status }) => [target, status])).toEqual([
      ['PORT', 'fail'],
      ['API_KEYS', 'fail'],
      ['RETAIN', 'fail'],
    ]);
    expect(config.accounts).toMatchObject([{ user: 'bot@acme.test' }]);
    expect(config.smtp.servers).toEqual([{ host: 'mail.test', port: 2525, tls: 'starttls' }]);
  });

  test.each(['GMAIL_USER', 'GMAIL_APP_PASSWORD'])(
    'returns no accounts but the servers without %s',
    (name) => {
      const { checks, config } = readConfiguration({ ...VALID, API_KEYS: '', [name]: '' });
      expect(checks.map(({ target }) => target)).toContain(name);
      expect(config.accounts).toEqual([]);
      expect(config.smtp.servers).toEqual([{ host: 'mail.test', port: 2525, tls: 'starttls' }]);
    },
  );

  test('returns no servers if SMTP_URL is invalid, rather than the default ones', () => {
    const { config } = readConfiguration({ ...VALID, SMTP_URL: 'mail.test' });
    expect(config.smtp.servers).toEqual([]);
    expect(config.accounts).toMatchObject([{ user: 'bot@acme.test' }]);
  });

  test('keeps queue, templates and webhooks if several variables are invalid', () => {
    const env = {
      ...VALID,
      GMAIL_USER: '',
      API_KEYS: '',
      PORT: 'x',
      QUEUE_URL: 'sqlite:/q.db',
      TEMPLATES_DIR: '/t',
      WEBHOOK_SECRET: 'x',
    };
    const { config, invalid } = readConfiguration({ ...env, WEBHOOK_URL: 'https://crm.example.com' });
    expect(config).toMatchObject({
      accounts: [],
      queue: { url: { kind: 'sqlite', file: '/q.db' } },
      templatesDir: '/t',
      webhooks: { url: null },
    });
    expect([...invalid].sort()).toEqual(['API_KEYS', 'GMAIL_USER', 'PORT', 'WEBHOOK_SECRET', 'WEBHOOK_URL']);
  });

  test('splits a problem into detail and advice', () => {
    const { checks } = readConfiguration({ ...VALID, GMAIL_APP_PASSWORD: 'my own password', GMAIL_USR: 'x' });
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

describe('report', () => {
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

  test('aligns columns of the text, and wraps and indents the advice', () => {
    expect(toText(report, (status, mark) => (status === 'fail' ? `<${mark}>` : mark))).toBe(
      [
        'Outtray 1.2.3: doctor',
        '',
        '✓ DNS            mail.test:587  192.0.2.1',
        '! TCP over IPv6  mail.test:587  no route',
        '    The clock of this machine is slow: set it, and synchronize it with NTP.',
        '<✗> TLS            m:1            expired',
        '    If the clock of this machine is correct, the server must renew its certificate. If not, set the',
        '    clock and synchronize it with NTP.',
        '',
        'Mail cannot be sent: one check failed, with a warning.',
        '',
        'Do this first (TLS m:1): If the clock of this machine is correct, the server must renew its',
        'certificate. If not, set the clock and synchronize it with NTP.',
      ].join('\n'),
    );
  });

  test('reports success without a first step if no check failed', () => {
    const [dns, ipv6] = report.checks;
    const end = (checks: Report['checks']) =>
      toText({ ok: true, version: '1', checks }, (_, mark) => mark)
        .split('\n')
        .at(-1);
    expect(end(dns ? [dns] : [])).toBe('Mail can be sent with every account. All checks passed.');
    expect(end(dns && ipv6 ? [dns, ipv6] : [])).toBe('Mail can be sent with every account, with a warning.');
  });

  test('names only the first failure as the first step', () => {
    const later = toCheck({ id: 'auth', name: 'AUTH', target: 'a@b.c' }, fail('bad_credentials', 'refused'));
    const checks = [...report.checks, later];
    expect(toText({ ...report, checks }, (_, mark) => mark).match(/Do this first.*/g)).toEqual([
      expect.stringContaining('(TLS m:1)'),
    ]);
    expect(JSON.parse(toJson({ ...report, checks })).first).toMatchObject({ id: 'tls', target: 'm:1' });
    expect(JSON.parse(toJson({ ...report, checks: [] })).first).toBeNull();
  });

  test('has one row per check in JSON', () => {
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
