import type { DeliveryError } from './delivery/delivery.ts';
import { ERRORS } from './errors.ts';
import type { Priority } from './message/message.ts';

const HOUR_MS = 60 * 60_000;
/** Gmail counts over a rolling day: https://support.google.com/a/answer/166852. */
export const WINDOW_MS = 24 * HOUR_MS;
/** What is counted together, and so leaves the window together: up to a minute late, never early. */
const BUCKET_MS = 60_000;

/** What an account may send in a rolling 24 h, and the part of it (0 to 1) that only high priority may use. */
export interface Allowance {
  readonly messages: number;
  readonly recipients: number;
  readonly reserve: number;
}

/** What is used of one of the two limits. */
export interface Usage {
  readonly limit: number;
  /** What Gmail has shown to be the limit, if that is less. */
  readonly learned: number | null;
  readonly used: number;
}

/** How many messages there may be, and how many more there is room for now. */
export interface Budget {
  readonly limit: number;
  readonly left: number;
  /** When the oldest of what is counted leaves the window, as epoch milliseconds; null if nothing is counted. */
  readonly freesAt: number | null;
}

/** Times are epoch milliseconds. */
export interface QuotaState {
  readonly messages: Usage;
  readonly recipients: Usage;
  readonly reserve: number;
  /** What was sent before is not known. */
  readonly countedSince: number;
  /** When the oldest of what is counted leaves the window; null if nothing is counted. */
  readonly freesAt: number | null;
}

export interface Count {
  messages: number;
  recipients: number;
}

/** What was counted together, and leaves the window together at `leavesAt`. */
interface Bucket extends Count {
  readonly leavesAt: number;
}

/** What there is to know of what was sent, as it is kept. Times are those of the books. */
export interface QuotaBook {
  readonly countedSince: number;
  readonly buckets: Bucket[];
  /** The sum of the buckets. */
  readonly used: Count;
  /** What Gmail has shown to be the limit, and when that is tried. */
  learned: (Count & { readonly tryAt: number }) | null;
}

export function emptyQuota(now: number): QuotaBook {
  return { countedSince: now, buckets: [], used: { messages: 0, recipients: 0 }, learned: null };
}

/** What an account has sent in the last 24 h, by what Gmail accepted, against what it may. */
export interface Quota {
  /** How long such a message must wait, in ms; 0 if there is room now. */
  waitMs(recipients: number, priority: Priority): number;
  /** A message was accepted for so many recipients, or may have been. */
  count(recipients: number): void;
  /** What was counted last was not accepted after all. */
  uncount(recipients: number): void;
  /**
   * Gmail says that the limit is reached: it is no higher than what is counted, until an attempt beyond it, once an hour, proves otherwise.
   * Answers how long until something of what is counted leaves the window, in ms; Infinity if nothing is counted.
   */
  learn(): number;
  /** For messages of this priority. */
  budget(priority: Priority): Budget;
  state(): QuotaState;
}

export interface QuotaOptions {
  readonly allowance: Allowance;
  /** What is under way: it counts until it has ended. */
  readonly held?: Readonly<Count>;
  /** Epoch ms by the clock of the books. */
  readonly now: () => number;
  /** Multiplies the hour after which a learned limit is tried. */
  readonly backoffScale?: number;
}

const NOTHING: Readonly<Count> = { messages: 0, recipients: 0 };

