import { describe, expect, test } from 'vitest';
import { BlockedUrlError, createSsrfFilter, rangeOf } from '../../src/adapters/webhook/ssrf-filter.ts';

const PUBLIC = [
  '8.8.8.8',
  '93.184.215.14',
  '100.63.255.255',
  '172.15.255.255',
  '172.32.0.1',
  '198.17.255.255',
  '2606:4700::1111',
  '2a00:1450::1',
];

const NOT_PUBLIC: Readonly<Record<string, readonly string[]>> = {
  unspecified: ['0.0.0.0', '0.1.2.3', '::', '::ffff:0.0.0.0'],
  loopback: [
    '127.0.0.1',
    '127.255.255.254',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '64:ff9b::127.0.0.1',
    '64:ff9b::7f00:1',
  ],
  private: ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '::ffff:10.0.0.1', '64:ff9b::a00:1'],
  linkLocal: ['169.254.169.254', 'fe80::1', 'febf::1', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe'],
  carrierGradeNat: ['100.64.0.1', '100.100.100.200', '100.127.255.255', '::ffff:100.64.0.1'],
  multicast: ['224.0.0.1', '239.255.255.255', 'ff02::1', 'ff0e::1'],
  broadcast: ['255.255.255.255'],
  metadata: ['168.63.129.16', '::ffff:168.63.129.16', '64:ff9b::a83f:8110'],
  uniqueLocal: ['fc00::1', 'fd00:ec2::254', 'fdff:ffff::1'],
  deprecatedSiteLocal: ['fec0::1'],
  reserved: [
    ...[
      '192.0.0.1',
      '192.0.0.192',
      '192.0.2.1',
      '192.88.99.1',
      '198.18.0.1',
      '198.51.100.1',
      '203.0.113.1',
      '240.0.0.1',
    ],
    ...['2001:db8::1', '3fff::1', '4000::1', '200::1', '64:ff9a::1', '64:ff9b:0:1::1', '100:0:0:1::1', '::2'],
    ...['::127.0.0.1', '::7f00:1', '::8.8.8.8', '::808:808', '::fffe:127.0.0.1'],
  ],
  rfc6052: ['64:ff9b:1::7f00:1', '64:ff9b:1::8.8.8.8'],
  rfc6145: ['::ffff:0:127.0.0.1', '::ffff:0:8.8.8.8'],
  '6to4': ['2002:7f00:1::', '2002:a00:1::1', '2002:808:808::1'],
  teredo: ['2001:0:4136:e378:8000:63bf:3fff:fdd2', '2001::1'],
  discard: ['100::1'],
  benchmarking: ['2001:2::1'],
  orchid2: ['2001:20::1'],
  segmentRouting: ['5f00::1'],
  unreadable: ['fe80::1%eth0', 'localhost', '', '1.2.3', '2606:4700::1111%1'],
};

describe('an address', () => {
  test.each(PUBLIC)('%s is public', (address) => {
    expect(rangeOf(address)).toBe('unicast');
  });

  test.each(['::ffff:8.8.8.8', '::ffff:808:808', '64:ff9b::8.8.8.8', '64:ff9b::808:808'])(
    '%s is public, because it maps to 8.8.8.8',
    (address) => {
      expect(rangeOf(address)).toBe('unicast');
    },
  );

  test.each(
    Object.entries(NOT_PUBLIC).flatMap(([range, addresses]) =>
      addresses.map((address) => [address, range] as const),
    ),
  )('"%s" is not public: %s', (address, range) => {
    expect(rangeOf(address)).toBe(range);
  });
});

