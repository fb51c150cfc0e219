/** Beyond the number at which Gmail once said "slow down", so many messages must be accepted before one more goes at once. */
const ACCEPTED_PER_STEP = 20;

/** How many attempts of an account may run at once. It falls at once and grows one by one. */
export interface Concurrency {
  readonly limit: number;
  /** A message was accepted. */
  accepted(): void;
  /** The account was paused and works again: begin with one. */
  restarted(): void;
  /** Gmail asks to slow down: half as many from now on. */
  throttled(): void;
}

/** @param max the number of pooled connections */
export function createConcurrency(max: number): Concurrency {
  let limit = max;
  /** Up to here it grows with each accepted message, beyond it slowly: as TCP does after congestion (RFC 5681, section 3.1). */
  let quickUpTo = max;
  let streak = 0;

  return {
    get limit() {
      return limit;
    },
    accepted() {
      if (limit === max) return;
      streak += 1;
      if (limit >= quickUpTo && streak < ACCEPTED_PER_STEP) return;
      limit += 1;
      streak = 0;
      if (limit === max) quickUpTo = max;
    },
    restarted() {
      limit = 1;
      streak = 0;
    },
    throttled() {
      limit = Math.max(1, Math.floor(limit / 2));
      quickUpTo = limit;
      streak = 0;
    },
  };
}
