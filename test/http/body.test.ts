import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJson } from '../../src/http/request/body/strict-json.ts';
import { CRM, MAIL, startApp } from '../helpers/app.ts';
import { cpuTimeOf } from '../helpers/cpu-time.ts';

const parse = (text: string) => parseJson(Buffer.from(text));
const nested = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;

const toQuoted = (key: string) => JSON.stringify(key);
const toEscaped = (key: string) =>
  `"${key.replace(/./gs, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)}"`;

describe('the JSON of a body', () => {
  test('is parsed like JSON.parse does', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 20 }), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        fc.pre(!/"__proto__"|"constructor"/.test(text));
        expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  test('is refused when a key is repeated at any depth and in any spelling', () => {
    const object = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }), { minKeys: 1, maxKeys: 5 });
    fc.assert(
      fc.property(object, fc.nat(), fc.constantFrom(toQuoted, toEscaped), (map, pick, write) => {
        fc.pre(!/"__proto__"|"constructor"/.test(JSON.stringify(map)));
        const keys = Object.keys(map);
        const again = write(keys[pick % keys.length] ?? '');
        expect(() => parse(`{"outer":[${JSON.stringify(map).slice(0, -1)},${again} : 1}]}`)).toThrow(
          'is repeated in an object',
        );
      }),
    );
  });

  test.each([
    ['{"to":1,"to":2}', '"to"'],
    ['{"a":{"b":[{"c":1,"\\u0063":2}]}}', '"c"'],
    ['{"":1,"":2}', '""'],
    ['{"a\\"b":1,"a\\"b":2}', '"a\\"b"'],
    ['{"1":1,"1":2}', '"1"'],
  ])('names the repeated key in %s', (text, key) => {
    expect(() => parse(text)).toThrow(`The key ${key} is repeated in an object`);
  });

  test('can repeat a key in different objects, and contain colons and quotes in strings', () => {
    const value = { a: [{ k: 1 }, { k: ':{"k":1,"k":2}' }], b: { k: '\\', c: '\\"' }, 'k:"': [] };
    expect(parse(JSON.stringify(value))).toEqual(value);
  });

  test.each([
    '',
    ' ',
    '{',
    '{"a":}',
    '{"a":1,}',
    "{'a':1}",
    '{a:1}',
    '{"a":1}x',
    '{"a":"\n"}',
    '{"a":"',
    '"\\',
    '\ufeff',
    '\ufeff\ufeff{}',
    'NaN',
    '[}',
  ])('refuses %j', (text) => {
    expect(() => parse(text)).toThrow(/^The body is (not valid JSON|empty)/);
  });

  test('can begin with a UTF-8 byte order mark', () => {
    expect(parse('\ufeff{"to":"\ufeff"}')).toEqual({ to: '\ufeff' });
  });

  test.each([
    ['with a byte order mark', Buffer.from('\ufeff{}', 'utf16le')],
    ['with a byte order mark, big-endian', Buffer.from('\ufeff{}', 'utf16le').swap16()],
    ['without a byte order mark', Buffer.from('{}', 'utf16le')],
  ])('is refused as UTF-16 %s', (_, bytes) => {
    expect(() => parseJson(bytes)).toThrow('The body is encoded as UTF-16: encode it as UTF-8.');
  });

  test('reports the position of a syntax error without quoting the body', () => {
    expect(() => parse('{\n  "secret-word": 1,,\n}')).toThrow(
      'The body is not valid JSON, at line 2 column 20.',
    );
    expect(() => parse('secret-word')).toThrow('The body is not valid JSON.');
  });

  test.each([
    ['a stray byte', Buffer.from([0x22, 0xff, 0x22])],
    ['an overlong form', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
    ['a surrogate', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['half a character', Buffer.from([0x22, 0xc3])],
    ['UTF-16', Buffer.from('{}', 'utf16le').subarray(0, 3)],
    ['Latin-1', Buffer.from('"é"', 'latin1')],
  ])('is refused with %s, which is invalid UTF-8', (_, bytes) => {
    expect(() => parseJson(bytes)).toThrow(/UTF-8|not valid JSON/);
  });

  test('can be nested 32 levels deep, and no deeper', () => {
    expect(() => parse(nested(32))).not.toThrow();
    expect(() => parse(nested(33))).toThrow('nested deeper than 32 levels');
    expect(() => parse(nested(100_000))).toThrow('nested deeper than 32 levels');
    expect(() => parse('{"a":'.repeat(100_000))).toThrow('nested deeper than 32 levels');
  });

  test('is refused with too many values', () => {
    expect(() => parse(`[${'0,'.repeat(1_000_000)}0]`)).toThrow('far more values');
  });

  test.each([
    '{"__proto__":{"admin":true}}',
    '{"tags":{"__proto__":1}}',
    '{"\\u005f_proto__":1}',
    '{"constructor":{"prototype":{}}}',
    '[{"constructor":{"prototype":1}}]',
  ])('is refused if it sets a prototype, as in %s', (text) => {
    expect(() => parse(text)).toThrow('is not allowed');
  });

  test('can use the word constructor otherwise', () => {
    expect(parse('{"constructor":"x","prototype":{}}')).toEqual({ constructor: 'x', prototype: {} });
  });

  test('takes CPU time linear in its length, even when it is crafted to take more', () => {
    const length = 4_000_000;
    const shapes = [
      JSON.stringify({ content: 'A'.repeat(length) }),
      JSON.stringify({ content: '\\'.repeat(length / 2) }),
      JSON.stringify({ content: '"'.repeat(length / 2) }),
      `{"content":"${'\\'.repeat(length - 1)}`,
    ];
    for (const shape of shapes) {
      const bytes = Buffer.from(shape);
      const tookMs = cpuTimeOf(() => {
        try {
          parseJson(bytes);
        } catch {}
      });
      expect(tookMs).toBeLessThan(2000);
    }
  });
});

