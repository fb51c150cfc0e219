import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import type { MessageResource } from '../../src/http/schemas/message.ts';
import { type CollectedSpan, startCollector } from '../helpers/collector.ts';
import { startEndpoint } from '../helpers/endpoint.ts';
import { type Running, serveAgainst } from '../helpers/process.ts';
import { API_KEY } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const PRELOAD = new URL('../../examples/tracing/instrumentation.mjs', import.meta.url).pathname;
const SECRET = `whsec_${Buffer.alloc(32, 'webhook').toString('base64')}`;
const SETUP = { API_KEYS: `crm:${API_KEY}`, NODE_OPTIONS: `--import ${PRELOAD}` };

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const CALLER = '00f067aa0ba902b7';
const TRACED = { traceparent: `00-${TRACE_ID}-${CALLER}-01`, tracestate: 'rojo=1' };
const HELLO = { to: 'ada@example.com', subject: 'A private subject', text: 'A private text.' };

const [SERVER, CLIENT] = [2, 3];
const ERROR = { code: 2 };

async function send(url: string, body: object, headers: Record<string, string> = {}) {
  const response = await fetch(`${url}/send`, {
    method: 'POST',
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  return (await response.json()) as MessageResource;
}

/** Matches a span about a message. */
const about =
  (id: string, kind: number) =>
  (span: CollectedSpan): boolean =>
    span.kind === kind && span.attributes['outtray.message.id'] === id;

function linesAbout(id: string, { output }: Running): Record<string, unknown>[] {
  const lines = output().out.trim().split('\n');
  return lines.map((line) => JSON.parse(line)).filter(({ msg_id }) => msg_id === id);
}

test('an SDK that is preloaded gets the spans of requests, attempts and webhook calls in one trace', async () => {
  await using collector = await startCollector();
  await using endpoint = await startEndpoint();
  await using gmail = await startSimulator();
  await using service = await serveAgainst(gmail, {
    ...SETUP,
    ...collector.env,
    WEBHOOK_URL: `http://127.0.0.1:${endpoint.port}/path-secret?query-secret`,
    WEBHOOK_SECRET: SECRET,
    WEBHOOK_ALLOWED_HOSTS: '127.0.0.1',
  });
  const smtpPort = Number(/:(\d+)/.exec(gmail.url)?.[1]);

  // A message in the trace of its caller.
  const { id } = await send(service.url, HELLO, TRACED);
  const request = await collector.span(about(id, SERVER));
  expect(request).toMatchObject({
    name: 'POST /send',
    traceId: TRACE_ID,
    parentSpanId: CALLER,
    links: [],
    attributes: {
      'http.request.method': 'POST',
      'http.route': '/send',
      'http.response.status_code': 202,
      'url.scheme': 'http',
      'network.protocol.version': '1.1',
    },
  });
  expect(request.status).not.toMatchObject(ERROR);
  const attempt = await collector.span(about(id, CLIENT));
  expect(attempt).toMatchObject({
    name: 'smtp send',
    traceId: TRACE_ID,
    parentSpanId: request.spanId,
    links: [],
    attributes: {
      'server.address': 'localhost',
      'server.port': smtpPort,
      'outtray.account': gmail.user,
      'outtray.attempt': 1,
    },
  });
  expect(attempt.attributes).not.toHaveProperty('error.type');
  const call = await collector.span(({ name, traceId }) => name === 'POST' && traceId === TRACE_ID);
  expect(call).toMatchObject({
    kind: CLIENT,
    parentSpanId: request.spanId,
    attributes: {
      'http.request.method': 'POST',
      'http.response.status_code': 204,
      'server.address': '127.0.0.1',
      'server.port': endpoint.port,
    },
  });
  expect(endpoint.heard).toMatchObject([
    { headers: { traceparent: `00-${TRACE_ID}-${call.spanId}-01`, tracestate: 'rojo=1' } },
  ]);
  expect(JSON.parse(endpoint.heard[0]?.body ?? '')).toMatchObject({ trace_id: TRACE_ID });
  await vi.waitUntil(() => linesAbout(id, service).length >= 2);
  for (const line of linesAbout(id, service)) expect(line).toMatchObject({ trace_id: TRACE_ID });

  // A refused message of a caller without a trace.
  const refused = await send(service.url, { ...HELLO, to: 'no-such-user@simulator.test' });
  const root = await collector.span(about(refused.id, SERVER));
  expect(root.parentSpanId ?? '').toBe('');
  expect(await collector.span(about(refused.id, CLIENT))).toMatchObject({
    traceId: root.traceId,
    parentSpanId: root.spanId,
    status: ERROR,
    attributes: { 'error.type': 'recipients_rejected' },
  });
  await vi.waitUntil(() => linesAbout(refused.id, service).length >= 2);
  for (const line of linesAbout(refused.id, service)) expect(line).toMatchObject({ trace_id: root.traceId });

  // Requests without a message, and without a span.
  for (const path of ['/readyz', '/nowhere/path-secret']) await fetch(`${service.url}${path}`);
  const unknown = await collector.span(({ attributes }) => attributes['http.response.status_code'] === 404);
  expect([unknown.name, unknown.attributes['http.route']]).toEqual(['GET', undefined]);
  expect(collector.spans.filter(({ attributes }) => attributes['http.route'] === '/readyz')).toEqual([]);

  const secrets = [
    'ada@',
    'no-such-user@',
    'private',
    API_KEY,
    gmail.password,
    SECRET,
    'path-secret',
    'query-secret',
  ];
  for (const secret of secrets) expect(collector.received()).not.toContain(secret);
}, 60_000);

test('an attempt after a restart has a trace of its own, with a link to the request', async () => {
  await using collector = await startCollector();
  await using gmail = await startSimulator();
  const folder = await mkdtemp(join(tmpdir(), 'outtray-tracing-'));
  // Spans are exported when the service stops, and not before.
  const env = { ...collector.env, OTEL_BSP_SCHEDULE_DELAY: '600000' };
  const setup = { ...SETUP, ...env, QUEUE_URL: `sqlite:${join(folder, 'queue.db')}` };
  try {
    await using accepting = await serveAgainst(gmail, setup);
    const { id } = await send(
      accepting.url,
      { ...HELLO, scheduled_at: new Date(Date.now() + 2000).toISOString() },
      TRACED,
    );
    accepting.signal('SIGTERM');
    expect(await accepting.ended).toBe(0);
    const request = await collector.span(about(id, SERVER));
    expect(request).toMatchObject({ traceId: TRACE_ID, parentSpanId: CALLER });

    await using sending = await serveAgainst(gmail, setup);
    await sending.saw(/attempt accepted/);
    sending.signal('SIGTERM');
    expect(await sending.ended).toBe(0);
    const attempt = await collector.span(about(id, CLIENT));
    expect(attempt.traceId).not.toBe(TRACE_ID);
    expect(attempt.parentSpanId ?? '').toBe('');
    expect(attempt.links).toMatchObject([{ traceId: TRACE_ID, spanId: request.spanId }]);
    expect(linesAbout(id, sending)).toMatchObject([{ msg: 'attempt accepted', trace_id: TRACE_ID }]);
  } finally {
    await rm(folder, { recursive: true });
  }
}, 60_000);

test('a collector that does not respond delays neither mail nor the end of the process', async () => {
  await using collector = await startEndpoint({ answer() {} });
  await using gmail = await startSimulator();
  const OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${collector.port}`;
  await using service = await serveAgainst(gmail, { ...SETUP, OTEL_EXPORTER_OTLP_ENDPOINT });
  expect(await send(service.url, HELLO, { prefer: 'wait=20' })).toMatchObject({ status: 'sent' });
  const stoppedAt = performance.now();
  service.signal('SIGTERM');
  expect(await service.ended).toBe(0);
  expect(performance.now() - stoppedAt).toBeLessThan(10_000);
  expect(service.output().out).toMatch(/"unfinished":\["traces"\],"msg":"stopped"/);
  expect(collector.heard).toHaveLength(1);
}, 60_000);
