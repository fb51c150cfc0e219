import type { DeliveryError } from './delivery.ts';
import { ERRORS } from './errors.ts';
import type { Priority } from './message.ts';

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

/** A place in the budgets, taken for one attempt. It ends in one of the two. */
export interface Hold {
  /** So many recipients were accepted, or may have been. */
  spend(recipients: number): void;
  release(): void;
}

/** What an account has sent in the last 24 h, by what Gmail accepted, against what it may. */
export interface Quota {
  /** How long such a message must wait, in ms; 0 if there is room now. */
  waitMs(recipients: number, priority: Priority): number;
  hold(recipients: number): Hold;
  /**
   * Gmail says that the limit is reached: it is no higher than what is counted, until an attempt beyond it, once an hour, proves otherwise.
   * Answers how long until something of what is counted leaves the window, in ms; Infinity if nothing is counted.
   */
  learn(): number;
  /** For messages of this priority. */
  budget(priority: Priority): Budget;
  state(): QuotaState;
}

interface Count {
  messages: number;
  recipients: number;
}

/** @param options.backoffScale multiplies the hour after which a learned limit is tried */
export function createQuota(allowance: Allowance, { backoffScale = 1 }: { backoffScale?: number } = {}): Quota {
  const countedSince = Date.now();
  const buckets: (Count & { readonly leavesAt: number })[] = [];
  const used: Count = { messages: 0, recipients: 0 };
  const held: Count = { messages: 0, recipients: 0 };
  let learned: Readonly<Count & { tryAt: number }> | null = null;

  function prune() {
    const now = performance.now();
    for (let oldest = buckets[0]; oldest && oldest.leavesAt <= now; oldest = buckets[0]) {
      buckets.shift();
      add(used, -oldest.messages, -oldest.recipients);
    }
  }

  function count(recipients: number) {
    const now = performance.now();
    const last = buckets.at(-1);
    const bucket = last && last.leavesAt - WINDOW_MS > now ? last : { messages: 0, recipients: 0, leavesAt: now + BUCKET_MS + WINDOW_MS };
    if (bucket !== last) buckets.push(bucket);
    add(bucket, 1, recipients);
    add(used, 1, recipients);
    // It has proven higher than was learned.
    if (learned && used.messages > learned.messages) learned = null;
  }

  function freesAt(): number | null {
    const oldest = buckets[0];
    return oldest ? Date.now() + Math.ceil(oldest.leavesAt - performance.now()) : null;
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
    const taken = { messages: used.messages + held.messages, recipients: used.recipients + held.recipients };
    let waitMs = 0;
    for (const bucket of buckets) {
      if (room(taken)) return waitMs;
      add(taken, -bucket.messages, -bucket.recipients);
      waitMs = Math.max(0, Math.ceil(bucket.leavesAt - performance.now()));
    }
    return room(taken) ? waitMs : Math.max(waitMs, BUCKET_MS * backoffScale);
  }

  return {
    waitMs(recipients, priority) {
      prune();
      const waitMs = waitBelow(ceilings(learned ?? allowance, priority), recipients);
      if (!learned || waitMs === 0) return waitMs;
      // One at a time may ask Gmail whether there is more than was learned.
      const configured = ceilings(allowance, priority);
      const untilTry = Math.max(0, Math.ceil(learned.tryAt - performance.now()), waitBelow(configured, recipients));
      return Math.min(waitMs, held.messages > 0 ? Math.max(untilTry, BUCKET_MS * backoffScale) : untilTry);
    },
    hold(recipients) {
      let open = true;
      add(held, 1, recipients);
      const release = () => {
        if (open) add(held, -1, -recipients);
        open = false;
      };
      return {
        spend(accepted) {
          release();
          count(accepted);
        },
        release,
      };
    },
    learn() {
      prune();
      learned = { ...used, tryAt: performance.now() + HOUR_MS * backoffScale };
      return (buckets[0]?.leavesAt ?? Number.POSITIVE_INFINITY) - performance.now();
    },
    budget(priority) {
      prune();
      const left = Math.max(0, ceilings(learned ?? allowance, priority).messages - used.messages - held.messages);
      return { limit: allowance.messages, left, freesAt: freesAt() };
    },
    state() {
      prune();
      return {
        messages: { limit: allowance.messages, learned: learned?.messages ?? null, used: used.messages },
        recipients: { limit: allowance.recipients, learned: learned?.recipients ?? null, used: used.recipients },
        reserve: allowance.reserve,
        countedSince,
        freesAt: freesAt(),
      };
    },
  };
}

function add(count: Count, messages: number, recipients: number): void {
  count.messages += messages;
  count.recipients += recipients;
}

/** Why a message of this priority waits. */
export function shortageOf({ messages, recipients, reserve }: QuotaState, priority: Priority): DeliveryError {
  const percent = Math.round(reserve * 1000) / 10;
  const kept = priority === 'high' || reserve === 0 ? '' : ` ${percent} % of what it may send is kept for "priority": "high".`;
  const of = ({ used, limit, learned }: Usage) => `${used} of ${learned ?? limit}`;
  return {
    code: 'daily_limit_reached',
    scope: 'account',
    detail: `In the last 24 hours this account has sent ${of(messages)} messages, to ${of(recipients)} recipients.${kept}`,
    hint: ERRORS.daily_limit_reached.hint,
    smtp: null,
  };
}