/** Reads and changes a book. */
export function quotaIn(
  book: QuotaBook,
  { allowance, held = NOTHING, now, backoffScale = 1 }: QuotaOptions,
): Quota {
  const { buckets, used } = book;

  function prune() {
    for (let oldest = buckets[0]; oldest && oldest.leavesAt <= now(); oldest = buckets[0]) {
      buckets.shift();
      add(used, oldest, -1);
    }
  }

  /** What still counts, and when the oldest of it leaves the window. */
  function inWindow(): { readonly count: Count; readonly freesAt: number | null } {
    const count = { ...used };
    for (const bucket of buckets) {
      if (bucket.leavesAt > now()) return { count, freesAt: Date.now() + Math.ceil(bucket.leavesAt - now()) };
      add(count, bucket, -1);
    }
    return { count, freesAt: null };
  }

  /** What a message of this priority may use of these limits. */
  function ceilings({ messages, recipients }: Readonly<Count>, priority: Priority): Count {
    const share = priority === 'high' ? 1 : 1 - allowance.reserve;
    return { messages: Math.floor(messages * share), recipients: Math.floor(recipients * share) };
  }

  /** When the message fits below these ceilings, as a wait; what is larger than the whole budget fits into an empty one. */
  function waitBelow(ceiling: Count, recipients: number): number {
    const room = (taken: Count) =>
      taken.messages + 1 <= Math.max(1, ceiling.messages) &&
      taken.recipients + Math.min(recipients, ceiling.recipients) <= ceiling.recipients;
    const taken = { ...used };
    add(taken, held, 1);
    let waitMs = 0;
    for (const bucket of buckets) {
      if (room(taken)) return waitMs;
      add(taken, bucket, -1);
      waitMs = Math.max(0, Math.ceil(bucket.leavesAt - now()));
    }
    return room(taken) ? waitMs : Math.max(waitMs, BUCKET_MS * backoffScale);
  }

  return {
    waitMs(recipients, priority) {
      const { learned } = book;
      const waitMs = waitBelow(ceilings(learned ?? allowance, priority), recipients);
      if (!learned || waitMs === 0) return waitMs;
      // One at a time may ask Gmail whether there is more than was learned.
      const configured = ceilings(allowance, priority);
      const untilTry = Math.max(0, Math.ceil(learned.tryAt - now()), waitBelow(configured, recipients));
      return Math.min(waitMs, held.messages > 0 ? Math.max(untilTry, BUCKET_MS * backoffScale) : untilTry);
    },
    count(recipients) {
      prune();
      const last = buckets.at(-1);
      const isOpen = last && last.leavesAt - WINDOW_MS > now();
      const bucket = isOpen
        ? last
        : { messages: 0, recipients: 0, leavesAt: Math.ceil(now()) + BUCKET_MS + WINDOW_MS };
      if (!isOpen) buckets.push(bucket);
      const one = { messages: 1, recipients };
      add(bucket, one, 1);
      add(used, one, 1);
      // It has proven higher than was learned.
      if (book.learned && used.messages > book.learned.messages) book.learned = null;
    },
    uncount(recipients) {
      const last = buckets.at(-1);
      if (!last) return;
      const one = { messages: 1, recipients };
      add(last, one, -1);
      add(used, one, -1);
    },
    learn() {
      prune();
      book.learned = { ...used, tryAt: now() + HOUR_MS * backoffScale };
      return (buckets[0]?.leavesAt ?? Number.POSITIVE_INFINITY) - now();
    },
    budget(priority) {
      const { count, freesAt } = inWindow();
      const left = Math.max(
        0,
        ceilings(book.learned ?? allowance, priority).messages - count.messages - held.messages,
      );
      return { limit: allowance.messages, left, freesAt };
    },
    state() {
      const { count, freesAt } = inWindow();
      return {
        messages: {
          limit: allowance.messages,
          learned: book.learned?.messages ?? null,
          used: count.messages,
        },
        recipients: {
          limit: allowance.recipients,
          learned: book.learned?.recipients ?? null,
          used: count.recipients,
        },
        reserve: allowance.reserve,
        countedSince: Math.round(book.countedSince),
        freesAt,
      };
    },
  };
}

function add(count: Count, { messages, recipients }: Readonly<Count>, sign: 1 | -1): void {
  count.messages += sign * messages;
  count.recipients += sign * recipients;
}

/** Why a message of this priority waits. */
export function shortageOf({ messages, recipients, reserve }: QuotaState, priority: Priority): DeliveryError {
  const percent = Math.round(reserve * 1000) / 10;
  const kept =
    priority === 'high' || reserve === 0
      ? ''
      : ` ${percent} % of what it may send is kept for "priority": "high".`;
  const of = ({ used, limit, learned }: Usage) => `${used} of ${learned ?? limit}`;
  return {
    code: 'daily_limit_reached',
    scope: 'account',
    detail: `In the last 24 hours this account has sent ${of(messages)} messages, to ${of(recipients)} recipients.${kept}`,
    hint: ERRORS.daily_limit_reached.hint,
    smtp: null,
  };
}
