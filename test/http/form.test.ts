import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type AppUnderTest, CRM, CRM_SECRET, exchange, MAIL, startApp } from '../helpers/app.ts';

const BOUNDARY = 'outtray-test-boundary';
const TYPE = `multipart/form-data; boundary=${BOUNDARY}`;
const JSON_PART = part('name="message"', JSON.stringify(MAIL), 'Content-Type: application/json');
const PDF = Buffer.from([0x25, 0x50, 0x44, 0x46, 0x00, 0x0d, 0x0a, 0x2d, 0x2d, 0xff]);

function part(disposition: string, content: string | Buffer, ...headers: string[]): Buffer {
  const head = [`Content-Disposition: form-data; ${disposition}`, ...headers].join('\r\n');
  return raw(head, content);
}

function raw(head: string, content: string | Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`--${BOUNDARY}\r\n${head}\r\n\r\n`),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ]);
}

const form = (...parts: Buffer[]) => Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)]);
const formOf = (message: object, ...parts: Buffer[]) =>
  form(part('name="message"', JSON.stringify(message)), ...parts);
const aFile = (name: string, content: string | Buffer = 'file', ...headers: string[]) =>
  part(`name="attachments"; filename="${name}"`, content, ...headers);

function post(app: AppUnderTest, body: Buffer, headers: Record<string, string> = {}) {
  return app.inject({
    method: 'POST',
    url: '/send',
    headers: { ...CRM, 'content-type': TYPE, ...headers },
    body,
  });
}

const filesOf = (app: AppUnderTest) => app.accepted[0]?.draft.content.attachments;

describe('POST /send as a form', () => {
  test('attaches each file with its bytes, name and type', async () => {
    await using app = await startApp();
    const answer = await post(
      app,
      form(
        JSON_PART,
        aFile('invoice.pdf', PDF, 'Content-Type: application/pdf'),
        part('name="any"; filename="data.csv"', 'a;b', 'Content-Type: text/csv; charset=iso-8859-1'),
        aFile('unknown.bin', '', 'Content-Type: application/octet-stream'),
      ),
    );
    expect(answer.statusCode).toBe(202);
    expect(app.accepted[0]?.draft.envelope).toMatchObject({
      subject: 'Hello',
      to: [{ email: 'ada@example.com' }],
    });
    expect(filesOf(app)).toEqual([
      {
        filename: 'invoice.pdf',
        content: new Uint8Array(PDF),
        contentType: 'application/pdf',
        contentId: null,
      },
      {
        filename: 'data.csv',
        content: new Uint8Array(Buffer.from('a;b')),
        contentType: 'text/csv; charset=iso-8859-1',
        contentId: null,
      },
      { filename: 'unknown.bin', content: new Uint8Array(), contentType: null, contentId: null },
    ]);
  });

  test('accepts what FormData of fetch sends, with the message after the files', async () => {
    await using app = await startApp();
    const url = await app.listen();
    const body = new FormData();
    body.append('attachments', new File([PDF], 'Grüße "2".pdf', { type: 'application/pdf' }));
    body.append('message', JSON.stringify(MAIL));
    const response = await fetch(`${url}/send`, { method: 'POST', headers: CRM, body });
    expect(response.status).toBe(202);
    expect(filesOf(app)).toMatchObject([{ filename: 'Grüße %222%22.pdf', content: new Uint8Array(PDF) }]);
  });

  test('adds files after the attachments of the JSON, and makes a part named cid: an inline image', async () => {
    await using app = await startApp();
    const message = {
      ...MAIL,
      html: '<img src="cid:logo">',
      attachments: [{ filename: 'first.txt', content: 'MQ==' }],
    };
    const logo = part('name="cid:logo"; filename="logo.png"', 'png', 'Content-Type: image/png');
    expect((await post(app, formOf(message, logo))).statusCode).toBe(202);
    expect(filesOf(app)).toMatchObject([
      { filename: 'first.txt', contentId: null },
      { filename: 'logo.png', contentId: 'logo' },
    ]);
  });

  test.each([
    ['filename="na\u00efve \u6771\u4eac.txt"', 'naïve 東京.txt'],
    [`filename="naive.txt"; filename*=UTF-8''na%C3%AFve.txt`, 'naïve.txt'],
    [`filename="kept.txt"; filename*=UTF-8''%E9.txt`, 'kept.txt'],
    ['filename="a\\"b.txt"', 'a"b.txt'],
    ['filename=plain.txt', 'plain.txt'],
    ['FileName="case.txt"', 'case.txt'],
  ])('reads the file name in %s', async (disposition, filename) => {
    await using app = await startApp();
    const answer = await post(app, form(JSON_PART, part(`name="f"; ${disposition}`, 'x')));
    expect(answer.statusCode).toBe(202);
    expect(filesOf(app)).toMatchObject([{ filename }]);
  });

  test('ignores a file input that was left empty', async () => {
    await using app = await startApp();
    const empty = part('name="file"; filename=""', '', 'Content-Type: application/octet-stream');
    expect((await post(app, form(JSON_PART, empty))).statusCode).toBe(202);
    expect(filesOf(app)).toEqual([]);
  });

  test('reads a large message and a large file that arrive in small chunks', async () => {
    await using app = await startApp();
    const url = await app.listen();
    const text = 'Zwölf Boxkämpfer 🥊 '.repeat(20_000);
    const file = Buffer.alloc(1_000_000, '\r\n--outtray-test');
    const body = formOf({ ...MAIL, text }, aFile('large.bin', file));
    const head = `POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${CRM_SECRET}\r\nContent-Type: ${TYPE}\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`;
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.write(head);
    for (let i = 0; i < body.length; i += 10_007) socket.write(body.subarray(i, i + 10_007));
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 202 /);
    expect(app.accepted[0]?.draft.content.text).toEqual(new TextEncoder().encode(text));
    expect(Buffer.compare(filesOf(app)?.[0]?.content ?? Buffer.alloc(0), file)).toBe(0);
  });

  test('with an Idempotency-Key, is the same request as its JSON, and another with other bytes', async () => {
    await using app = await startApp();
    const key = { 'idempotency-key': 'invoice-42' };
    const first = await post(app, form(JSON_PART, aFile('a.bin', PDF)), key);
    const attachments = [{ filename: 'a.bin', content: PDF.toString('base64') }];
    const asJson = await app.send({ ...MAIL, attachments }, key);
    const other = await post(app, form(JSON_PART, aFile('a.bin', 'other')), key);
    expect([first.statusCode, asJson.headers['idempotency-replayed'], other.json().code]).toEqual([
      202,
      'true',
      'idempotency_key_reused',
    ]);
    expect(app.accepted).toHaveLength(1);
  });
});

