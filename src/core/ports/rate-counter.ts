/** A rate limit: the maximum sum of costs in each window of time. */
export interface Rate {
  readonly max: number;
  readonly windowMs: number;
}

/** State of a window after a cost was spent or refused. */
export interface RateState {
  /** Whether the cost fitted. If not, none of it was spent. */
  readonly fits: boolean;
  /** What is left in the window. */
  readonly left: number;
  /** Time until the window ends, in ms. */
  readonly resetMs: number;
}

/** Counts costs in windows of time. A window begins with the first cost in it. */
export interface RateCounter {
  /**
   * Spends the whole cost in one step, or nothing.
   *
   * @throws {AppError} `queue_unavailable`
   */
  spend(name: string, cost: number, rate: Rate): Promise<RateState>;
}

/** Separate counters for API keys, by name, and for client addresses. */
export interface RateCounters {
  readonly keys: RateCounter;
  readonly addresses: RateCounter;
}
