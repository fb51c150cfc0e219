import type { Accounts } from '../core/accounts/accounts.ts';
import type { DeliveryChanges } from '../core/delivery-changes.ts';
import { createDispatcher } from '../core/dispatch/dispatcher.ts';
import type { LookupRules } from '../core/dispatch/lookup-rules.ts';
import type { RetryPolicy } from '../core/dispatch/retry-policy.ts';
import type { Events } from '../core/events.ts';
import { createInboxFollower, type InboxFollower } from '../core/inbound/inbox-follower.ts';
import type { MailHandler } from '../core/inbound/mail-handler.ts';
import { createMailboxLease, type MailboxLease } from '../core/mailbox/mailbox-lease.ts';
import type { Mailboxes } from '../core/mailbox/mailboxes.ts';
import type { Backend } from '../core/ports/backend.ts';
import { createReconciler } from '../core/reconcile/reconciler.ts';
import { createSentSearch } from '../core/reconcile/sent-search.ts';
import { retryInBackground } from '../core/retry-until-available.ts';
import type { AccountTransport } from './account-transport.ts';

export interface AccountWorkersDeps extends Pick<Backend, 'queue' | 'store' | 'sharedState'> {
  readonly events: Events;
  readonly changes: DeliveryChanges;
  readonly policy: RetryPolicy;
  readonly lookups: LookupRules;
  readonly accounts: Pick<Accounts, 'findFallback' | 'addressesOf'>;
  readonly mailboxes: Mailboxes;
  /** Number of deliveries attempted at once. */
  readonly workers: number;
  /** RECONCILE. */
  readonly isReconciling: boolean;
  /** Null: INBOUND is off. */
  readonly mailHandler: MailHandler | null;
  readonly backoffScale: number;
  readonly absentAfterMs: number;
}

/** What sends the mail of one account and reads its mailbox. */
export interface AccountWorkers {
  /** Whether deliveries begin and end, and not all wait for a server. */
  isBusy(): boolean;
  /** Connects to the inbox again, since the login has changed. */
  reconnectInbox(): void;
  /** Connects to the inbox again if it refused the last login. */
  retryRefusedInbox(): void;
  /** Takes no more deliveries. Resolves when what is under way has ended and is recorded. */
  drain(): Promise<void>;
}

export function startAccountWorkers(sender: AccountTransport, deps: AccountWorkersDeps): AccountWorkers {
  const { account, transport } = sender;
  const { user } = account;
  const { workers, mailboxes, isReconciling: isOn, backoffScale, sharedState, absentAfterMs } = deps;
  const lease = createMailboxLease({ user, sharedState, absentAfterMs });
  const search = createSentSearch({ user, isOn, mailboxes, backoffScale });
  const dispatcher = createDispatcher({ ...deps, workers, account, transport });
  const reconciler = createReconciler({ ...deps, user, search, lease });
  const follower = createFollower(sender, lease, deps);
  dispatcher.start();
  reconciler.start();
  follower?.start();

  async function leaveMailbox(): Promise<void> {
    await Promise.all([reconciler.drain(), follower?.drain()]);
    // An instance that fails to give it back counts as gone once its heartbeat is missing.
    await lease.release().catch(() => {});
  }

  return {
    isBusy: dispatcher.isBusy,
    reconnectInbox: () => follower?.reconnect(),
    retryRefusedInbox: () => follower?.retryRefused(),
    async drain() {
      await Promise.all([dispatcher.drain(), leaveMailbox()]);
    },
  };
}

/** Returns null if nothing is read from the inbox of the account. */
function createFollower(
  { account, inbox }: AccountTransport,
  lease: MailboxLease,
  { mailHandler: handler, accounts, sharedState, events, backoffScale }: AccountWorkersDeps,
): InboxFollower | null {
  if (!inbox || !handler) return null;
  return createInboxFollower({
    user: account.user,
    ownAddresses: () => accounts.addressesOf(account.user),
    inbox,
    lease,
    sharedState,
    handler,
    events,
    recordLook: (fault) => retryInBackground(() => account.recordLook(fault)),
    backoffScale,
  });
}
