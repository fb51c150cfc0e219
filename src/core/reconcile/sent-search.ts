import type { Lookup } from '../delivery/lookup.ts';
import { ERRORS } from '../errors.ts';
import type { Mailboxes } from '../mailbox/mailboxes.ts';
import type { MailboxFault, SentQuery, SentResult } from '../ports/mailbox.ts';
import { SECOND } from '../time.ts';

/** Time after a failed search in which the others fail the same way, in ms. */
const FAILING_FOR_MS = 10 * SECOND;

/**
 * Searches Sent Mail of one account. While the server fails or does not respond, at most one search
 * at a time waits for it: the others fail at once, so that a dead server holds no message up.
 */
export interface SentSearch {
  /**
   * Returns why a search would be in vain, as far as this instance knows: it is not possible, or
   * another one has just failed. Null: it may work.
   */
  knownFault(lookup: Lookup): MailboxFault | null;
  find(query: SentQuery, signal: AbortSignal): Promise<SentResult>;
}

export interface SentSearchOptions {
  readonly user: string;
  /** RECONCILE. */
  readonly isOn: boolean;
  readonly mailboxes: Pick<Mailboxes, 'get' | 'canLook' | 'status'>;
  /** Multiplies every wait: 1, or less in tests. */
  readonly backoffScale: number;
}

export function createSentSearch({ user, isOn, mailboxes, backoffScale }: SentSearchOptions): SentSearch {
  let failure: { readonly fault: MailboxFault; readonly until: number } | null = null;

  function refused(code: MailboxFault['code'], detail: string = ERRORS[code].title): MailboxFault {
    return { code, detail, isRefusal: true };
  }

  return {
    knownFault({ state }) {
      if (!isOn) return refused('no_mailbox', 'RECONCILE is off');
      if (mailboxes.get(user) === null) return refused(mailboxes.status(user).code ?? 'no_mailbox');
      if (failure && failure.until > performance.now()) return failure.fault;
      // A client that asks may know that the cause is gone.
      if (state === 'checking' || mailboxes.canLook(user)) return null;
      return refused(mailboxes.status(user).code ?? 'imap_login_refused');
    },
    async find(query, signal) {
      const mailbox = mailboxes.get(user);
      if (mailbox === null) return { kind: 'failed', fault: refused('no_mailbox') };
      const result = await mailbox.findSent(query, signal);
      const isFailure = result.kind === 'failed' && !signal.aborted;
      failure = isFailure
        ? { fault: result.fault, until: performance.now() + FAILING_FOR_MS * backoffScale }
        : null;
      return result;
    },
  };
}
