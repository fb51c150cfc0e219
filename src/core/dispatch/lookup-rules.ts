import { type Attempt, type Delivery, type DeliveryError, namedOf } from '../delivery/delivery.ts';
import type { Lookup } from '../delivery/lookup.ts';
import type { Outcome } from '../delivery/outcome.ts';
import type { ErrorCode } from '../errors.ts';
import { HOUR, MINUTE, SECOND } from '../time.ts';

/** When Sent Mail is searched after the end of an attempt, in ms. */
const LOOKS_AT_MS: readonly number[] = [
  5 * SECOND,
  15 * SECOND,
  45 * SECOND,
  2 * MINUTE,
  5 * MINUTE,
  10 * MINUTE,
];
/** Interval of the searches after these, in ms. */
const LOOK_EVERY_MS = HOUR;

/** What the dispatcher needs to know of the mailboxes of the accounts. */
export interface LookupRules {
  /** Whether Sent Mail of the account can be searched, as far as this instance knows. */
  isPossible(account: string): boolean;
  /** Why the mailbox of the account refused the last login. Null: it did not, or is not searched. */
  refusalOf(account: string): ErrorCode | null;
  /** Epoch ms by the shared clock. */
  now(): number;
  /** How long Sent Mail is searched after an attempt, in ms (RECONCILE_FOR). */
  readonly forMs: number;
}

/**
 * Returns the wait until the next look, in ms. Null if there is none: the search is over.
 *
 * @param afterMs time since the end of the attempt
 * @param scale multiplies all times: 1, or less in tests
 */
export function waitForLook(afterMs: number, forMs: number, scale: number): number | null {
  const at = afterMs / scale;
  if (at >= forMs) return null;
  const next = LOOKS_AT_MS.find((step) => step > at) ?? (Math.floor(at / LOOK_EVERY_MS) + 1) * LOOK_EVERY_MS;
  return Math.ceil((Math.min(next, forMs) - at) * scale);
}

/**
 * Returns the lookup of a delivery after an attempt. Null if a copy in Sent Mail would prove nothing:
 * all attempts have the same Message-ID.
 */
export function lookupAfter(
  sending: Delivery,
  attempt: Attempt,
  outcome: Outcome,
  { now }: LookupRules,
): Lookup | null {
  const { lookup } = sending;
  // The copy may be that of the accepted recipients from now on.
  if (outcome.accepted.length > 0) return null;
  if (outcome.fault === null || outcome.fault.certain) return lookup;
  const refused = new Set(outcome.refused.map(({ email }) => email));
  const recipients = namedOf(sending).filter((email) => !refused.has(email));
  if (!provesAcceptance(sending, attempt.account, recipients)) return null;
  const earlier = lookup?.account === attempt.account ? lookup : null;
  return {
    state: 'idle',
    account: attempt.account,
    attempt: attempt.number,
    outcome,
    recipients,
    possibleDuplicate: sending.possibleDuplicate,
    since: earlier?.since ?? attempt.startedAt,
    endedAt: now(),
    fault: null,
  };
}

/**
 * Whether any copy in Sent Mail of the account was sent to these recipients, by whichever attempt.
 */
function provesAcceptance(
  { lookup, recipients, possibleDuplicate, attempts }: Delivery,
  account: string,
  unknown: readonly string[],
): boolean {
  if (recipients.some(({ status }) => !['pending', 'rejected', 'suppressed'].includes(status))) return false;
  if (!possibleDuplicate && lookup === null) return true;
  if (lookup?.account === account) return unknown.every((email) => lookup.recipients.includes(email));
  return lookup !== null && attempts.slice(0, -1).every((earlier) => earlier.account !== account);
}

/** Returns an outcome whose failure has the result of the search of Sent Mail in its detail. */
export function withSearchOf(outcome: Outcome, sentence: string): Outcome {
  const { fault } = outcome;
  return fault === null
    ? outcome
    : { ...outcome, fault: { ...fault, error: withSearch(fault.error, sentence) } };
}

/** Returns the error with the result of the search of Sent Mail in its detail. */
export function withSearch(error: DeliveryError, sentence: string): DeliveryError {
  return { ...error, detail: `${error.detail} ${sentence}` };
}

/** Returns the error of an attempt with an unknown outcome. */
export function errorOf({ outcome }: Lookup): DeliveryError {
  if (outcome.fault === null) throw new Error('a lookup has an outcome without a fault');
  return outcome.fault.error;
}
