import { describe, expect, test } from 'vitest';
import { parseAuthenticationResults } from '../../src/core/inbound/authentication-results.ts';

/** The results as `method=result`, with the properties of each. */
function read(body: string) {
  const parsed = parseAuthenticationResults(body);
  return (
    parsed && {
      id: parsed.authservId,
      results: parsed.results?.map(({ method, result, properties }) => [
        `${method}=${result}`,
        Object.fromEntries(properties),
      ]),
    }
  );
}

describe('parses', () => {
  test("Gmail's results, with comments and an empty envelope sender", () => {
    const body =
      'mx.google.com;       spf=pass (google.com: best guess record for domain of postmaster@mail.google.com designates 2607:f8b0::247 as permitted sender) smtp.mailfrom=;       dkim=pass header.i=@googlemail.com header.s=20161025 header.b=PqBP51+l;       dmarc=pass (p=QUARANTINE sp=QUARANTINE dis=NONE) header.from=googlemail.com';
    expect(read(body)).toEqual({
      id: 'mx.google.com',
      results: [
        ['spf=pass', { 'smtp.mailfrom': '' }],
        ['dkim=pass', { 'header.i': '@googlemail.com', 'header.s': '20161025', 'header.b': 'PqBP51+l' }],
        ['dmarc=pass', { 'header.from': 'googlemail.com' }],
      ],
    });
  });

  test.each([
    ['example.com 1; none', []],
    ['example.com', []],
    [
      '"example.com" ; spf/1 = Fail smtp.mailfrom = "a b"@example.net',
      [['spf=fail', { 'smtp.mailfrom': 'a b@example.net' }]],
    ],
    [
      'example.com; dkim=fail reason="bad; signature" header.d=example.net',
      [['dkim=fail', { 'header.d': 'example.net' }]],
    ],
    [
      'example.com; dkim=pass header.d=a.example header.d=b.example',
      [['dkim=pass', { 'header.d': 'a.example' }]],
    ],
    ['example.com (a (nested) \\) comment); auth=pass', [['auth=pass', {}]]],
  ])('%s', (body, results) => {
    expect(read(body)).toEqual({ id: 'example.com', results });
  });

  test('nothing that a comment or a quoted text contains', () => {
    const body =
      'mx.google.com; spf=none (google.com: x; dmarc=pass header.from=googlemail.com) smtp.mailfrom="a; dmarc=pass header.from=b"@evil.example';
    expect(read(body)?.results).toEqual([
      ['spf=none', { 'smtp.mailfrom': 'a; dmarc=pass header.from=b@evil.example' }],
    ]);
  });
});

test.each([
  '',
  ';',
  'spf=none (sender IP is ) smtp.mailfrom=<>;',
  'mx.google.com dmarc=pass header.from=googlemail.com',
])('returns null for %s, which names no server', (body) => {
  expect(parseAuthenticationResults(body)).toBeNull();
});

test.each([
  'mx.google.com; dmarc',
  'mx.google.com; dmarc=pass (p=NONE header.from=googlemail.com',
  'mx.google.com; dmarc=pass) header.from=googlemail.com',
  'MX.google.com 1; dmarc=pass header.from="googlemail.com',
  'mx.google.com; dmarc=pass header.from=evil.example googlemail.com',
  'mx.google.com; dmarc=pass from=googlemail.com',
  'mx.google.com; =pass',
  `mx.google.com; ${'a=b; '.repeat(10_000)}`,
])('refuses the results in %.70s', (body) => {
  expect(parseAuthenticationResults(body)).toEqual({ authservId: 'mx.google.com', results: null });
});
