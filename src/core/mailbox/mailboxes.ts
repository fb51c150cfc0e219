import type { Account } from '../accounts/account.ts';
import type { MailboxStatus } from '../accounts/mailbox-status.ts';
import type { Mailbox, MailboxCode } from '../ports/mailbox.ts';
import { retryInBackground } from '../retry-until-available.ts';

/** An account and its mailbox. Null: it has none that can be read. */
export interface MailboxOwner {
  readonly account: Pick<Account, 'user' | 'status' | 'canLook' | 'recordLook'>;
  readonly mailbox: Mailbox | null;
}

/** The mailboxes of all accounts, by user. */
export interface Mailboxes {
  /** Null if nothing can be read for the user. How each look ends is recorded for the account. */
  get(user: string): Mailbox | null;
  /** Whether a look can succeed, as far as this instance knows. */
  canLook(user: string): boolean;
  /** Why the last login was refused, as far as this instance knows. Null: it was not. */
  refusalOf(user: string): MailboxCode | null;
  /** As far as this instance knows. Of an account that is removed: `off`. */
  status(user: string): MailboxStatus;
  /** Replaces the accounts. */
  replace(owners: readonly MailboxOwner[]): void;
}

export function createMailboxes(first: readonly MailboxOwner[]): Mailboxes {
  let owners = byUser(first);

  function status(user: string): MailboxStatus {
    return owners.get(user)?.account.status().mailbox ?? { status: 'off', code: 'no_mailbox' };
  }

  return {
    get: (user) => owners.get(user)?.mailbox ?? null,
    canLook: (user) => owners.get(user)?.account.canLook() ?? false,
    refusalOf(user) {
      const mailbox = status(user);
      return mailbox.status === 'refused' ? mailbox.code : null;
    },
    status,
    replace(next) {
      owners = byUser(next);
    },
  };
}

function byUser(owners: readonly MailboxOwner[]): ReadonlyMap<string, MailboxOwner> {
  return new Map(owners.map(({ account, mailbox }) => [account.user, recording({ account, mailbox })]));
}

function recording({ account, mailbox }: MailboxOwner): MailboxOwner {
  if (mailbox === null) return { account, mailbox };
  return {
    account,
    mailbox: {
      async findSent(query, signal) {
        const result = await mailbox.findSent(query, signal);
        const fault = result.kind === 'failed' ? result.fault : null;
        // A look that was stopped does not show the state of the mailbox.
        if (!signal.aborted) retryInBackground(() => account.recordLook(fault));
        return result;
      },
      close: mailbox.close,
    },
  };
}
