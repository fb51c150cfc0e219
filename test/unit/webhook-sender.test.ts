import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { Webhook } from 'standardwebhooks';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createWebhookSender, type WebhookSenderOptions } from '../../src/adapters/webhook/webhook-sender.ts';
import type { WebhookResult } from '../../src/core/ports/webhook-sender.ts';
import { createCertificates } from '../../src/simulator/tls/certificate.ts';
import { aTrace } from '../helpers/delivery.ts';
import { type EndpointOptions, startEndpoint, startRawEndpoint } from '../helpers/endpoint.ts';
import { openBlackHolePort } from '../helpers/smtp/black-hole-port.ts';

const SECRET = randomBytes(32);
const HOST = 'crm.test';
const LOOPBACK = [{ address: '127.0.0.1', family: 4 }];
const certificates = createCertificates([HOST]);
setDefaultCACertificates([...getCACertificates(), certificates.trusted.ca]);

/** Creates a sender that may call crm.test, which resolves to this machine. */
function aSender(options: Partial<WebhookSenderOptions> = {}) {
  const sender = createWebhookSender({
    secretsOf: () => [SECRET],
    allowedHosts: [HOST],
    version: '9.8.7',
    resolve: async () => LOOPBACK,
    ...options,
  });
  onTestFinished(() => sender.close());
  return sender;
}

function aCall(port: number, { scheme = 'http', host = HOST, path = '/hooks' } = {}) {
  return {
    url: `${scheme}://${host}:${port}${path}`,
    key: null,
    id: 'evt_1',
    sentAt: Date.now(),
    body: '{"type":"message.sent","data":"é"}',
  };
}

/** Returns the result of a call to an endpoint that responds in this way. */
async function resultOf(respond: EndpointOptions['answer']): Promise<WebhookResult> {
  await using endpoint = await startEndpoint(respond ? { answer: respond } : {});
  return await aSender().post(aCall(endpoint.port));
}

