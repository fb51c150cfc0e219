import type { DeliveryError } from './delivery/delivery.ts';
import { ERRORS } from './errors.ts';
import type { Priority } from './message/message.ts';
import { HOUR, MINUTE } from './time.ts';
import { addUsage, type Count, nextLeaveAt, totalUsage, type Usage } from './usage.ts';

/** Wait where no end of the shortage is known: attempts under way may end at any moment. */
const RECHECK_MS = MINUTE;
/** Interval at which a learned limit is tested with one message. */
const TEST_AFTER_MS = HOUR;

/**
 * What may be sent in a rolling 24 h, and the share of it (0 to 1) that only high priority may use.
 */
export interface Allowance {
  readonly messages: number;
  readonly recipients: number;
  readonly reserve: number;
}

/** A limit that Gmail reported below the configured one. */
export interface LearnedLimit extends Readonly<Count> {
  /** When one message may test whether it still holds, in epoch ms by the shared clock. */
  readonly tryAt: number;
}

/** What is known of an account's quota besides its usage: plain JSON. */
export interface Quota {
  /** Epoch ms by the shared clock. Messages sent before are not counted. */
  readonly countedSince: number;
  learned: LearnedLimit | null;
}

/** Everything that counts against an allowance. */
export interface Consumption {
  readonly usage: Readonly<Usage>;
  /** Attempts under way count until they end. */
  readonly inFlight: Readonly<Count>;
  readonly learned: LearnedLimit | null;
}

export interface QuotaRules {
  readonly allowance: Allowance;
  /** Multiplies every wait except those for a bucket: 1, or less to make tests quick. */
  readonly backoffScale: number;
}

export interface Demand {
  readonly recipients: number;
  readonly priority: Priority;
}

/** State of one of the two limits. */
export interface LimitStatus {
  readonly limit: number;
  /** The limit that Gmail reported, if it is lower. */
  readonly learned: number | null;
  readonly used: number;
}

export interface QuotaStatus {
  readonly messages: LimitStatus;
  readonly recipients: LimitStatus;
  readonly reserve: number;
  /** Epoch ms. Messages sent before are not counted. */
  readonly countedSince: number;
  /** When the oldest counted messages leave the window, in epoch ms. Null if nothing is counted. */
  readonly freesAt: number | null;
}

/** The number of messages that are allowed, and how many of them are left. */
export interface Budget {
  readonly limit: number;
  readonly left: number;
  /** When the oldest counted messages leave the window, in epoch ms. Null if nothing is counted. */
  readonly freesAt: number | null;
}

export function newQuota(now: number): Quota {
  return { countedSince: now, learned: null };
}

/** How long a message must wait for its quota, in ms. 0: it may go now. */
export function waitForQuota(
  consumption: Consumption,
  rules: QuotaRules,
  now: number,
  demand: Demand,
): number {
  const { inFlight, learned } = consumption;
  const recheckMs = RECHECK_MS * rules.backoffScale;
  const waitBelow = (limits: Readonly<Count>) => {
    const ceiling = ceilingOf(limits, rules.allowance.reserve, demand.priority);
    return waitUntilFits(consumption, ceiling, demand.recipients, now, recheckMs);
  };

  const waitMs = waitBelow(learned ?? rules.allowance);
  if (!learned || waitMs === 0) return waitMs;
  // One message at a time may test whether the learned limit still holds.
  const untilTestMs = Math.max(0, Math.ceil(learned.tryAt - now), waitBelow(rules.allowance));
  return Math.min(waitMs, inFlight.messages > 0 ? Math.max(untilTestMs, recheckMs) : untilTestMs);
}

/** Counts a message that was accepted for this number of recipients, or may have been. */
export function countMessage(quota: Quota, usage: Usage, recipients: number, now: number): void {
  addUsage(usage, { messages: 1, recipients }, now);
  // The limit has proven to be higher than the learned one.
  if (quota.learned && totalUsage(usage, now).messages > quota.learned.messages) quota.learned = null;
}