describe('POST /send', () => {
  test('returns 400 for an unreadable body', async () => {
    await using app = await startApp();
    for (const body of [
      '{',
      '',
      '{"to":1,"to":2}',
      nested(100_000),
      '{"__proto__":1}',
      Buffer.from('{"to":"\xe9"}', 'latin1'),
    ]) {
      const answer = await app.send(body);
      expect(answer.statusCode).toBe(400);
      expect(answer.json().code).toBe('invalid_json');
    }
  });

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/json-patch+json',
    'text/json',
    'application/jsonx',
    'json',
    ',',
    '',
  ])('returns 415 for the media type %j', async (type) => {
    await using app = await startApp();
    const answer = await app.send(MAIL, { 'content-type': type });
    expect(answer.statusCode).toBe(415);
    expect(answer.json().code).toBe('unsupported_media_type');
    expect(app.accepted).toEqual([]);
  });

  test.each([
    ['text/plain', 'The Content-Type is `text/plain`; only `application/json` is accepted.'],
    [
      'text/json; charset=utf-8',
      'The Content-Type is `text/json; charset=utf-8`; only `application/json` is accepted.',
    ],
    [
      'application/vnd.api+json',
      'The Content-Type is `application/vnd.api+json`; only `application/json` is accepted.',
    ],
    [
      'application/x-www-form-urlencoded',
      "The Content-Type is `application/x-www-form-urlencoded`; only `application/json` is accepted. With curl, add `-H 'Content-Type: application/json'` or use `--json` instead of `-d`.",
    ],
    [
      'Multipart/Form-Data; boundary=x',
      'The Content-Type is `Multipart/Form-Data; boundary=x`; only `application/json` is accepted. Send files as base64 in `attachments`.',
    ],
    [
      `text/${'x'.repeat(300)}`,
      `The Content-Type is \`text/${'x'.repeat(94)}…\`; only \`application/json\` is accepted.`,
    ],
    ['text/\u00e9`<b>', 'The Content-Type is `text/??<b>`; only `application/json` is accepted.'],
    ['', 'The Content-Type header is missing; it must be `application/json`.'],
  ])('names the received media type %j on every route with a body', async (type, detail) => {
    await using app = await startApp();
    for (const [method, url] of [
      ['POST', '/send/batch'],
      ['PATCH', '/messages/msg_1'],
      ['PUT', '/suppressions/ada@example.com'],
    ] as const) {
      const answer = await app.inject({
        method,
        url,
        headers: { ...CRM, 'content-type': type },
        body: JSON.stringify(MAIL),
      });
      expect(answer.json()).toMatchObject({ status: 415, code: 'unsupported_media_type', detail });
    }
  });

  test.each([
    [
      'text/plain',
      'The Content-Type is `text/plain`; only `application/json` or `multipart/form-data` is accepted.',
    ],
    ['', 'The Content-Type header is missing; it must be `application/json` or `multipart/form-data`.'],
  ])('names forms for the media type %j on POST /send, which accepts them', async (type, detail) => {
    await using app = await startApp();
    const answer = await app.send(MAIL, { 'content-type': type });
    expect(answer.json()).toMatchObject({ status: 415, code: 'unsupported_media_type', detail });
  });

  test('names the content encoding on every route with a body', async () => {
    await using app = await startApp();
    const headers = { ...CRM, 'content-type': 'application/json', 'content-encoding': 'gzip' };
    for (const [method, url, accepted] of [
      ['POST', '/send', 'JSON or an uncompressed form'],
      ['PATCH', '/messages/msg_1', 'JSON'],
      ['PUT', '/suppressions/ada@example.com', 'JSON'],
      ['POST', '/templates/invoice/preview', 'JSON'],
    ] as const) {
      const answer = await app.inject({ method, url, headers, body: gzipSync('{}') });
      expect(answer.json()).toMatchObject({
        status: 415,
        detail: `The Content-Encoding is \`gzip\`; only uncompressed ${accepted} is accepted.`,
      });
    }
  });

  test('returns 415 for a body without a media type, and for no body', async () => {
    await using app = await startApp();
    for (const body of [JSON.stringify(MAIL), undefined]) {
      const answer = await app.inject({ method: 'POST', url: '/send', headers: CRM, ...(body && { body }) });
      expect(answer.statusCode).toBe(415);
    }
  });

  test.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset=UTF-8'])(
    'accepts the media type %s',
    async (type) => {
      await using app = await startApp();
      expect((await app.send(MAIL, { 'content-type': type })).statusCode).toBe(202);
    },
  );

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ] as const)('does not inflate a body in %s', async (encoding, compress) => {
    await using app = await startApp();
    const answer = await app.send(compress(JSON.stringify(MAIL)), { 'content-encoding': encoding });
    expect(answer.statusCode).toBe(415);
    expect((await app.send(MAIL, { 'content-encoding': 'identity' })).statusCode).toBe(202);
  });

  test('returns 413 for a body larger than any message', async () => {
    await using app = await startApp({ maxMessageBytes: 1000 });
    const answer = await app.send({ ...MAIL, text: 'x'.repeat(1024 * 1024 + 1000) });
    expect(answer.statusCode).toBe(413);
    expect(answer.json().code).toBe('message_too_large');
    expect((await app.send({ ...MAIL, text: 'x'.repeat(1024 * 1024) })).statusCode).toBe(202);
  });
});
