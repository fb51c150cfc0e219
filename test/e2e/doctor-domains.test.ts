import { generateKeyPairSync } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkSenderDomains } from '../../src/doctor/checks/domains/sender-domains.ts';
import { createDnsClient } from '../../src/doctor/net/dns-client.ts';
import { type DnsServer, hasBind, startBind } from '../helpers/bind.ts';
import { checkOf, diagnose } from '../helpers/doctor.ts';

const LIMIT_MS = 5000;

/** Returns a TXT record with this text, in strings of at most 255 characters. */
function txt(name: string, text: string): string {
  return `${name} IN TXT ${(text.match(/.{1,255}/g) ?? ['']).map((part) => JSON.stringify(part)).join(' ')}`;
}

function rsaKey(bits: number): string {
  return generateKeyPairSync('rsa', { modulusLength: bits })
    .publicKey.export({ type: 'spki', format: 'der' })
    .toString('base64');
}

const SPF = 'v=spf1 include:_spf.google.com ~all';
const KEY = `v=DKIM1; k=rsa; p=${rsaKey(2048)}`;
const DMARC = 'v=DMARC1; p=reject; rua=mailto:dmarc@ok.test';

/** Returns the records of a domain with a correct setup, except those given. Null: no record. */
function domain(
  name: string,
  changed: { spf?: string | null; dkim?: string | null; dmarc?: string | null } = {},
  ...others: string[]
): string[] {
  const { spf, dkim, dmarc } = { spf: SPF, dkim: KEY, dmarc: DMARC, ...changed };
  return [
    `${name} IN MX 1 smtp.google.com.`,
    ...(spf === null ? [] : [txt(name, spf)]),
    ...(dkim === null ? [] : [txt(`google._domainkey.${name}`, dkim)]),
    ...(dmarc === null ? [] : [txt(`_dmarc.${name}`, dmarc)]),
    ...others,
  ];
}

/** Returns an SPF record that includes as many other records, and those. */
function including(name: string, count: number, end = 'include:_spf.google.com ~all'): [string, string[]] {
  const hosts = Array.from({ length: count }, (_, i) => `s${i}.${name}`);
  const includes = hosts.map((host) => `include:${host}.test`).join(' ');
  return [`v=spf1 ${includes} ${end}`, hosts.map((host) => txt(host, 'v=spf1 ip4:192.0.2.1 -all'))];
}

const [sixIncludes, sixHosts] = including('six', 6);
const [sevenIncludes, sevenHosts] = including('seven', 7);
const [manyAfter, manyAfterHosts] = including(
  'after',
  0,
  `include:_spf.google.com ${'include:s0.seven.test '.repeat(7)}~all`,
);

const GOOGLE_IP6 = [1, 2, 3].map((n) => `ip6:2001:4860:${n}::/56`).join(' ');

