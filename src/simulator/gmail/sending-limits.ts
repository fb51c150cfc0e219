/**
 * The daily limit of a user, and throttling of all users. Both can be set while the simulator runs.
 */
import type { ReplyName } from './replies.ts';

export interface DailyLimit {
  /** Number of accepted messages per user within the window. */
  readonly messages: number;
  /** A day by default. */
  readonly windowMs?: number;
}

export const DAY_MS = 24 * 60 * 60 * 1000;

/** Counts each user's accepted messages in a rolling window. */
export class DailyLimiter {
  #limit: DailyLimit | null = null;
  /** Times of acceptance within the window, oldest first, in epoch ms. */
  readonly #accepted = new Map<string, number[]>();

  /** Sets the limit, or removes it with null. Restarts counting. */
  setLimit(limit: DailyLimit | null): void {
    this.#limit = limit;
    this.#accepted.clear();
  }

  isReached(user: string): boolean {
    if (this.#limit === null) return false;
    const { messages, windowMs = DAY_MS } = this.#limit;
    const times = this.#accepted.get(user) ?? [];
    while (times[0] !== undefined && times[0] <= Date.now() - windowMs) times.shift();
    return times.length >= messages;
  }

  count(user: string): void {
    if (this.#limit === null) return;
    const times = this.#accepted.get(user) ?? [];
    times.push(Date.now());
    this.#accepted.set(user, times);
  }
}

const THROTTLE_REPLY_NAMES = {
  /** 421; the connection is closed. */
  'try-again-later': 'tryAgainLater',
  /** 450, a reply of smtp-relay.gmail.com; the session continues. */
  'relay-peak': 'relayPeak',
} as const satisfies Record<string, ReplyName>;

export type ThrottleReply = keyof typeof THROTTLE_REPLY_NAMES;

export const THROTTLE_REPLIES = Object.keys(THROTTLE_REPLY_NAMES) as ThrottleReply[];

/** Refuses a number of transactions at MAIL. */
export class Throttle {
  #remaining = 0;
  #reply: ReplyName = 'tryAgainLater';

  start(transactions: number, reply: ThrottleReply): void {
    this.#remaining = transactions;
    this.#reply = THROTTLE_REPLY_NAMES[reply];
  }

  /** Returns the reply that refuses this transaction; null accepts it. */
  nextRefusal(): ReplyName | null {
    if (this.#remaining <= 0) return null;
    this.#remaining -= 1;
    return this.#reply;
  }
}
