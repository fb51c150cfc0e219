/** A request that has ended. */
export interface EndedRequest {
  readonly method: string;
  /** Pattern of the route, such as `/messages/:id`. Undefined: no route matched. */
  readonly route: string | undefined;
  /** Undefined: the client disconnected before the response. */
  readonly status: number | undefined;
  readonly durationMs: number;
}

/** Counts and measures for a monitoring system. */
export interface Metrics {
  /** Media type of the text. */
  readonly contentType: string;
  countRequest(request: EndedRequest): void;
  /**
   * Returns all metrics as text. Never rejects, and takes at most 2 s: while the backend is
   * unavailable, the text omits what would be read from it. Concurrent calls share one result.
   */
  read(): Promise<string>;
}
