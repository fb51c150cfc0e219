import { type Attributes, SpanKind, SpanStatusCode, type Tracer } from '@opentelemetry/api';
import { KNOWN_METHODS } from '../../core/known-methods.ts';
import type { RequestTracer, TracedRequest } from '../../core/ports/request-tracer.ts';
import { contextOf, toTraceHeaders } from './span-context.ts';

/**
 * Records requests as SERVER spans: https://opentelemetry.io/docs/specs/semconv/http/http-spans/.
 * They have no `url.path`, which can contain an address.
 */
export function createRequestTracer(tracer: Tracer): RequestTracer {
  return {
    start(request) {
      const { method, route, parent } = request;
      const name = KNOWN_METHODS.has(method) ? method : 'HTTP';
      const options = { kind: SpanKind.SERVER, attributes: attributesOf(request) };
      const span = tracer.startSpan(
        route === undefined ? name : `${name} ${route}`,
        options,
        contextOf(parent),
      );
      const headers = toTraceHeaders(span.spanContext());
      return {
        trace: headers === null ? parent : { ...headers, startedAt: Date.now() },
        end({ status, code, messageId }) {
          if (messageId !== null) span.setAttribute('outtray.message.id', messageId);
          if (status !== undefined) span.setAttribute('http.response.status_code', status);
          if (status !== undefined && status >= 500) {
            span.setAttribute('error.type', code ?? String(status));
            span.setStatus({ code: SpanStatusCode.ERROR });
          }
          span.end();
        },
      };
    },
  };
}

function attributesOf({ method, route, scheme, httpVersion }: TracedRequest): Attributes {
  const isKnown = KNOWN_METHODS.has(method);
  return {
    'http.request.method': isKnown ? method : '_OTHER',
    ...(!isKnown && { 'http.request.method_original': method }),
    ...(route !== undefined && { 'http.route': route }),
    'url.scheme': scheme,
    'network.protocol.version': httpVersion,
  };
}