const RECORDS = [
  ...domain('ok'),
  ...domain(
    'chain',
    { spf: 'v=spf1 include:spf.chain.test -all' },
    txt('spf.chain', 'v=spf1 a redirect=hop.chain.test'),
    txt('hop.chain', 'v=spf1 include:_spf.google.com -all'),
    'spf.chain IN AAAA 2001:db8::1',
  ),
  ...domain('redirected', { spf: 'v=spf1 redirect=_spf.google.com' }),
  ...domain('capitals', { spf: 'V=SPF1 INCLUDE:_SPF.GOOGLE.COM. ~ALL' }),
  ...domain('no-spf', { spf: null }),
  ...domain('other-spf', { spf: 'v=spf1 include:s0.six.test -all' }),
  ...domain('behind-all', { spf: 'v=spf1 -all include:_spf.google.com' }),
  ...domain('softly', { spf: 'v=spf1 ~include:_spf.google.com -all' }),
  ...domain('excluded', { spf: 'v=spf1 -include:hop.chain.test ~all' }),
  ...domain('two-spf', {}, txt('two-spf', 'v=spf1 -all')),
  ...domain('typo', { spf: 'v=spf1 includes:_spf.google.com ~all' }),
  ...domain('dangling', { spf: 'v=spf1 include:gone.test include:_spf.google.com ~all' }),
  ...domain('looping', { spf: 'v=spf1 include:looping.test include:_spf.google.com ~all' }),
  ...domain('six', { spf: sixIncludes }, ...sixHosts),
  ...domain('seven', { spf: sevenIncludes }, ...sevenHosts),
  ...domain('after', { spf: manyAfter }, ...manyAfterHosts),
  ...domain('voids', { spf: 'v=spf1 a:x.test a:y.test mx:z.test include:_spf.google.com ~all' }),
  ...domain('macros', { spf: 'v=spf1 include:%{d}._spf.vendor.test ~all' }),
  ...domain('asking-servfail', { spf: 'v=spf1 include:servfail.test include:_spf.google.com ~all' }),
  ...domain('own-hosts', { spf: 'v=spf1 ip4:198.51.100.0/24 ip6:2001:db8::/32 -all' }),
  ...domain(
    'flattened',
    { spf: 'v=spf1 include:flat.test -all' },
    txt(
      'flat',
      `v=spf1 ip4:198.51.100.7 ip4:203.0.2.0/23 ip4:203.0.1.128/25 ip4:203.0.1.0/25 ${GOOGLE_IP6} -all`,
    ),
  ),
  ...domain('half-flattened', { spf: `v=spf1 ip4:203.0.1.0/24 ${GOOGLE_IP6} ~all` }),
  ...domain('softly-flattened', { spf: `v=spf1 ?ip4:203.0.0.0/16 ${GOOGLE_IP6} ~all` }),
  ...domain('softly-included', { spf: 'v=spf1 ?include:flat.test ~all' }),
  ...domain('everybody', { spf: 'v=spf1 +all' }),
  ...domain('bad-network', { spf: 'v=spf1 ip4:192.0.2 include:_spf.google.com -all' }),
  ...domain('no-space', { spf: 'v=spf1:include:_spf.google.com ~all' }),
  ...domain('no-dkim', { dkim: null }),
  ...domain('revoked', { dkim: 'v=DKIM1; k=rsa; p=' }),
  ...domain('cut-off', { dkim: KEY.slice(0, 250) }),
  ...domain('short', { dkim: `v=DKIM1; k=rsa; p=${rsaKey(512)}` }),
  ...domain('two-keys', {}, txt('google._domainkey.two-keys', `v=DKIM1; p=${rsaKey(1024)}`)),
  ...domain('wildcard', { dkim: null }, txt('*.wildcard', 'v=spf1 -all')),
  ...domain('hosted-key', { dkim: null }, 'google._domainkey.hosted-key IN CNAME google._domainkey.ok'),
  ...domain('elsewhere', { dkim: null }, 'google._domainkey.elsewhere IN CNAME keys.vendor.invalid.'),
  ...domain('no-dmarc', { dmarc: null }),
  ...domain('none', { dmarc: 'v=DMARC1; p=none' }),
  ...domain('two-dmarc', {}, txt('_dmarc.two-dmarc', 'v=DMARC1; p=none')),
  ...domain('small-letters', { dmarc: 'v=dmarc1; p=none' }),
  ...domain('twice', { dmarc: 'v=DMARC1; p=none; p=reject' }),
  ...domain('no-policy', { dmarc: 'v=DMARC1; rua=mailto:dmarc@ok.test' }),
  ...domain('news.mail.ok', { dkim: null, dmarc: null }),
  ...domain('strict', { dkim: null, dmarc: 'v=DMARC1; p=quarantine; aspf=s' }),
  ...domain('news.strict', { dkim: null, dmarc: 'v=DMARC1; p=quarantine; aspf=s' }),
  ...domain('suffix', { dmarc: 'v=DMARC1; p=none; sp=quarantine; psd=y' }),
  ...domain('below.suffix', { dmarc: null }),
  ...domain('unsigned', { spf: null, dkim: null }),
  ...domain('lame', { dkim: null, dmarc: null }),
  ...domain('news.lame', { dkim: null, dmarc: null }),
  ...domain('own.lame', { dkim: null, dmarc: 'v=DMARC1; p=reject' }),
  ...domain('internal', { spf: null, dkim: null, dmarc: null }, 'internal IN A 10.0.0.5'),
].join('\n');

