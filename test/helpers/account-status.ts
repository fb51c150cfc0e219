import type { AccountStatus } from '../../src/core/accounts/account-status.ts';

/** Returns the status of an account that has sent nothing, with the given fields replaced. */
export function anAccountStatus(patch: Partial<AccountStatus> = {}): AccountStatus {
  const unused = { limit: 2000, learned: null, used: 0 };
  return {
    user: 'bot@acme.com',
    pause: null,
    quota: { messages: unused, recipients: unused, reserve: 0, countedSince: 0, freesAt: null },
    connections: { max: 3, allowed: 3, busy: 0 },
    mailbox: { status: 'ready', code: null },
    ...patch,
  };
}
