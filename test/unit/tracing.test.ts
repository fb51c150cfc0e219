import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { openTracing } from '../../src/adapters/tracing/open-tracing.ts';
import { createTracing } from '../../src/adapters/tracing/tracing.ts';
import type { Attempt, Delivery } from '../../src/core/delivery/delivery.ts';
import type { Outcome } from '../../src/core/delivery/outcome.ts';
import { INTERRUPTED } from '../../src/core/dispatch/steps.ts';
import { createEvents } from '../../src/core/events.ts';
import type { RequestResult, TracedRequest } from '../../src/core/ports/request-tracer.ts';
import type { WebhookCall, WebhookResult } from '../../src/core/ports/webhook-sender.ts';
import { aDelivery, aTrace } from '../helpers/delivery.ts';
import { anAcceptance } from '../helpers/outcome.ts';

const API = Symbol.for('opentelemetry.js.api.1');
const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN_ID = '00f067aa0ba902b7';
const MINUTE = 60_000;
const [SERVER, CLIENT, ERROR] = [1, 2, 2];

/** Tracing with an SDK that keeps the spans in memory. */
function start() {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  onTestFinished(() => provider.shutdown());
  const tracing = createTracing(provider, '1.2.3');
  return {
    provider,
    tracing,
    /** Returns the spans that have ended. */
    async spans() {
      await tracing.flush();
      return exporter.getFinishedSpans();
    },
  };
}

describe('the span of a request', () => {
  const REQUEST: TracedRequest = {
    method: 'POST',
    route: '/send',
    scheme: 'https',
    httpVersion: '1.1',
    parent: null,
  };
  const ACCEPTED: RequestResult = { status: 202, code: undefined, messageId: 'msg_1' };

  async function spanOf(request: Partial<TracedRequest>, result: Partial<RequestResult> = {}) {
    const { tracing, spans } = start();
    const { trace, end } = tracing.requests.start({ ...REQUEST, ...request });
    end({ ...ACCEPTED, ...result });
    const [span] = await spans();
    if (!span) throw new Error('there is no span');
    return { ...span, kind: span.kind, trace, context: span.spanContext(), parent: span.parentSpanContext };
  }

  test('is a child of the span of the caller, and is the parent of what follows', async () => {
    const { kind, context, parent, trace } = await spanOf({ parent: aTrace() });
    expect([kind, parent?.traceId, parent?.spanId]).toEqual([SERVER, TRACE_ID, SPAN_ID]);
    expect(context.traceId).toBe(TRACE_ID);
    expect(trace).toEqual({
      traceparent: `00-${TRACE_ID}-${context.spanId}-01`,
      tracestate: 'rojo=1,congo=2',
      startedAt: expect.any(Number),
    });
  });

  test('begins a trace without a caller that has one', async () => {
    const { parent, trace, context } = await spanOf({});
    expect(parent).toBeUndefined();
    expect(trace).toMatchObject({ traceparent: expect.stringContaining(context.traceId), tracestate: null });
  });

  test('is not sampled if that of the caller is not, and passes that on', async () => {
    const { tracing, spans } = start();
    const unsampled = aTrace({ traceparent: `00-${TRACE_ID}-${SPAN_ID}-00` });
    const { trace, end } = tracing.requests.start({ ...REQUEST, parent: unsampled });
    end(ACCEPTED);
    expect(await spans()).toEqual([]);
    expect(trace?.traceparent).toMatch(new RegExp(`^00-${TRACE_ID}-[0-9a-f]{16}-00$`));
  });

  test.each([
    ['a known method', { method: 'GET' }, 'GET /send', { 'http.request.method': 'GET' }],
    [
      'an unknown method',
      { method: 'PROPFIND', route: undefined },
      'HTTP',
      { 'http.request.method': '_OTHER', 'http.request.method_original': 'PROPFIND' },
    ],
    ['no route', { route: undefined }, 'POST', { 'url.scheme': 'https' }],
  ])('has a name and attributes for %s', async (_, request, name, attributes) => {
    const span = await spanOf(request);
    expect(span.name).toBe(name);
    expect(span.attributes).toMatchObject(attributes);
  });

  test.each([
    [{ status: 202 }, 0, undefined],
    [{ status: 422, code: 'validation_failed' }, 0, undefined],
    [{ status: 503, code: 'queue_full' }, ERROR, 'queue_full'],
    [{ status: 500 }, ERROR, '500'],
    [{ status: undefined }, 0, undefined],
  ])('that ends with %j has status %i', async (result, status, errorType) => {
    const span = await spanOf({}, result);
    expect(span.status.code).toBe(status);
    expect(span.attributes['error.type']).toBe(errorType);
    expect(span.attributes['http.response.status_code']).toBe(result.status);
  });
});

