import {
  type Context,
  createTraceState,
  type Link,
  ROOT_CONTEXT,
  type SpanContext,
  trace as traceApi,
} from '@opentelemetry/api';
import type { TraceContext, TraceHeaders } from '../../core/delivery/trace-context.ts';
import { MINUTE } from '../../core/time.ts';

/**
 * How long after its request a span still joins the trace of the request, in ms. Trace backends
 * treat a trace as complete some time after its first span.
 */
const JOIN_WITHIN_MS = MINUTE;

/** The place of a new span: its parent, and the spans that it links to. */
export interface SpanPlace {
  readonly parent: Context;
  readonly links: Link[];
}

const NEW_TRACE: SpanPlace = { parent: ROOT_CONTEXT, links: [] };

/** Returns the context of a span whose parent has these headers. */
export function contextOf(trace: TraceHeaders | null): Context {
  return trace === null ? ROOT_CONTEXT : traceApi.setSpanContext(ROOT_CONTEXT, toSpanContext(trace));
}

/**
 * Returns the place of a span about a message. It joins the trace of the request if it begins soon
 * after, in the same run of the process. Else it begins a trace, and links to that of the request.
 *
 * @param at When the span begins, in epoch ms
 * @param startedAt When the process started, in epoch ms
 */
export function placeOf(trace: TraceContext | null | undefined, at: number, startedAt: number): SpanPlace {
  if (!trace) return NEW_TRACE;
  const joins = trace.startedAt >= startedAt && at - trace.startedAt <= JOIN_WITHIN_MS;
  return joins
    ? { parent: contextOf(trace), links: [] }
    : { parent: ROOT_CONTEXT, links: [{ context: toSpanContext(trace) }] };
}

/** Returns null for the context of a span that no SDK has created. */
export function toTraceHeaders(context: SpanContext): TraceHeaders | null {
  if (!traceApi.isSpanContextValid(context)) return null;
  const { traceId, spanId, traceFlags, traceState } = context;
  return {
    traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
    tracestate: traceState?.serialize() || null,
  };
}

function toSpanContext({ traceparent, tracestate }: TraceHeaders): SpanContext {
  return {
    traceId: traceparent.slice(3, 35),
    spanId: traceparent.slice(36, 52),
    traceFlags: Number.parseInt(traceparent.slice(53), 16),
    isRemote: true,
    ...(tracestate !== null && { traceState: createTraceState(tracestate) }),
  };
}