const ZONES = {
  test: RECORDS,
  'servfail.test': null,
  '_dmarc.lame.test': null,
  '_spf.google.com': [1, 2, 3].reduce(
    (text, n) => `${text}\nn${n} IN TXT "v=spf1 ip4:203.0.${n}.0/24 ip6:2001:4860:${n}::/56 ~all"`,
    '@ IN TXT "v=spf1 include:n1._spf.google.com include:n2._spf.google.com include:n3._spf.google.com ~all"',
  ),
};

describe.skipIf(!hasBind)('the doctor for domains (with bind9)', () => {
  let bind: DnsServer;
  beforeAll(async () => {
    bind = await startBind(ZONES);
  });
  afterAll(() => bind?.[Symbol.asyncDispose]());

  /** Returns the lines of the domain of `from`, by id: `status code` and the detail. */
  async function check(from: string, user = from) {
    const account = { user, from: { email: from, name: null }, aliases: [], domains: [] };
    const checks = await checkSenderDomains([account], createDnsClient(LIMIT_MS, [bind.address]));
    const target = from.split('@')[1];
    const lines = checks.filter((line) => line.target === target);
    return Object.fromEntries(
      lines.map(({ id, status, code, detail }) => [
        id,
        { line: [status, code].filter(Boolean).join(' '), detail },
      ]),
    );
  }

  test('passes all four checks of a domain that is set up completely', async () => {
    expect(await check('bot@ok.test')).toEqual({
      spf: { line: 'pass', detail: 'it includes _spf.google.com, and needs 4 of 10 DNS look-ups' },
      dkim: { line: 'pass', detail: 'an RSA key of 2048 bits at google._domainkey.ok.test' },
      dmarc: { line: 'pass', detail: 'p=reject at _dmarc.ok.test' },
      alignment: { line: 'pass', detail: 'by DKIM, which also survives forwarding' },
    });
  });

  test.each([
    ['chain', 'pass', 'needs 7 of 10'],
    ['redirected', 'pass', 'needs 4 of 10'],
    ['capitals', 'pass', 'needs 4 of 10'],
    ['six', 'pass', 'needs 10 of 10'],
    ['no-spf', 'warn spf_missing', 'no-spf.test has no SPF record'],
    ['other-spf', 'warn spf_google_missing', 'the result is fail for hosts that it does not list'],
    ['behind-all', 'warn spf_google_missing', 'the result is fail for hosts that it does not list'],
    ['softly', 'warn spf_google_missing', 'the result for mail from Google is softfail'],
    ['excluded', 'warn spf_google_missing', 'the result for mail from Google is fail'],
    ['two-spf', 'warn spf_invalid', 'two-spf.test has 2 SPF records'],
    ['typo', 'warn spf_invalid', '"includes:_spf.google.com"'],
    ['dangling', 'warn spf_invalid', 'dangling.test includes gone.test, which has no SPF record'],
    ['looping', 'warn spf_too_many_lookups', 'more than 10 DNS look-ups'],
    ['seven', 'warn spf_too_many_lookups', 'more than 10 DNS look-ups'],
    ['after', 'warn spf_too_many_lookups', 'it includes _spf.google.com, but the record needs more than 10'],
    ['voids', 'warn spf_too_many_lookups', 'more than 2 names in the record do not exist'],
    ['macros', 'skip', 'macros'],
    ['flattened', 'pass', 'it lists the addresses of _spf.google.com, which Google can change'],
    ['half-flattened', 'warn spf_google_missing', 'lists only some addresses of _spf.google.com'],
    ['softly-flattened', 'skip', 'some of them without "+"'],
    ['softly-included', 'skip', 'some of them without "+"'],
    ['everybody', 'warn spf_google_missing', 'the result is pass'],
    ['own-hosts', 'warn spf_google_missing', 'the result is fail'],
    ['bad-network', 'warn spf_invalid', '"ip4:192.0.2"'],
    ['no-space', 'warn spf_invalid', 'does not begin with "v=spf1 "'],
    ['asking-servfail', 'skip', '(ESERVFAIL) for servfail.test'],
  ])('SPF of %s.test: %s', async (name, line, detail) => {
    expect((await check(`bot@${name}.test`)).spf).toEqual({ line, detail: expect.stringContaining(detail) });
  });

  test.each([
    ['hosted-key', 'pass', '2048 bits'],
    ['no-dkim', 'warn dkim_missing', 'no DKIM key at google._domainkey.no-dkim.test'],
    ['wildcard', 'warn dkim_missing', 'no DKIM key'],
    ['revoked', 'warn dkim_revoked', 'p= is empty'],
    ['cut-off', 'warn dkim_invalid', 'cut off'],
    ['short', 'warn dkim_invalid', 'only 512 bits'],
    ['two-keys', 'warn dkim_invalid', 'there are 2 records'],
    ['elsewhere', 'skip', 'is an alias (CNAME) of keys.vendor.invalid'],
  ])('DKIM of %s.test: %s', async (name, line, detail) => {
    expect((await check(`bot@${name}.test`)).dkim).toEqual({ line, detail: expect.stringContaining(detail) });
  });

  test.each([
    ['none', 'pass', 'p=none at _dmarc.none.test: failures are reported'],
    ['news.mail.ok', 'pass', 'p=reject at _dmarc.ok.test'],
    ['no-dmarc', 'warn dmarc_missing', 'no DMARC record at _dmarc.no-dmarc.test'],
    ['two-dmarc', 'warn dmarc_invalid', 'there are 2 DMARC records'],
    ['small-letters', 'warn dmarc_invalid', 'begins with "v=DMARC1;"'],
    ['twice', 'warn dmarc_invalid', 'is not a list of tags'],
    ['below.suffix', 'pass', 'sp=quarantine at _dmarc.suffix.test'],
    ['no-policy', 'warn dmarc_invalid', 'no policy (p=)'],
  ])('DMARC of %s.test: %s', async (name, line, detail) => {
    expect((await check(`bot@${name}.test`)).dmarc).toEqual({
      line,
      detail: expect.stringContaining(detail),
    });
  });

  test.each([
    ['a domain without DKIM', 'bot@no-dkim.test', 'bot@no-dkim.test', 'pass', 'by SPF only'],
    ['a subdomain of the account', 'bot@news.mail.ok.test', 'bot@ok.test', 'pass', 'by SPF only'],
    [
      'neither SPF nor DKIM',
      'bot@unsigned.test',
      'bot@unsigned.test',
      'warn dmarc_unaligned',
      'receivers reject it (p=reject)',
    ],
    [
      'another subdomain with aspf=s',
      'bot@news.strict.test',
      'bot@strict.test',
      'warn dmarc_unaligned',
      'receivers quarantine it (p=quarantine)',
    ],
    [
      'a domain whose policy cannot be read',
      'bot@news.lame.test',
      'bot@lame.test',
      'skip',
      'a record that could not be read',
    ],
    [
      'an account whose organizational domain cannot be read',
      'bot@own.lame.test',
      'bot@lame.test',
      'skip',
      'a record that could not be read',
    ],
    [
      'a domain of another organization',
      'bot@no-dkim.test',
      'bot@ok.test',
      'warn dmarc_unaligned',
      'neither SPF nor DKIM passes',
    ],
    [
      'an alias of a personal account',
      'shop@ok.test',
      'shop@gmail.com',
      'warn alias_unaligned',
      'Gmail signs its mail for gmail.com',
    ],
    [
      'a key that is elsewhere',
      'bot@elsewhere.test',
      'bot@ok.test',
      'skip',
      'a record that could not be read',
    ],
  ])('alignment of %s: %s as %s: %s', async (_, from, user, line, detail) => {
    expect((await check(from, user)).alignment).toEqual({ line, detail: expect.stringContaining(detail) });
  });

  test.each([
    ['SERVFAIL', 'servfail.test', 'ESERVFAIL'],
    ['a server that refuses', 'refused.invalid', 'EREFUSED'],
    ['a domain that the server does not know', 'gone.test', 'the DNS server does not know gone.test'],
    [
      'a private address',
      'internal.test',
      'internal view of internal.test: internal.test has the private address 10.0.0.5',
    ],
  ])('reports every result as unknown after %s', async (_, name, detail) => {
    const lines = await check(`bot@${name}`);
    expect(Object.keys(lines)).toEqual(['spf', 'dkim', 'dmarc', 'alignment']);
    for (const { line } of Object.values(lines)) expect(line).toBe('skip');
    expect(lines.spf?.detail).toContain(detail);
  });

  test('is part of the report, whose result it does not change', async () => {
    const env = { GMAIL_USER: 'bot@unsigned.test', GMAIL_ALIASES: 'shop@ok.test, bot@gmail.com' };
    const dns = createDnsClient(LIMIT_MS, [bind.address]);
    const report = await diagnose({ smtp: 'smtp://127.0.0.1:9', env, dns });
    expect(report.checks.filter(({ id }) => id === 'spf').map(({ target }) => target)).toEqual([
      'unsigned.test',
      'ok.test',
    ]);
    expect(checkOf(report, 'spf', /unsigned/)).toMatchObject({
      status: 'warn',
      advice: expect.stringContaining('v=spf1 include:_spf.google.com ~all'),
    });
  });
});

