import { type Attributes, type Span, SpanKind, SpanStatusCode, type Tracer } from '@opentelemetry/api';
import type { WebhookCall, WebhookResult, WebhookSender } from '../../core/ports/webhook-sender.ts';
import { placeOf, toTraceHeaders } from './span-context.ts';

/**
 * Records calls as CLIENT spans, which the receiver continues: the call has the context of its
 * span. They have no `url.full`, whose path can be secret.
 *
 * @param startedAt When the process started, in epoch ms
 */
export function traceCalls(sender: WebhookSender, tracer: Tracer, startedAt: number): WebhookSender {
  return {
    async post(call) {
      const { parent, links } = placeOf(call.trace, call.sentAt, startedAt);
      const options = { kind: SpanKind.CLIENT, attributes: attributesOf(call), links };
      const span = tracer.startSpan('POST', options, parent);
      const headers = toTraceHeaders(span.spanContext());
      const trace = headers ? { ...headers, startedAt: call.sentAt } : call.trace;
      const result = await sender.post({ ...call, trace });
      end(span, result);
      return result;
    },
    close: () => sender.close(),
  };
}

function attributesOf({ id, url }: WebhookCall): Attributes {
  const target = URL.parse(url);
  return {
    'http.request.method': 'POST',
    'outtray.event.id': id,
    ...(target && {
      'url.scheme': target.protocol.slice(0, -1),
      'server.address': target.hostname,
      'server.port': Number(target.port) || (target.protocol === 'https:' ? 443 : 80),
    }),
  };
}

function end(span: Span, result: WebhookResult): void {
  const { kind, status } = result;
  if (status !== undefined) span.setAttribute('http.response.status_code', status);
  if (kind !== 'taken') {
    span.setAttribute('error.type', status === undefined ? '_OTHER' : String(status));
    span.setStatus({ code: SpanStatusCode.ERROR, ...(kind === 'failed' && { message: result.reason }) });
  }
  span.end();
}
