import { DAY } from '../time.ts';

/** How far the inbox of an account has been read. A JSON value. */
export interface InboxPosition {
  /** UIDs are comparable while this stays the same (RFC 9051, section 2.3.1.1). */
  readonly uidValidity: number;
  /** Every mail up to this UID has been read. */
  readonly lastUid: number;
  /** When the inbox was last read to its end, in epoch ms. */
  readonly sweptAt: number;
  /** When all mail was last searched, in epoch ms. */
  readonly searchedAt: number;
  /** Digests of reports and replies that were handled, the newest last. */
  readonly handled: readonly string[];
}

/** State of an open inbox. */
export interface InboxState {
  readonly uidValidity: number;
  /** UID that the next mail gets. */
  readonly uidNext: number;
}

/**
 * What to read of the inbox. `since` is a date, in epoch ms: UIDs have changed, so reading restarts
 * at the first mail that came since then, and what was handled is skipped.
 */
export type Sweep =
  | { readonly kind: 'none' }
  | { readonly kind: 'uids'; readonly first: number }
  | { readonly kind: 'since'; readonly since: number };

/** Mail is read again by days, and a mailbox rarely gets as many reports in one. */
const MAX_HANDLED = 500;
/** SEARCH SINCE compares days in the time zone of the server (RFC 9051, section 6.4.4). */
const DAY_MARGIN_MS = DAY;
const SEARCH_INTERVAL_MS = DAY;
/** Mail that is older is not searched for: its message is hardly stored any more. */
const MAX_AGE_MS = 30 * DAY;

/** Returns the position of an inbox that was never read. Mail that is in it is left to the search. */
export function createInboxPosition({ uidValidity, uidNext }: InboxState, now: number): InboxPosition {
  return {
    uidValidity,
    lastUid: uidNext - 1,
    sweptAt: now,
    searchedAt: now - SEARCH_INTERVAL_MS,
    handled: [],
  };
}

/** Plans what to read after a connection was made, or new mail was announced. */
export function planSweep(position: InboxPosition, state: InboxState, now: number): Sweep {
  const { uidValidity, lastUid, sweptAt } = position;
  if (state.uidValidity !== uidValidity) return { kind: 'since', since: dayBefore(sweptAt, now) };
  return state.uidNext <= lastUid + 1 ? { kind: 'none' } : { kind: 'uids', first: lastUid + 1 };
}

/** Returns the position from which mail is read by its UIDs, once these have changed. */
export function restartAt(
  position: InboxPosition,
  { uidValidity }: InboxState,
  firstUid: number,
): InboxPosition {
  return { ...position, uidValidity, lastUid: firstUid - 1 };
}

/**
 * Returns the time until the search of all mail, in ms. It also finds what a filter has moved. A
 * clock that was set back by a day makes it due.
 */
export function untilSearch({ searchedAt }: InboxPosition, now: number): number {
  return Math.max(0, SEARCH_INTERVAL_MS - Math.abs(now - searchedAt));
}

/** The date from which all mail is searched, in epoch ms. */
export function searchSince({ searchedAt }: InboxPosition, now: number): number {
  return dayBefore(searchedAt, now);
}

/**
 * Returns a date from which a search finds the mail since `at`. If the clock was ahead then, `at` says
 * nothing.
 */
function dayBefore(at: number, now: number): number {
  const oldest = now - MAX_AGE_MS;
  return at > now ? oldest : Math.max(oldest, at - DAY_MARGIN_MS);
}

/** Whether a report or a reply was handled. */
export function isHandled({ handled }: InboxPosition, digest: string): boolean {
  return handled.includes(digest);
}

/** Notes that a report or a reply was handled. */
export function noteHandled(position: InboxPosition, digest: string): InboxPosition {
  return { ...position, handled: [...position.handled, digest].slice(-MAX_HANDLED) };
}

/** Notes that every mail up to a UID has been read. */
export function noteRead(position: InboxPosition, uid: number): InboxPosition {
  return uid > position.lastUid ? { ...position, lastUid: uid } : position;
}

/** Notes that the inbox has been read to its end. Mail that came meanwhile has a higher UID. */
export function noteSwept(position: InboxPosition, { uidNext }: InboxState, now: number): InboxPosition {
  return { ...noteRead(position, uidNext - 1), sweptAt: now };
}

/** Notes that all mail has been searched. */
export function noteSearched(position: InboxPosition, startedAt: number): InboxPosition {
  return { ...position, searchedAt: startedAt };
}
