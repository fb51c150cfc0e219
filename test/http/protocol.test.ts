import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { type AppUnderTest, CRM, CRM_SECRET, exchange, MAIL, startApp } from '../helpers/app.ts';

const BODY = JSON.stringify(MAIL);
const HEAD = `POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${CRM_SECRET}\r\nContent-Type: application/json\r\n`;
const CLOSE = 'Connection: close\r\n';

interface Raw {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Parses the first response of a server. */
function parseAnswer(text: string): Raw {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [line = '', ...fields] = head.split('\r\n');
  const headers = Object.fromEntries(
    fields.map((field) => [
      field.split(':', 1)[0]?.toLowerCase() ?? '',
      field.slice(field.indexOf(':') + 1).trim(),
    ]),
  );
  return { status: Number(line.split(' ')[1]), headers, body: rest.join('\r\n\r\n') };
}

async function ask(app: AppUnderTest, bytes: string | Buffer): Promise<Raw> {
  return parseAnswer(await exchange(await app.listen(), bytes));
}

function expectProblem(answer: Raw, status: number, code: string) {
  expect(answer.status).toBe(status);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(answer.headers['x-content-type-options']).toBe('nosniff');
  const problem = JSON.parse(answer.body);
  expect(problem).toMatchObject({
    type: `/problems/${code}`,
    status,
    code,
    retryable: expect.any(Boolean),
    errors: [],
  });
  expect(problem.request_id).toBe(answer.headers['x-request-id']);
  expect(Object.keys(problem)).toEqual(expect.arrayContaining(['title', 'detail', 'instance', 'hint']));
}

async function openSocket(url: string): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

describe('a malformed request', () => {
  test.each([
    ['both lengths', `${HEAD}Content-Length: ${BODY.length}\r\nTransfer-Encoding: chunked\r\n\r\n${BODY}`],
    ['two lengths', `${HEAD}Content-Length: ${BODY.length}\r\nContent-Length: 5\r\n\r\n${BODY}`],
    ['a length that is not a number', `${HEAD}Content-Length: ten\r\n\r\n${BODY}`],
    ['a negative length', `${HEAD}Content-Length: -1\r\n\r\n`],
    ['an invalid chunk', `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n`],
    ['another coding than chunked', `${HEAD}Transfer-Encoding: gzip\r\n\r\n${BODY}`],
    ['a space before the colon', `GET /livez HTTP/1.1\r\nHost : x\r\n\r\n`],
    ['a header without a name', 'GET /livez HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n'],
    ['a folded header', 'GET /livez HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n'],
    ['a bare line feed in a header', 'GET /livez HTTP/1.1\r\nHost: x\r\nX-A: b\nX-B: c\r\n\r\n'],
    ['a NUL in a header', 'GET /livez HTTP/1.1\r\nHost: x\r\nX-A: \0\r\n\r\n'],
    ['an unknown method', 'BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['another protocol', 'EHLO x.example\r\n'],
    ['HTTP/2 from the start', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['no Host', `GET /livez HTTP/1.1\r\n${CLOSE}\r\n`],
    ['a URL that cannot be decoded', `GET /%zz HTTP/1.1\r\nHost: x\r\n${CLOSE}\r\n`],
  ])('gets 400 for %s', async (_, bytes) => {
    await using app = await startApp();
    expectProblem(await ask(app, bytes), 400, 'invalid_json');
    expect(app.accepted).toEqual([]);
  });

  test.each([
    ['Host', 'Host: y'],
    ['Host', 'hOST: x'],
    ['Authorization', 'authorization: Bearer x'],
    ['Authorization', `Authorization: Bearer ${CRM_SECRET}`],
    ['Content-Type', 'Content-Type: text/plain'],
    ['Content-Type', 'CONTENT-TYPE: application/json'],
    ['X-API-Key', 'X-API-Key: a\r\nX-Api-Key: b'],
  ])('gets 400 that names a second %s header: %s', async (name, line) => {
    await using app = await startApp();
    const answer = await ask(app, `${HEAD}${line}\r\nContent-Length: ${BODY.length}\r\n${CLOSE}\r\n${BODY}`);
    expectProblem(answer, 400, 'invalid_json');
    expect(JSON.parse(answer.body).detail).toMatch(
      new RegExp(`^The ${name} header is repeated: send it once\\.$`, 'i'),
    );
    expect(app.accepted).toEqual([]);
  });

  test('can repeat a header that is a list', async () => {
    await using app = await startApp();
    const answer = await ask(
      app,
      `${HEAD}Prefer: a\r\nPrefer: b\r\nContent-Length: ${BODY.length}\r\n${CLOSE}\r\n${BODY}`,
    );
    expect(answer.status).toBe(202);
  });

  test.each([
    'gzip, chunked',
    'identity, chunked',
    'gzip\r\nTransfer-Encoding: chunked',
    'chunked\r\nTransfer-Encoding: chunked',
    'chunked, chunked',
    'identity',
    ',chunked',
    'xchunked',
    'chunked;q=1',
  ])('gets 400 and a closed connection for the Transfer-Encoding %j', async (coding) => {
    await using app = await startApp();
    const chunks = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;
    const answer = await ask(app, `${HEAD}Transfer-Encoding: ${coding}\r\n\r\n${chunks}`);
    expectProblem(answer, 400, 'invalid_json');
    expect(answer.headers.connection).toBe('close');
    expect(app.accepted).toEqual([]);
  });

  test('gets 400 for chunks in HTTP/1.0, while HTTP/1.1 accepts the coding in any case', async () => {
    await using app = await startApp();
    const url = await app.listen();
    const chunked = `Transfer-Encoding: cHunKed\r\n${CLOSE}\r\n${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;
    expectProblem(
      parseAnswer(await exchange(url, HEAD.replace('1.1', '1.0') + chunked)),
      400,
      'invalid_json',
    );
    expect(parseAnswer(await exchange(url, HEAD + chunked)).status).toBe(202);
  });

  test('with ambiguous framing closes the connection, so that nothing after it is read', async () => {
    await using app = await startApp();
    const hidden = `${HEAD}Content-Length: ${BODY.length}\r\n\r\n${BODY}`;
    const answers = await exchange(
      await app.listen(),
      `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${hidden}`,
    );
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400']);
    expect(app.accepted).toEqual([]);
  });

  test.each(['a, b', 'a b', 'user@host', 'a/b', 'a:b', 'a\\b', '[::1', '\xe9'])(
    'gets 400 for the Host %j',
    async (host) => {
      await using app = await startApp();
      const answer = await ask(
        app,
        Buffer.from(`GET /livez HTTP/1.1\r\nHost: ${host}\r\n${CLOSE}\r\n`, 'latin1'),
      );
      expectProblem(answer, 400, 'invalid_json');
      expect(JSON.parse(answer.body).detail).toContain('Host');
    },
  );

  test.each(['', 'x', 'mail_1.example:3000', '127.0.0.1:80', '[::1]:3000', '[fe80::1%eth0]', 'x:'])(
    'can have the Host %j',
    async (host) => {
      await using app = await startApp();
      expect((await ask(app, `GET /livez HTTP/1.1\r\nHost: ${host}\r\n${CLOSE}\r\n`)).status).toBe(200);
    },
  );

  test.each([20_000, 200_000])('gets 431 for headers of %i bytes', async (length) => {
    await using app = await startApp();
    expectProblem(
      await ask(app, `GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(length)}\r\n\r\n`),
      431,
      'headers_too_large',
    );
  });

  test('whose connection ends before its declared length is ignored', async () => {
    await using app = await startApp();
    const socket = await openSocket(await app.listen());
    socket.end(`${HEAD}Content-Length: 1000\r\n\r\n${BODY}`);
    await once(socket.resume(), 'close');
    expect(app.accepted).toEqual([]);
  });

  test('with an unknown expectation is accepted', async () => {
    await using app = await startApp();
    const answer = await ask(
      app,
      `${HEAD}Expect: the-unexpected\r\nContent-Length: ${BODY.length}\r\n${CLOSE}\r\n${BODY}`,
    );
    expect(answer.status).toBe(202);
  });
});

describe('a request that takes too long', () => {
  test.each([
    ['its headers stop', HEAD],
    ['its body stops', `${HEAD}Content-Length: 1000\r\n\r\n{"to":`],
    ['its chunks stop', `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n{"to"\r\n`],
  ])('gets 408 when %s', async (_, bytes) => {
    await using app = await startApp({ requestTimeoutMs: 200 });
    expectProblem(await ask(app, bytes), 408, 'request_timeout');
    expect(app.logs.map(({ status, code }) => [status, code])).toContainEqual([408, 'request_timeout']);
    expect(app.logs.map(({ code }) => code)).not.toContain('invalid_json');
  });

  test.each([
    [
      'whose body stops',
      HEAD.replace('/send', '/emails').concat('Content-Length: 1000\r\n\r\n{"to":'),
      408,
      'request_timeout',
    ],
    [
      'that is malformed',
      HEAD.replace('/send', '/emails').concat('Content-Length: 1\r\nContent-Length: 2\r\n\r\n'),
      400,
      'invalid_json',
    ],
  ])("to Resend's API %s gets an error of its shape", async (_, bytes, status, code) => {
    await using app = await startApp({ requestTimeoutMs: 200 });
    const answer = await ask(app, bytes);
    expect([answer.status, answer.headers['content-type']]).toEqual([
      status,
      'application/json; charset=utf-8',
    ]);
    expect(JSON.parse(answer.body)).toMatchObject({
      statusCode: status,
      name: expect.any(String),
      message: expect.any(String),
      code,
    });
  });

  test('gets 408 even if bytes keep trickling in', async () => {
    await using app = await startApp({ requestTimeoutMs: 300 });
    const socket = await openSocket(await app.listen());
    socket.write(`${HEAD}Content-Length: 100000\r\n\r\n`);
    const drip = setInterval(() => socket.write(' '), 20);
    socket.on('error', () => clearInterval(drip));
    const [first] = await once(socket, 'data');
    clearInterval(drip);
    expectProblem(parseAnswer(String(first)), 408, 'request_timeout');
    socket.destroy();
  });

  test('does not delay a request that waits for its message', async () => {
    await using app = await startApp({ requestTimeoutMs: 200 });
    const url = await app.listen();
    const slow = exchange(url, `${HEAD}Content-Length: 1000\r\n\r\n`);
    const waiting = fetch(`${url}/send`, {
      method: 'POST',
      headers: { ...CRM, 'content-type': 'application/json', prefer: 'wait=60' },
      body: BODY,
    });
    expect(parseAnswer(await slow).status).toBe(408);
    const [id = ''] = app.waiting;
    app.settle(id, { status: 'sent' });
    expect((await waiting).status).toBe(200);
  });
});

describe('a request that is too large', () => {
  test.each([
    ['declares its length', (length: number) => `Content-Length: ${length}\r\n\r\n`, (part: string) => part],
    [
      'declares no length',
      () => 'Transfer-Encoding: chunked\r\n\r\n',
      (part: string) => `${part.length.toString(16)}\r\n${part}\r\n`,
    ],
  ] as const)('gets 413 and can be sent to its end when it %s', async (_, framing, frame) => {
    await using app = await startApp({ maxMessageBytes: 1000 });
    const socket = await openSocket(await app.listen());
    const part = 'x'.repeat(64 * 1024);
    const parts = 200;
    const answered = once(socket, 'data');
    socket.write(HEAD + framing(parts * part.length));
    for (let i = 0; i < parts; i++) {
      if (!socket.write(frame(part))) await once(socket, 'drain');
    }
    const [first] = await answered;
    expectProblem(parseAnswer(String(first)), 413, 'message_too_large');
    socket.destroy();
  });
});

describe('a connection', () => {
  test('stays open after an unreadable body', async () => {
    await using app = await startApp();
    const bad = `${HEAD}Content-Length: 1\r\n\r\n{`;
    const good = `${HEAD}Content-Length: ${BODY.length}\r\n${CLOSE}\r\n${BODY}`;
    const answers = await exchange(await app.listen(), bad + good);
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400', 'HTTP/1.1 202']);
  });

  test('stays open after a refusal that left the body unread', async () => {
    await using app = await startApp();
    const refused = `POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;
    const good = `${HEAD}Content-Length: ${BODY.length}\r\n${CLOSE}\r\n${BODY}`;
    const answers = await exchange(await app.listen(), refused + good);
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 404', 'HTTP/1.1 202']);
  });
});

describe('the router', () => {
  test.each([
    ['GET', '/send', 'POST'],
    ['OPTIONS', '/send', 'POST'],
    ['DELETE', '/messages/msg_1', 'GET, HEAD, PATCH'],
    ['POST', '/livez', 'GET, HEAD'],
    ['PUT', '/openapi.yaml', 'GET, HEAD'],
    ['POST', '/problems/queue_full', 'GET, HEAD'],
  ] as const)('returns 405 for %s %s and names the allowed methods', async (method, url, allow) => {
    await using app = await startApp();
    const answer = await app.inject({ method, url, headers: CRM });
    expect([answer.statusCode, answer.json().code, answer.headers.allow]).toEqual([
      405,
      'method_not_allowed',
      allow,
    ]);
  });

  test.each([
    '/',
    '/nowhere',
    '/SEND',
    '/message',
    '/docs/static/none.js',
    '/docs/static/../../package.json',
    '/docs/static/%2e%2e%2fpackage.json',
  ])('returns 404 for GET %s', async (url) => {
    await using app = await startApp();
    const answer = await ask(app, `GET ${url} HTTP/1.1\r\nHost: x\r\n${CLOSE}\r\n`);
    expectProblem(answer, 404, 'not_found');
  });

  test('refuses an unknown route before the body is read', async () => {
    await using app = await startApp();
    const answer = await app.inject({
      method: 'POST',
      url: '/nowhere',
      headers: { 'content-type': 'application/json' },
      body: '{ not JSON',
    });
    expect(answer.statusCode).toBe(404);
  });

  test('responds to HEAD like GET, without the body', async () => {
    await using app = await startApp();
    for (const url of ['/livez', '/openapi.yaml', '/problems/queue_full', '/messages/none']) {
      const get = await app.inject({ method: 'GET', url, headers: CRM });
      const head = await app.inject({ method: 'HEAD', url, headers: CRM });
      expect([head.statusCode, head.headers['content-type'], head.body]).toEqual([
        get.statusCode,
        get.headers['content-type'],
        '',
      ]);
    }
  });

  test('sends no CORS headers, so that other sites cannot read responses', async () => {
    await using app = await startApp();
    const answer = await app.inject({
      method: 'OPTIONS',
      url: '/send',
      headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
    });
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
  });
});
