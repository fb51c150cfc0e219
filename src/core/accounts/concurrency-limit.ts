/** Beyond the number at which Gmail once said "slow down", so many messages must be accepted before one more goes at once. */
const ACCEPTED_PER_STEP = 20;

/** How many attempts may run at once while they are fewer than there are connections, as it is kept. */
export interface Slowdown {
  limit: number;
  /** Up to here it grows with each accepted message, beyond it slowly: as TCP does after congestion (RFC 5681, section 3.1). */
  quickUpTo: number;
  streak: number;
}

export interface ConcurrencyBook {
  /** Null: as many as there are connections. */
  slowdown: Slowdown | null;
}

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
export function concurrencyIn(book: ConcurrencyBook, max: number): Concurrency {
  const limitOf = ({ slowdown }: ConcurrencyBook) => Math.min(slowdown?.limit ?? max, max);

  return {
    get limit() {
      return limitOf(book);
    },
    accepted() {
      const { slowdown } = book;
      if (slowdown === null) return;
      slowdown.streak += 1;
      if (slowdown.limit >= slowdown.quickUpTo && slowdown.streak < ACCEPTED_PER_STEP) return;
      slowdown.limit += 1;
      slowdown.streak = 0;
      if (slowdown.limit >= max) book.slowdown = null;
    },
    restarted() {
      book.slowdown = max === 1 ? null : { limit: 1, quickUpTo: book.slowdown?.quickUpTo ?? max, streak: 0 };
    },
    throttled() {
      const limit = Math.max(1, Math.floor(limitOf(book) / 2));
      book.slowdown = max === 1 ? null : { limit, quickUpTo: limit, streak: 0 };
    },
  };
}