describe('a call', () => {
  test('has the trace of its message, if there is one', async () => {
    await using endpoint = await startEndpoint();
    const trace = aTrace();
    const sender = aSender();
    await sender.post({ ...aCall(endpoint.port), trace });
    await sender.post({ ...aCall(endpoint.port), trace: { ...trace, tracestate: null } });
    await sender.post(aCall(endpoint.port));
    expect(endpoint.heard.map(({ headers }) => [headers.traceparent, headers.tracestate])).toEqual([
      [trace.traceparent, trace.tracestate],
      [trace.traceparent, undefined],
      [undefined, undefined],
    ]);
  });

  test('is a signed POST of JSON over TLS', async () => {
    await using endpoint = await startEndpoint({ tls: certificates.trusted });
    const call = aCall(endpoint.port, { scheme: 'https', path: '/hooks?for=crm' });
    expect(await aSender().post(call)).toMatchObject({ kind: 'taken' });
    expect(endpoint.heard).toMatchObject([
      {
        method: 'POST',
        path: '/hooks?for=crm',
        body: call.body,
        headers: {
          host: `${HOST}:${endpoint.port}`,
          'content-type': 'application/json',
          'content-length': String(Buffer.byteLength(call.body)),
          'user-agent': 'Outtray/9.8.7',
          'webhook-id': 'evt_1',
        },
      },
    ]);
    const [{ headers, body } = { headers: {}, body: '' }] = endpoint.heard;
    expect(new Webhook(SECRET.toString('base64')).verify(body, headers as Record<string, string>)).toEqual(
      JSON.parse(call.body),
    );
  });

  test.each(['intercepted', 'expired', 'wrong-name'] as const)(
    'is not sent to a server whose certificate is %s',
    async (kind) => {
      await using endpoint = await startEndpoint({ tls: certificates[kind] });
      const result = await aSender().post(aCall(endpoint.port, { scheme: 'https' }));
      expect(result).toMatchObject({
        kind: 'failed',
        reason: expect.stringMatching(/^the call failed \((?=.*CERT|ERR_TLS|SELF|UNABLE)/),
      });
      expect(JSON.stringify(result)).not.toContain('wrong-name.test');
      expect(endpoint.heard).toEqual([]);
    },
  );

  test('reuses the connection of earlier calls', async () => {
    await using endpoint = await startEndpoint({ answer: (response) => response.end('thanks') });
    const sender = aSender();
    for (let i = 0; i < 3; i++) await sender.post(aCall(endpoint.port));
    expect(endpoint.heard).toHaveLength(3);
    expect(endpoint.connections).toBe(1);
  });

  test('is sent again at once when the reused connection turns out to be closed', async () => {
    await using endpoint = await startRawEndpoint((socket, request, connection) => {
      if (connection === 1 && request.includes('evt_2')) socket.destroy();
      else socket.write('HTTP/1.1 204 No Content\r\n\r\n');
    });
    const sender = aSender();
    expect(await sender.post(aCall(endpoint.port))).toMatchObject({ kind: 'taken' });
    expect(await sender.post({ ...aCall(endpoint.port), id: 'evt_2' })).toMatchObject({ kind: 'taken' });
    expect(endpoint.sockets).toHaveLength(2);
  });

  test('fails when its new connection is closed', async () => {
    await using endpoint = await startRawEndpoint((socket) => socket.destroy());
    expect(await aSender().post(aCall(endpoint.port))).toMatchObject({
      kind: 'failed',
      reason: 'the call failed (ECONNRESET)',
    });
    expect(endpoint.sockets).toHaveLength(1);
  });
});

test('a call for an API key that is not configured is not made', async () => {
  await using endpoint = await startEndpoint();
  const sender = aSender({ secretsOf: (key) => (key === null ? [SECRET] : null) });
  expect(await sender.post({ ...aCall(endpoint.port), key: 'former' })).toMatchObject({
    kind: 'failed',
    reason: 'the API key of the endpoint is not configured',
  });
  expect(endpoint.heard).toEqual([]);
});

describe('a response', () => {
  test.each([200, 201, 202, 204, 299])('%i accepts the call', async (status) => {
    expect(await resultOf((response) => response.writeHead(status).end())).toMatchObject({ kind: 'taken' });
  });

  test('410 ends all calls to the endpoint', async () => {
    expect(await resultOf((response) => response.writeHead(410).end())).toEqual({
      kind: 'gone',
      status: 410,
    });
  });

  test.each([400, 401, 404, 429, 500, 503])(
    '%i fails the call, without its body in the reason',
    async (status) => {
      const result = await resultOf((response) => response.writeHead(status).end('body-secret'));
      expect(result).toEqual({ kind: 'failed', reason: `HTTP ${status}`, retryAfterMs: null, status });
    },
  );

  test.each([300, 301, 302, 303, 307, 308])('%i fails the call, and is not followed', async (status) => {
    await using inside = await startEndpoint();
    const location = `http://127.0.0.1:${inside.port}/`;
    const result = await resultOf((response) => response.writeHead(status, { location }).end());
    expect(result).toEqual({
      kind: 'failed',
      status,
      reason: `HTTP ${status}: redirects are not followed`,
      retryAfterMs: null,
    });
    expect(inside.connections).toBe(0);
  });

  test.each([
    ['120', 120_000],
    ['0', 0],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 0],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 0],
    ['-5', null],
    ['1.5', null],
    ['soon 5', null],
    ['99999999999', null],
    ['', null],
  ])('with Retry-After "%s" sets retryAfterMs', async (text, retryAfterMs) => {
    const result = await resultOf((response) => response.writeHead(503, { 'retry-after': text }).end());
    expect(result).toEqual({ kind: 'failed', reason: 'HTTP 503', retryAfterMs, status: 503 });
  });

  test('with a date in Retry-After sets retryAfterMs', async () => {
    const inAnHour = new Date(Date.now() + 3_600_000).toUTCString();
    const result = await resultOf((response) => response.writeHead(429, { 'retry-after': inAnHour }).end());
    const { retryAfterMs = 0 } = result as { retryAfterMs?: number };
    expect(retryAfterMs).toBeGreaterThan(3_500_000);
    expect(retryAfterMs).toBeLessThanOrEqual(3_600_000);
  });

  test('that never ends is read up to a limit, and counts by its status', async () => {
    let written = 0;
    const flood = (status: number) =>
      resultOf((response) => {
        response.writeHead(status);
        const chunk = Buffer.alloc(16_384);
        const pour = () => {
          while (!response.destroyed) {
            written += chunk.length;
            if (!response.write(chunk)) return;
          }
        };
        response.on('drain', pour);
        pour();
      });
    expect(await flood(200)).toMatchObject({ kind: 'taken' });
    expect(await flood(500)).toMatchObject({ kind: 'failed', reason: 'HTTP 500' });
    expect(written).toBeLessThan(32 * 1024 * 1024);
  });

  test.each([
    ['is not HTTP', '220 mail.test ESMTP\r\n'],
    ['has endless headers', `HTTP/1.1 200 OK\r\n${'X-Filler: 0123456789\r\n'.repeat(5000)}\r\n`],
    ['switches protocols', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'],
  ])('that %s fails the call', async (_what, bytes) => {
    await using endpoint = await startRawEndpoint((socket) => socket.write(bytes));
    expect(await aSender().post(aCall(endpoint.port))).toMatchObject({
      kind: 'failed',
      reason: expect.stringMatching(/^the call failed \(\w+\)$/),
    });
  });
});

