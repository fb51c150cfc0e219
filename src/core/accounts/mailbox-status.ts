import type { MailboxCode, MailboxFault } from '../ports/mailbox.ts';
import { MINUTE } from '../time.ts';

/** `off`: nothing is read from mailboxes. `none`: the account has no mailbox that can be read. */
export type MailboxUse = 'on' | 'off' | 'none';

/** The mailbox of an account as clients see it. */
export interface MailboxStatus {
  /** `refused`: the last login was refused. `off`: nothing is read from it. */
  readonly status: 'ready' | 'off' | 'refused';
  /** Why it is refused or off. With `ready`, why the last look failed. */
  readonly code: MailboxCode | null;
}

/** Why the last look at a mailbox failed. `at` is epoch ms by the shared clock. */
export interface MailboxFailure extends Pick<MailboxFault, 'code' | 'isRefusal'> {
  readonly at: number;
}

/** The part of the state of an account that looks change. */
export interface LookState {
  /** Present if the last look at the mailbox failed. It pauses nothing. */
  mailboxFailure?: MailboxFailure;
}

/** Time after a refused login, in ms, at which another one is tried: Gmail limits logins. */
const REFUSED_FOR_MS = 15 * MINUTE;

export function mailboxStatusOf({ mailboxFailure }: LookState, use: MailboxUse): MailboxStatus {
  if (use === 'off') return { status: 'off', code: null };
  if (use === 'none') return { status: 'off', code: 'no_mailbox' };
  return { status: mailboxFailure?.isRefusal ? 'refused' : 'ready', code: mailboxFailure?.code ?? null };
}

/** Records how a look has ended. Returns whether the one before had ended otherwise. */
export function recordLook(state: LookState, fault: MailboxFault | null, now: number): boolean {
  const isNews = state.mailboxFailure?.code !== fault?.code;
  if (fault) state.mailboxFailure = { code: fault.code, isRefusal: fault.isRefusal, at: now };
  else delete state.mailboxFailure;
  return isNews;
}

/** Whether a look can succeed: the last login was not refused within 15 minutes. */
export function canLook({ mailboxFailure }: LookState, use: MailboxUse, now: number): boolean {
  return use === 'on' && !(mailboxFailure?.isRefusal && now - mailboxFailure.at < REFUSED_FOR_MS);
}
