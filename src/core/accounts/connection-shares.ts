import type { GateBook } from './circuit-breaker.ts';

/** An instance that has given no sign of life for so long is taken to be gone: what it held is others'. */
export const ABSENT_AFTER_MS = 15_000;

/** An instance that sends for an account, as the others see it. */
export interface Member {
  /** The connections it may have. */
  seats: number;
  /** Until when it is there, unless it says so again. */
  until: number;
  /** What it has under way: messages, and their recipients. */
  messages: number;
  recipients: number;
  /** Of these messages, how many the server may not have seen yet. */
  starting: number;
  /** Whether it reaches a server, by its own network. Absent: it has not failed to. */
  reach?: GateBook;
}

export type Members = Record<string, Member>;

/** Those who are there. */
export function present(members: Members, now: number): Member[] {
  return Object.values(members).filter(({ until }) => until > now);
}

/**
 * The seats that an instance may take, of so many that are all the instances': an equal part, and never one that another still has.
 *
 * @param atMost of one instance
 */
export function seatsFor(me: string, members: Members, seats: number, atMost: number): number {
  const ids = Object.keys(members).sort();
  const others = ids.reduce((sum, id) => sum + (id === me ? 0 : (members[id]?.seats ?? 0)), 0);
  return Math.max(0, Math.min(atMost, share(seats, ids.length, ids.indexOf(me)), seats - others));
}

/** What falls to one of so many when they divide; the first get what is left over. */
function share(seats: number, count: number, rank: number): number {
  return Math.floor(seats / count) + (rank < seats % count ? 1 : 0);
}