test('reports results as unknown when the DNS server does not respond in time', async () => {
  const silent = createSocket('udp4').bind(0, '127.0.0.1');
  await once(silent, 'listening');
  const account = {
    user: 'bot@acme.test',
    from: { email: 'bot@acme.test', name: null },
    aliases: [],
    domains: [],
  };
  const dns = createDnsClient(200, [`127.0.0.1:${silent.address().port}`]);
  const checks = await checkSenderDomains([account], dns);
  silent.close();
  expect(checks.map(({ id, status }) => `${id} ${status}`)).toEqual([
    'spf skip',
    'dkim skip',
    'dmarc skip',
    'alignment skip',
  ]);
  expect(checks[0]?.detail).toBe('unknown: the DNS query failed (ETIMEOUT) for acme.test');
});

test("skips gmail.com, whose records are Google's", async () => {
  const account = {
    user: 'me@gmail.com',
    from: { email: 'me@googlemail.com', name: null },
    aliases: [],
    domains: [],
  };
  const checks = await checkSenderDomains([account], createDnsClient(LIMIT_MS));
  expect(checks).toMatchObject([{ id: 'domains', status: 'skip' }]);
});

test('checks every domain that an account may send from', async () => {
  const from = { email: 'bot@acme.test', name: null };
  const account = { user: 'bot@acme.test', from, aliases: ['me@gmail.com', 'a@b.test'], domains: ['c.test'] };
  const checks = await checkSenderDomains([account], createDnsClient(LIMIT_MS, ['127.0.0.1:9']));
  const targets = checks.filter(({ id }) => id === 'spf').map(({ target }) => target);
  expect(targets).toEqual(['acme.test', 'b.test', 'c.test']);
});