/**
 * Learns that the limit is reached: it is no higher than what is counted, until a message beyond
 * it, once an hour, is accepted.
 *
 * @returns how long until the oldest bucket leaves the window, in ms; Infinity if nothing is
 *   counted
 */
export function learnLimit(
  quota: Quota,
  usage: Readonly<Usage>,
  { backoffScale }: QuotaRules,
  now: number,
): number {
  quota.learned = { ...totalUsage(usage, now), tryAt: now + TEST_AFTER_MS * backoffScale };
  return (nextLeaveAt(usage, now) ?? Number.POSITIVE_INFINITY) - now;
}

/** `freesAt` is by the shared clock. */
export function budgetOf(
  { usage, inFlight, learned }: Consumption,
  allowance: Allowance,
  priority: Priority,
  now: number,
): Budget {
  const ceiling = ceilingOf(learned ?? allowance, allowance.reserve, priority);
  const left = Math.max(0, ceiling.messages - totalUsage(usage, now).messages - inFlight.messages);
  return { limit: allowance.messages, left, freesAt: nextLeaveAt(usage, now) };
}

/** `freesAt` is by the shared clock. */
export function quotaStatusOf(
  { countedSince, learned }: Quota,
  usage: Readonly<Usage>,
  allowance: Allowance,
  now: number,
): QuotaStatus {
  const used = totalUsage(usage, now);
  const statusOf = (kind: keyof Count): LimitStatus => ({
    limit: allowance[kind],
    learned: learned?.[kind] ?? null,
    used: used[kind],
  });
  return {
    messages: statusOf('messages'),
    recipients: statusOf('recipients'),
    reserve: allowance.reserve,
    countedSince: Math.round(countedSince),
    freesAt: nextLeaveAt(usage, now),
  };
}

/** The reason why a message of this priority waits for quota. */
export function quotaErrorOf(
  { messages, recipients, reserve }: QuotaStatus,
  priority: Priority,
): DeliveryError {
  const percent = Math.round(reserve * 1000) / 10;
  const reserved =
    priority === 'high' || reserve === 0
      ? ''
      : ` ${percent} % of its limit is reserved for "priority": "high".`;
  const shareOf = ({ used, limit, learned }: LimitStatus) => `${used} of ${learned ?? limit}`;
  return {
    code: 'daily_limit_reached',
    scope: 'account',
    detail: `In the last 24 hours this account has sent ${shareOf(messages)} messages, to ${shareOf(recipients)} recipients.${reserved}`,
    hint: ERRORS.daily_limit_reached.hint,
    smtp: null,
  };
}

/** The part of these limits that a message of this priority may use. */
function ceilingOf({ messages, recipients }: Readonly<Count>, reserve: number, priority: Priority): Count {
  const share = priority === 'high' ? 1 : 1 - reserve;
  return { messages: Math.floor(messages * share), recipients: Math.floor(recipients * share) };
}

/**
 * How long until a message fits below the ceiling as buckets leave the window, in ms. A message
 * larger than the whole ceiling fits when nothing else is counted.
 *
 * @param recheckMs the least wait if the message fits only once attempts under way have ended
 */
function waitUntilFits(
  { usage, inFlight }: Consumption,
  ceiling: Count,
  recipients: number,
  now: number,
  recheckMs: number,
): number {
  const fits = (taken: Count) =>
    taken.messages + 1 <= Math.max(1, ceiling.messages) &&
    taken.recipients + Math.min(recipients, ceiling.recipients) <= ceiling.recipients;

  const taken = totalUsage(usage, now);
  taken.messages += inFlight.messages;
  taken.recipients += inFlight.recipients;
  if (fits(taken)) return 0;
  let waitMs = 0;
  for (const bucket of usage) {
    if (bucket.leavesAt <= now) continue;
    taken.messages -= bucket.messages;
    taken.recipients -= bucket.recipients;
    waitMs = Math.ceil(bucket.leavesAt - now);
    if (fits(taken)) return waitMs;
  }
  return Math.max(waitMs, recheckMs);
}
