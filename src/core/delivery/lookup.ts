import type { ErrorCode } from '../errors.ts';
import type { Delivery } from './delivery.ts';
import type { Outcome } from './outcome.ts';

/**
 * The search of Sent Mail for a message that an attempt with an unknown outcome may have sent.
 *
 *     looking ─▶ idle ◀─▶ checking ─▶ checked
 *
 * - `looking`: is searched for at intervals, before ON_UNCERTAIN decides.
 * - `idle`: ON_UNCERTAIN has decided. It must be searched for again before the next attempt.
 * - `checking`: is searched for once, before the next attempt or for a client. The decision stands.
 * - `checked`: was searched for just now, and may be attempted.
 *
 * A message is found in any of these states at most once: then it has no lookup any more.
 */
export interface Lookup {
  readonly state: 'looking' | 'idle' | 'checking' | 'checked';
  /** The account whose Sent Mail is searched: that of the attempt. */
  readonly account: string;
  /** Number of the latest attempt with an unknown outcome. */
  readonly attempt: number;
  /** How that attempt ended. */
  readonly outcome: Outcome;
  /** The recipients that a copy in Sent Mail proves to be accepted. */
  readonly recipients: readonly string[];
  /** Whether an attempt before it may have left a copy. */
  readonly possibleDuplicate: boolean;
  /** When the first attempt that may have left a copy began, in epoch ms by the wall clock. */
  readonly since: number;
  /** When the latest one ended, in epoch ms by the shared clock. */
  readonly endedAt: number;
  /** When the latest search began, in epoch ms by the shared clock. Missing: there was none. */
  readonly lookedAt?: number;
  /** When a client last asked for a search that has not ended, by the same clock. Missing: none has. */
  readonly requestedAt?: number;
  /** Why the latest search failed. Null: it did not, or there was none. */
  readonly fault: { readonly code: ErrorCode; readonly detail: string } | null;
}

export const LOOKUP_RESULTS = ['confirmed', 'not_found', 'not_possible'] as const;
/**
 * How the search for a message ended. `not_possible`: the mailbox cannot be read. A message that is
 * not found can be confirmed later, by the search before the next attempt or by that of a client.
 */
export type LookupResult = (typeof LOOKUP_RESULTS)[number];

/** Whether a delivery waits for a search of Sent Mail. It must not be attempted meanwhile. */
export function isLookedUp({ lookup }: Pick<Delivery, 'lookup'>): boolean {
  return lookup?.state === 'looking' || lookup?.state === 'checking';
}

/** Returns the channel of the queue for the mailbox of an account. */
export function mailboxChannel(account: string): string {
  return `mailbox:${account}`;
}

/** Returns the channel of the queue in which the id of a delivery waits. */
export function channelOf({ account, lookup }: Pick<Delivery, 'account' | 'lookup'>): string {
  return lookup !== null && isLookedUp({ lookup }) ? mailboxChannel(lookup.account) : account;
}