describe('a URL', () => {
  const filter = createSsrfFilter(['crm.internal', '10.0.0.9', 'fd00::9'], async () => []);
  const check = (url: string) => () => filter.check(new URL(url));

  test.each([
    'https://127.0.0.1/',
    'https://127.1/',
    'https://0x7f.1/',
    'https://0x7f000001/',
    'https://2130706433/',
    'https://017700000001/',
    'https://127.0.0.1./',
    'https://①②⑦.⓪.⓪.①/',
    'https://%31%32%37.0.0.1/',
    'https://0/',
    'https://[::1]/',
    'https://[::]/',
    'https://[::127.0.0.1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[0:0:0:0:0:ffff:7f00:0001]/',
    'https://[64:ff9b::169.254.169.254]/',
    'https://[2002:7f00:1::]/',
    'https://169.254.169.254/latest/meta-data/',
    'https://10.0.0.8/',
  ])('%s is rejected without a lookup', (url) => {
    expect(check(url)).toThrow(BlockedUrlError);
    expect(check(url)).toThrow(/not a public address/);
  });

  test.each([
    'https://crm.example.com/',
    'https://8.8.8.8/',
    'https://[2606:4700::1111]/',
    'https://localhost/',
  ])('%s passes the check before the lookup', (url) => {
    expect(check(url)).not.toThrow();
  });

  test.each(['http://crm.example.com/', 'http://8.8.8.8/', 'http://sub.crm.internal/', 'http://10.0.0.8/'])(
    '%s is rejected, because it uses http and its host is not in the allowed list',
    (url) => {
      expect(check(url)).toThrow('only be called over https');
    },
  );

  test.each([
    'http://crm.internal/',
    'https://CRM.internal:8443/',
    'http://10.0.0.9:8080/',
    'http://[fd00::9]/',
  ])('%s passes, because its host is in the allowed list', (url) => {
    expect(check(url)).not.toThrow();
  });

  test('an error contains neither the path nor the query of the URL', () => {
    expect(check('https://127.0.0.1/path-secret?token=query-secret')).not.toThrow(/secret/);
  });
});

describe('a host name', () => {
  const publicOne = { address: '93.184.215.14', family: 4 };
  const privateOne = { address: '10.0.0.1', family: 4 };

  /** Resolves a host as a connection does. */
  function lookUp(
    host: string,
    resolve: Parameters<typeof createSsrfFilter>[1],
    allowed: string[] = [],
  ): Promise<unknown> {
    return new Promise((done, fail) => {
      createSsrfFilter(allowed, resolve).lookup(host, { all: true }, (error, addresses) =>
        error ? fail(error) : done(addresses),
      );
    });
  }

  test('resolves to the addresses that were checked, with one lookup', async () => {
    const results = [[publicOne], [privateOne]];
    let lookups = 0;
    const resolve = async () => results[lookups++] ?? [];
    expect(await lookUp('rebinding.test', resolve)).toEqual([publicOne]);
    expect(lookups).toBe(1);
    await expect(lookUp('rebinding.test', resolve)).rejects.toThrow(
      'rebinding.test resolves to 10.0.0.1, which is not a public address (private)',
    );
  });

  test.each([
    ['first', [privateOne, publicOne]],
    ['last', [publicOne, { address: '::ffff:10.0.0.1', family: 6 }]],
  ])('is rejected if the %s of its addresses is not public', async (_which, addresses) => {
    await expect(lookUp('both.test', async () => addresses)).rejects.toThrow(BlockedUrlError);
  });

  test('is looked up once for concurrent connections, and again for a later one', async () => {
    const lookups: PromiseWithResolvers<[typeof publicOne]>[] = [];
    const filter = createSsrfFilter([], () => {
      const lookup = Promise.withResolvers<[typeof publicOne]>();
      lookups.push(lookup);
      return lookup.promise;
    });
    const connect = () =>
      new Promise((done) =>
        filter.lookup('slow.test', { all: true }, (_error, addresses) => done(addresses)),
      );
    const both = [connect(), connect()];
    expect(lookups).toHaveLength(1);
    lookups[0]?.resolve([publicOne]);
    expect(await Promise.all(both)).toEqual([[publicOne], [publicOne]]);
    const later = connect();
    expect(lookups).toHaveLength(2);
    lookups[1]?.resolve([publicOne]);
    await later;
  });

  test('resolves to any address if it is in the allowed list', async () => {
    expect(await lookUp('crm.internal', async () => [privateOne], ['crm.internal'])).toEqual([privateOne]);
  });

  test('that is unknown fails with the error of DNS', async () => {
    const unknown = Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' });
    await expect(lookUp('unknown.test', () => Promise.reject(unknown))).rejects.toBe(unknown);
  });
});