describe('the deadline', () => {
  const timeoutMs = 100;
  const LATE = { kind: 'failed', reason: 'no response within 0.1 s', retryAfterMs: null };

  test('applies to the DNS lookup', async () => {
    const sender = aSender({ timeoutMs, resolve: () => new Promise(() => {}) });
    expect(await sender.post(aCall(9))).toEqual(LATE);
  });

  test('applies to connecting', async () => {
    await using deaf = await openBlackHolePort();
    expect(await aSender({ timeoutMs }).post(aCall(deaf.port))).toEqual(LATE);
  });

  test('applies to the TLS handshake', async () => {
    await using endpoint = await startRawEndpoint(() => {});
    expect(await aSender({ timeoutMs }).post(aCall(endpoint.port, { scheme: 'https' }))).toEqual(LATE);
  });

  test('applies to the wait for a response', async () => {
    await using endpoint = await startEndpoint({ answer() {} });
    expect(await aSender({ timeoutMs }).post(aCall(endpoint.port))).toEqual(LATE);
  });

  test('applies to a response that arrives slowly', async () => {
    await using endpoint = await startRawEndpoint((socket) => {
      const dropping = setInterval(() => socket.write('HTTP/1.1 100 Continue\r\n\r\n'), 10);
      socket.on('close', () => clearInterval(dropping));
    });
    expect(await aSender({ timeoutMs }).post(aCall(endpoint.port))).toEqual(LATE);
  });

  test('applies to the body, and the status counts if it arrived before', async () => {
    await using endpoint = await startEndpoint({
      answer: (response) => response.writeHead(200).write('and'),
    });
    const startedAt = performance.now();
    expect(await aSender({ timeoutMs }).post(aCall(endpoint.port))).toMatchObject({ kind: 'taken' });
    expect(performance.now() - startedAt).toBeLessThan(5000);
  });
});

describe('an endpoint inside the network', () => {
  test.each([
    ['its address in the URL', { host: '127.0.0.1' }],
    ['its address as a number', { host: '2130706433' }],
    ['its address in IPv6', { host: '[::ffff:127.0.0.1]' }],
    ['a name that resolves to it', { host: 'rebinding.test' }],
  ])('is not called by %s', async (_how, where) => {
    await using endpoint = await startEndpoint({ tls: certificates.trusted });
    const result = await aSender().post(
      aCall(endpoint.port, { scheme: 'https', path: '/path-secret?q=query-secret', ...where }),
    );
    expect(result).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining('not a public address (loopback)'),
    });
    expect(JSON.stringify(result)).not.toContain('secret');
    expect(endpoint.connections).toBe(0);
  });

  test('is not called over http either', async () => {
    await using endpoint = await startEndpoint();
    const result = await aSender().post(aCall(endpoint.port, { host: 'rebinding.test' }));
    expect(result).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining('only be called over https'),
    });
    expect(endpoint.connections).toBe(0);
  });

  test('is called at the address that was checked', async () => {
    await using checked = await startEndpoint();
    await using other = await startEndpoint({ host: '127.0.0.2', port: checked.port });
    const addresses = ['127.0.0.1', '127.0.0.2'];
    const sender = aSender({ resolve: async () => [{ address: addresses.shift() ?? '', family: 4 }] });
    expect(await sender.post(aCall(checked.port))).toMatchObject({ kind: 'taken' });
    expect(addresses).toEqual(['127.0.0.2']);
    expect([checked.connections, other.connections]).toEqual([1, 0]);
  });

  test('is tried at each of its addresses before the call fails', async () => {
    const endpoint = await startEndpoint();
    const sender = aSender({ resolve: async () => [{ address: '127.0.0.3', family: 4 }, ...LOOPBACK] });
    expect(await sender.post(aCall(endpoint.port))).toMatchObject({ kind: 'taken' });
    await endpoint[Symbol.asyncDispose]();
    expect(await sender.post(aCall(endpoint.port))).toMatchObject({
      kind: 'failed',
      reason: 'the call failed (ECONNREFUSED)',
    });
  });
});

test('close ends running calls, which then have failed', async () => {
  const arrived = Promise.withResolvers<void>();
  await using endpoint = await startRawEndpoint(() => arrived.resolve());
  const sender = aSender();
  const call = sender.post(aCall(endpoint.port));
  await arrived.promise;
  const [socket] = endpoint.sockets;
  const closed = socket && once(socket, 'close');
  await sender.close();
  expect(await call).toMatchObject({
    kind: 'failed',
    reason: 'Outtray stopped before the response arrived',
  });

  await closed;
  expect(await sender.post(aCall(endpoint.port))).toMatchObject({ kind: 'failed' });
});
