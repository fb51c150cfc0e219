/**
 * A span of a distributed trace, in the form of the headers of W3C Trace Context
 * (https://www.w3.org/TR/trace-context-2/).
 */
export interface TraceHeaders {
  /** In version 00, valid: `00-{trace id, 32 hex}-{span id, 16 hex}-{flags, 2 hex}`. */
  readonly traceparent: string;
  /** Valid, and at most 512 characters. Null: none. */
  readonly tracestate: string | null;
}

/**
 * The trace of a request that submits a message. Its span is that of the request if an
 * OpenTelemetry SDK is registered, else that of the caller.
 */
export interface TraceContext extends TraceHeaders {
  /** When the request began, in epoch ms. */
  readonly startedAt: number;
}

/** Returns the trace id in lowercase hex, or undefined without a trace. */
export function traceIdOf(trace: TraceHeaders | null | undefined): string | undefined {
  return trace?.traceparent.slice(3, 35);
}

/** Returns the characters that a trace occupies. */
export function traceLength(trace: TraceHeaders | null | undefined): number {
  return trace ? trace.traceparent.length + (trace.tracestate?.length ?? 0) : 0;
}
