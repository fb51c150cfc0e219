import type { TraceContext } from '../delivery/trace-context.ts';

/** A request as far as it is known when it begins. */
export interface TracedRequest {
  readonly method: string;
  /** Pattern of the route, or undefined if none matches. */
  readonly route: string | undefined;
  readonly scheme: 'http' | 'https';
  readonly httpVersion: string;
  /** The trace of the caller. */
  readonly parent: TraceContext | null;
}

/** How a request ended. */
export interface RequestResult {
  /** Undefined: the client disconnected before the response ended. */
  readonly status: number | undefined;
  /** Code of the failure. */
  readonly code: string | undefined;
  /** Id of the message that the request is about. */
  readonly messageId: string | null;
}

export interface RequestSpan {
  /** The trace of the messages that the request submits. */
  readonly trace: TraceContext | null;
  end(result: RequestResult): void;
}

/** Records requests as spans of distributed traces. */
export interface RequestTracer {
  /** Starts the span of a request, as a child of the caller's span if there is one. */
  start(request: TracedRequest): RequestSpan;
}
