/** How much may be spent in each window of time. */
export interface Rate {
  readonly max: number;
  readonly windowMs: number;
}

/** A window of a rate limit, after a cost was spent or refused. */
export interface RateState {
  /** Whether the cost fitted. If not, nothing of it was spent. */
  readonly fits: boolean;
  readonly left: number;
  /** When the window ends, in ms from now. */
  readonly resetMs: number;
}

/** Counts what is spent in windows of time. A window begins with the first cost in it. */
export interface RateCounter {
  /**
   * Spends the whole cost in one step, or nothing.
   *
   * @throws {AppError} `queue_unavailable`
   */
  spend(name: string, cost: number, rate: Rate): Promise<RateState>;
}

/** Counters of API keys by name, and of client addresses. */
export interface RateCounters {
  readonly keys: RateCounter;
  readonly addresses: RateCounter;
}
