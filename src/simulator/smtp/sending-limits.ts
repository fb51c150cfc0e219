/** How much a login may send, and when all must wait: both can be set while the simulator runs. */
import type { ReplyName } from './replies.ts';

export interface DailyLimit {
  /** How many messages each user may have accepted within the window. */
  readonly messages: number;
  /** A day unless told otherwise. */
  readonly windowMs?: number;
}

export const DAY_MS = 24 * 60 * 60 * 1000;

/** Counts each user's accepted messages over a rolling window. */
export class DailyLimiter {
  #limit: DailyLimit | null = null;
  /** When the messages still in the window were accepted, oldest first. */
  readonly #accepted = new Map<string, number[]>();

  /** Null lifts the limit. Counting starts anew. */
  set(limit: DailyLimit | null): void {
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

const THROTTLES = {
  /** 421, and the connection is closed. */
  'try-again-later': 'tryAgainLater',
  /** 450, as smtp-relay.gmail.com says it; the session goes on. */
  'relay-peak': 'relayPeak',
} as const satisfies Record<string, ReplyName>;

export type ThrottleReply = keyof typeof THROTTLES;

export const THROTTLE_REPLIES = Object.keys(THROTTLES) as ThrottleReply[];

/** Turns away a number of transactions at MAIL. */
export class Throttle {
  #left = 0;
  #reply: ReplyName = 'tryAgainLater';

  set(transactions: number, reply: ThrottleReply): void {
    this.#left = transactions;
    this.#reply = THROTTLES[reply];
  }

  /** The reply to this MAIL, which counts as one; null lets it pass. */
  take(): ReplyName | null {
    if (this.#left <= 0) return null;
    this.#left -= 1;
    return this.#reply;
  }
}