describe('the span of an attempt', () => {
  async function spanOf(delivery: Partial<Delivery>, attempt: Partial<Attempt>, outcome: Outcome) {
    const { tracing, spans } = start();
    const events = createEvents();
    tracing.recordAttempts(events);
    const now = Date.now();
    const begun = {
      number: 2,
      account: 'bot@acme.com',
      startedAt: now,
      endedAt: now + 80,
      smtp: null,
      error: null,
    };
    events.emit(
      'message.attempted',
      aDelivery({ id: 'msg_1', ...delivery }),
      { ...begun, ...attempt },
      outcome,
    );
    const [span] = await spans();
    if (!span) throw new Error('there is no span');
    return span;
  }
  const accepted = (server: string) => ({ ...anAcceptance(['ada@example.com']), server });

  test('is a child of the request for a minute', async () => {
    const startedAt = Date.now() + 1000;
    const span = await spanOf(
      { trace: aTrace({ startedAt }) },
      { startedAt: startedAt + MINUTE, endedAt: startedAt + MINUTE + 80 },
      accepted('smtp.gmail.com:465'),
    );
    expect([span.kind, span.parentSpanContext?.spanId, span.links]).toEqual([CLIENT, SPAN_ID, []]);
    expect(span.duration).toEqual([0, 80_000_000]);
    expect(span.attributes).toEqual({
      'outtray.message.id': 'msg_1',
      'outtray.account': 'bot@acme.com',
      'outtray.attempt': 2,
      'server.address': 'smtp.gmail.com',
      'server.port': 465,
    });
  });

  test.each([
    ['more than a minute after the request', 1000, MINUTE + 1],
    ['that an earlier process has accepted', -1000, 2000],
  ])('begins a trace with a link, %s', async (_, requestAt, attemptAfter) => {
    const startedAt = Date.now() + requestAt;
    const span = await spanOf(
      { trace: aTrace({ startedAt }) },
      { startedAt: startedAt + attemptAfter },
      accepted('[::1]:2525'),
    );
    expect(span.parentSpanContext).toBeUndefined();
    expect(span.spanContext().traceId).not.toBe(TRACE_ID);
    expect(span.links).toMatchObject([{ context: { traceId: TRACE_ID, spanId: SPAN_ID } }]);
    expect(span.attributes).toMatchObject({ 'server.address': '[::1]', 'server.port': 2525 });
  });

  test('that was interrupted before the process started has its times, an error, and no server', async () => {
    const startedAt = Date.now() - 3_600_000;
    const span = await spanOf({}, { startedAt, endedAt: startedAt + 5000 }, INTERRUPTED);
    expect([span.startTime, span.duration]).toEqual([
      [Math.trunc(startedAt / 1000), (startedAt % 1000) * 1e6],
      [5, 0],
    ]);
    expect([span.links, span.status.code]).toEqual([[], ERROR]);
    expect(span.attributes).toMatchObject({ 'error.type': 'connection_lost' });
    expect(span.attributes).not.toHaveProperty('server.address');
  });
});

describe('the span of a webhook call', () => {
  const CALL: WebhookCall = {
    url: 'https://crm.example.com/path-secret?query-secret',
    key: null,
    id: 'evt_1',
    sentAt: Date.now() + 1000,
    body: '{}',
  };

  async function spanOf(call: Partial<WebhookCall>, result: WebhookResult) {
    const { tracing, spans } = start();
    const calls: WebhookCall[] = [];
    const post = async (made: WebhookCall) => {
      calls.push(made);
      return result;
    };
    const returned = await tracing.traceCalls({ post, async close() {} }).post({ ...CALL, ...call });
    expect(returned).toBe(result);
    const [span] = await spans();
    if (!span) throw new Error('there is no span');
    return { span, sent: calls[0]?.trace };
  }

  test('is a child of the request, and is the parent of what the endpoint does', async () => {
    const trace = aTrace({ startedAt: CALL.sentAt });
    const { span, sent } = await spanOf({ trace }, { kind: 'taken', status: 204 });
    expect([span.kind, span.parentSpanContext?.spanId]).toEqual([CLIENT, SPAN_ID]);
    expect(sent?.traceparent).toBe(`00-${TRACE_ID}-${span.spanContext().spanId}-01`);
    expect(span.attributes).toEqual({
      'http.request.method': 'POST',
      'http.response.status_code': 204,
      'outtray.event.id': 'evt_1',
      'url.scheme': 'https',
      'server.address': 'crm.example.com',
      'server.port': 443,
    });
  });

  test('begins a trace with a link long after the request', async () => {
    const { span } = await spanOf({ trace: aTrace({ startedAt: 1 }) }, { kind: 'taken', status: 200 });
    expect(span.links).toMatchObject([{ context: { traceId: TRACE_ID, spanId: SPAN_ID } }]);
  });

  test.each<[WebhookResult, string]>([
    [{ kind: 'gone', status: 410 }, '410'],
    [{ kind: 'failed', status: 503, reason: 'HTTP 503', retryAfterMs: null }, '503'],
    [{ kind: 'failed', reason: 'no response within 15 s', retryAfterMs: null }, '_OTHER'],
  ])('of a call that ends with %j has an error', async (result, errorType) => {
    const { span } = await spanOf({}, result);
    expect(span.status).toMatchObject({ code: ERROR, ...('reason' in result && { message: result.reason }) });
    expect(span.attributes['error.type']).toBe(errorType);
  });
});

describe('openTracing', () => {
  const global = globalThis as { [API]?: object };
  const registered = global[API];
  afterEach(() => {
    if (registered) global[API] = registered;
    else delete global[API];
  });

  test('finds no SDK if none is registered', async () => {
    delete global[API];
    expect(await openTracing('1.2.3')).toBeNull();
    global[API] = { version: '1.10.0' };
    expect(await openTracing('1.2.3')).toBeNull();
  });

  test('finds an SDK that was registered by an older version of the API', async () => {
    const { provider, spans } = start();
    global[API] = {
      version: '1.0.0',
      trace: { getTracer: provider.getTracer.bind(provider), getDelegate: () => provider },
    };
    const tracing = await openTracing('1.2.3');
    const request = { method: 'GET', route: '/', scheme: 'http', httpVersion: '1.1', parent: null } as const;
    tracing?.requests.start(request).end({ status: 200, code: undefined, messageId: null });
    await tracing?.flush();
    expect(await spans()).toMatchObject([
      { name: 'GET /', instrumentationScope: { name: 'outtray', version: '1.2.3' } },
    ]);
  });
});
