import { DAY, MINUTE } from './time.ts';

/**
 * Length of the rolling window, in ms. Gmail counts over a rolling day:
 * https://support.google.com/a/answer/166852.
 */
export const WINDOW_MS = DAY;
const BUCKET_MS = 10 * MINUTE;

export interface Count {
  messages: number;
  recipients: number;
}

/** Messages that leave the window together. */
export interface UsageBucket extends Count {
  /** Epoch ms by the shared clock: the first full ten minutes at least 24 h after each message. */
  readonly leavesAt: number;
}

/**
 * Messages counted in a rolling 24 h: plain JSON, at most 145 buckets, the one that leaves first in
 * front. A slot is free up to ten minutes late, never early. Buckets may outlive the window until
 * the next message is counted.
 */
export type Usage = UsageBucket[];

/**
 * Counts messages in the newest bucket and drops the buckets that have left the window.
 *
 * @returns `leavesAt` of the bucket, for {@link subtractUsage}
 */
export function addUsage(usage: Usage, { messages, recipients }: Readonly<Count>, now: number): number {
  while (usage[0] && usage[0].leavesAt <= now) usage.shift();
  const newest = usage.at(-1);
  const leavesAt = roundUp(now + WINDOW_MS);
  // The clock of another instance may be ahead.
  const bucket = newest && newest.leavesAt >= leavesAt ? newest : { messages: 0, recipients: 0, leavesAt };
  if (bucket !== newest) usage.push(bucket);
  bucket.messages += messages;
  bucket.recipients += recipients;
  return bucket.leavesAt;
}

/** Takes back what {@link addUsage} counted. Does nothing once the bucket has left the window. */
export function subtractUsage(
  usage: Usage,
  { messages, recipients }: Readonly<Count>,
  leavesAt: number,
): void {
  const at = usage.findLastIndex((bucket) => bucket.leavesAt === leavesAt);
  const bucket = usage[at];
  if (!bucket) return;
  bucket.messages -= messages;
  bucket.recipients -= recipients;
  if (bucket.messages <= 0) usage.splice(at, 1);
}

/** Sum of what is in the window. */
export function totalUsage(usage: Readonly<Usage>, now: number): Count {
  const total = { messages: 0, recipients: 0 };
  for (const { messages, recipients, leavesAt } of usage) {
    if (leavesAt <= now) continue;
    total.messages += messages;
    total.recipients += recipients;
  }
  return total;
}

/**
 * When the oldest bucket leaves the window, in epoch ms by the shared clock. Null if nothing is
 * counted.
 */
export function nextLeaveAt(usage: Readonly<Usage>, now: number): number | null {
  return usage.find(({ leavesAt }) => leavesAt > now)?.leavesAt ?? null;
}

/**
 * Merges buckets of any size, such as those of version 0.1, into today's. None leaves earlier than
 * before.
 */
export function mergeBuckets(buckets: readonly UsageBucket[]): Usage {
  const usage: Usage = [];
  for (const { messages, recipients, leavesAt } of buckets.toSorted((a, b) => a.leavesAt - b.leavesAt)) {
    const newest = usage.at(-1);
    if (newest && newest.leavesAt >= leavesAt) {
      newest.messages += messages;
      newest.recipients += recipients;
    } else usage.push({ messages, recipients, leavesAt: roundUp(leavesAt) });
  }
  return usage;
}

export function copyUsage(usage: Readonly<Usage>): Usage {
  return usage.map((bucket) => ({ ...bucket }));
}

/** Buckets that differ, as they are in `after`. A bucket that is gone has zero messages. */
export function changedBuckets(before: Readonly<Usage>, after: Readonly<Usage>): UsageBucket[] {
  const changed: UsageBucket[] = [];
  let i = 0;
  const skipUpTo = (leavesAt: number) => {
    for (; i < before.length && (before[i]?.leavesAt ?? 0) < leavesAt; i += 1)
      changed.push({ messages: 0, recipients: 0, leavesAt: before[i]?.leavesAt ?? 0 });
  };
  for (const bucket of after) {
    skipUpTo(bucket.leavesAt);
    const former = before[i]?.leavesAt === bucket.leavesAt ? before[i++] : null;
    if (former?.messages !== bucket.messages || former.recipients !== bucket.recipients) changed.push(bucket);
  }
  skipUpTo(Number.POSITIVE_INFINITY);
  return changed;
}

function roundUp(at: number): number {
  return Math.ceil(at / BUCKET_MS) * BUCKET_MS;
}