describe('a form is refused', () => {
  test.each([
    ['without the part message', form(aFile('a.txt')), 'part:message', 'required'],
    ['with two messages', form(JSON_PART, JSON_PART), 'part:message', 'conflict'],
    ['with an unknown field', form(JSON_PART, part('name="subject"', 'Hi')), 'part:subject', 'unknown_field'],
    ['with a part without a name', form(JSON_PART, part('filename="a.txt"', 'x')), 'part:', 'unknown_field'],
    ['with a part without headers', form(JSON_PART, raw('', 'x')), 'part:', 'unknown_field'],
    [
      'with an encoded file',
      form(JSON_PART, aFile('a.txt', 'eA==', 'Content-Transfer-Encoding: base64')),
      'part:attachments',
      'invalid_value',
    ],
    [
      'with a path as a file name',
      form(JSON_PART, aFile('../a.txt')),
      '/attachments/0/filename',
      'invalid_filename',
    ],
    ['with a control character', form(JSON_PART, aFile('a\u0007.txt')), '/attachments/0/filename', undefined],
    ['with a NUL', form(JSON_PART, aFile('a\0.txt')), '/attachments/0/filename', undefined],
    [
      'with a multipart as a file',
      form(JSON_PART, aFile('a', 'x', 'Content-Type: multipart/mixed; boundary=y')),
      '/attachments/0/content_type',
      undefined,
    ],
    ['with an invalid message', formOf({ ...MAIL, to: 'ada' }), '/to', undefined],
    ['with a message that is no object', form(part('name="message"', '42')), '', 'invalid_type'],
    [
      'with attachments that are no list',
      formOf({ ...MAIL, attachments: 42 }, aFile('a.txt')),
      '/attachments',
      undefined,
    ],
    [
      'with 101 files',
      form(JSON_PART, ...Array.from({ length: 101 }, () => aFile('a.txt'))),
      '/attachments',
      'too_many',
    ],
  ])('%s', async (_, body, pointer, code) => {
    await using app = await startApp();
    const answer = await post(app, body);
    expect(answer.json()).toMatchObject({
      status: 422,
      code: 'validation_failed',
      errors: [{ pointer, ...(code && { code }) }],
    });
    expect(app.accepted).toEqual([]);
  });

  test('with a blocked file, as in JSON', async () => {
    await using app = await startApp();
    expect((await post(app, form(JSON_PART, aFile('setup.exe')))).json().code).toBe('attachment_blocked');
  });

  test.each([
    ['if it ends early', form(JSON_PART).subarray(0, -10), TYPE, /ends before its last boundary/],
    ['if it is empty', Buffer.from(''), TYPE, /ends before its last boundary/],
    ['with another boundary', form(JSON_PART), 'multipart/form-data; boundary=other', /ends before/],
    ['without a boundary', form(JSON_PART), 'multipart/form-data', /has no boundary/],
    ['with 201 parts', form(...Array.from({ length: 201 }, () => aFile('a'))), TYPE, /more than 200 parts/],
    ['with malformed JSON', form(part('name="message"', '{')), TYPE, /JSON/],
  ])('as malformed %s', async (_, body, type, detail) => {
    await using app = await startApp();
    const answer = await post(app, body, { 'content-type': type });
    expect(answer.json()).toMatchObject({
      status: 400,
      code: 'invalid_json',
      detail: expect.stringMatching(detail),
    });
  });

  test.each([{ origin: 'https://evil.example' }, { origin: 'null' }, { 'sec-fetch-site': 'cross-site' }])(
    'from a page of another site: %j',
    async (headers) => {
      await using app = await startApp();
      const answer = await post(app, form(JSON_PART), { host: 'mail.example.com', ...headers });
      expect(answer.json()).toMatchObject({ status: 403, code: 'cross_site_request' });
      expect(app.accepted).toEqual([]);
    },
  );

  test.each([
    { origin: 'https://mail.example.com', 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none' },
  ])('but not from a page of the service itself: %j', async (headers) => {
    await using app = await startApp();
    const answer = await post(app, form(JSON_PART), { host: 'mail.example.com', ...headers });
    expect(answer.statusCode).toBe(202);
  });

  test('with a header that never ends a quote, without delay', async () => {
    await using app = await startApp();
    const startedAt = performance.now();
    const answer = await post(app, form(JSON_PART, part('x="'.padEnd(70_000, ';x="'), 'x')));
    expect(answer.json()).toMatchObject({ errors: [{ code: 'unknown_field' }] });
    expect(performance.now() - startedAt).toBeLessThan(500);
  });

  test('without an API key, before its parts are read', async () => {
    await using app = await startApp();
    const answer = await app.inject({
      method: 'POST',
      url: '/send',
      headers: { 'content-type': TYPE },
      body: 'x',
    });
    expect(answer.json().code).toBe('missing_api_key');
  });
});

describe('the bytes of a form', () => {
  const SMALL = { maxMessageBytes: 1, freeBytes: () => 0 };
  const MIB = 1024 * 1024;

  test.each([
    ['of its files', form(JSON_PART, aFile('large.bin', Buffer.alloc(MIB + 1)))],
    ['after its last boundary', Buffer.concat([form(JSON_PART), Buffer.alloc(MIB + 1)])],
  ])('%s have the limit of a body, with and without a declared length', async (_, body) => {
    await using app = await startApp(SMALL);
    const url = await app.listen();
    expect((await post(app, body)).json()).toMatchObject({ status: 413, code: 'message_too_large' });
    const head = `POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${CRM_SECRET}\r\nContent-Type: ${TYPE}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const chunk = `${body.length.toString(16)}\r\n${body.toString('latin1')}\r\n0\r\n\r\n`;
    expect(await exchange(url, head + chunk)).toMatch(/^HTTP\/1\.1 413 /);
  });

  test('count while they arrive, and no longer after the client has left', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    const body = form(JSON_PART, aFile('large.bin', Buffer.alloc(MIB - 1000)));
    const { port } = app.app.server.address() as AddressInfo;
    const socket = connect(port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.write(
      `POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${CRM_SECRET}\r\nContent-Type: ${TYPE}\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    socket.write(body.subarray(0, -10));
    await vi.waitFor(async () => expect((await post(app, body)).json().code).toBe('queue_full'));
    socket.destroy();
    await vi.waitFor(async () => expect((await post(app, body)).statusCode).toBe(202));
  });
});
