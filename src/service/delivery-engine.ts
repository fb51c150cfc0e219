import { createInboundParser, type InboundParser } from '../adapters/imap/inbound/inbound-parser.ts';
import type { ImapDeadlines } from '../adapters/imap/session.ts';
import type { Deadlines } from '../adapters/smtp/server-options.ts';
import type { AccountConfig } from '../config/account-config.ts';
import type { Config } from '../config/config.ts';
import type { AccountNotices } from '../core/accounts/account-events.ts';
import { type Accounts, createAccounts } from '../core/accounts/accounts.ts';
import { ABSENT_AFTER_MS } from '../core/accounts/connection-shares.ts';
import type { DeliveryChanges } from '../core/delivery-changes.ts';
import type { RetryPolicy } from '../core/dispatch/retry-policy.ts';
import { watchWallClock } from '../core/dispatch/wall-clock.ts';
import type { Events } from '../core/events.ts';
import type { MailHandler } from '../core/inbound/mail-handler.ts';
import { createMailboxes, type Mailboxes } from '../core/mailbox/mailboxes.ts';
import type { Backend } from '../core/ports/backend.ts';
import { retryInBackground } from '../core/retry-until-available.ts';
import { closeAccountTransport, prepareReplacement } from './account-replacement.ts';
import { type AccountTransport, openAccountTransport } from './account-transport.ts';
import { type AccountWorkers, type AccountWorkersDeps, startAccountWorkers } from './account-workers.ts';
import type { Sandbox } from './sandbox.ts';

export interface DeliveryEngineOptions extends Pick<Backend, 'queue' | 'store' | 'sharedState'> {
  readonly config: Config;
  readonly events: Events;
  readonly changes: DeliveryChanges;
  readonly noticesOf: AccountNotices;
  /** Null: INBOUND is off. */
  readonly mailHandler: MailHandler | null;
  readonly ca: string | null;
  readonly backoffScale: number;
  readonly deadlines: Deadlines | undefined;
  readonly imapDeadlines: ImapDeadlines | undefined;
  readonly absentAfterMs: number | undefined;
}

/**
 * Everything that sends: the configured accounts, the sandbox of test keys, and their dispatchers.
 */
export interface DeliveryEngine {
  readonly accounts: Accounts;
  readonly mailboxes: Mailboxes;
  /** Whether mail is being sent: deliveries begin and end, and not all wait for a server. */
  isSending(): boolean;
  /** Starts taking due deliveries. */
  start(): Promise<void>;
  /** Opens the sandbox if one of these keys is a test key and the sandbox is not open yet. */
  prepareFor(keys: Config['apiKeys']): Promise<void>;
  /**
   * Prepares to replace the accounts: opens those that are added. Nothing changes until the returned
   * function is called, which does not fail.
   */
  prepareAccounts(configs: Config['accounts']): Promise<() => AccountChanges>;
  /** Takes no more deliveries. Resolves when the attempts under way have ended and are recorded. */
  drain(): Promise<void>;
  /** Aborts running attempts and closes all connections. */
  close(): Promise<void>;
}

/** What a reload has changed, by user. */
export interface AccountChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Those with another login, other addresses or limits. */
  readonly changed: readonly string[];
}

export async function openDeliveryEngine(options: DeliveryEngineOptions): Promise<DeliveryEngine> {
  const { config, queue, store, sharedState, backoffScale, deadlines, mailHandler } = options;
  const { absentAfterMs = ABSENT_AFTER_MS } = options;
  const { connections, connectionsHere: workers } = config.smtp;
  const inboundParser = mailHandler && createInboundParser();
  const open = (account: AccountConfig) => openConfiguredAccount(account, inboundParser, options);
  let senders: readonly AccountTransport[] = await Promise.all(config.accounts.map(open));
  let sandbox: Sandbox | null = null;
  const accounts = createAccounts({
    senders,
    sandbox: () => sandbox?.sender ?? null,
    fromPolicy: config.fromPolicy,
    queue,
    store,
  });
  const mailboxes = createMailboxes(senders);
  const { reconcile: isReconciling, reconcileForMs } = config.mailbox;
  const deps: AccountWorkersDeps = {
    ...options,
    policy: toRetryPolicy(config, backoffScale),
    lookups: {
      isPossible: (user) => isReconciling && mailboxes.canLook(user),
      refusalOf: (user) => (isReconciling ? mailboxes.refusalOf(user) : null),
      now: sharedState.now,
      forMs: reconcileForMs,
    },
    accounts,
    mailboxes,
    workers,
    isReconciling,
    absentAfterMs,
  };
  const workersByUser = new Map<string, AccountWorkers>();
  /** Removed accounts whose last attempts have not ended, and when they are closed. */
  const removals = new Map<AccountTransport, Promise<void>>();
  const wallClock = watchWallClock({ queue, store });
  let isDraining = false;

  function startSender(sender: AccountTransport): void {
    if (!isDraining) workersByUser.set(sender.account.user, startAccountWorkers(sender, deps));
  }

  /** Ends the attempts of a removed account, then closes it. */
  async function remove(sender: AccountTransport): Promise<void> {
    const { user } = sender.account;
    const removed = workersByUser.get(user);
    workersByUser.delete(user);
    await removed?.drain();
    await closeAccountTransport(sender);
  }

  function startRemoval(sender: AccountTransport): void {
    removals.set(
      sender,
      remove(sender).finally(() => removals.delete(sender)),
    );
  }

  /** Resolves when those of these accounts that are being removed are closed. */
  async function removalOf(configs: readonly AccountConfig[]): Promise<void> {
    const users = new Set(configs.map(({ user }) => user));
    await Promise.all([...removals].flatMap(([{ account }, end]) => (users.has(account.user) ? [end] : [])));
  }

  /** Uses the other login of an account, and sends what waits for the former one or its limits. */
  function applyChange({ account }: AccountTransport): void {
    retryInBackground(async () => {
      await account.probeAfterChange();
      workersByUser.get(account.user)?.reconnectInbox();
      await accounts.requeue(account.user);
    });
  }

  /** Logs in to a mailbox again that refused the last login: its settings at Gmail may have changed. */
  function retryRefusedMailbox({ account }: AccountTransport): void {
    retryInBackground(async () => {
      if (account.status().mailbox.status === 'refused') await account.allowLook();
      // Another instance that was reloaded may have allowed the look.
      workersByUser.get(account.user)?.retryRefusedInbox();
    });
  }

  return {
    accounts,
    mailboxes,
    isSending: () => [...workersByUser.values()].some(({ isBusy }) => isBusy()),
    async start() {
      await Promise.all(senders.map(({ account }) => account.join()));
      senders.forEach(startSender);
    },
    async prepareFor(keys) {
      if (sandbox !== null || !keys.some(({ test }) => test)) return;
      // Few services have test keys: the simulator is loaded only for them.
      const { openSandbox } = await import('./sandbox.ts');
      sandbox = await openSandbox({ connections, backoffScale, deadlines });
      await sandbox.sender.account.join();
      startSender(sandbox.sender);
    },
    async prepareAccounts(configs) {
      await removalOf(configs);
      const replace = await prepareReplacement(senders, configs, open);
      return () => {
        const { added, removed, changed, ...replaced } = replace();
        senders = replaced.senders;
        accounts.replace(senders);
        mailboxes.replace(senders);
        removed.forEach(startRemoval);
        added.forEach(startSender);
        senders.filter((sender) => !changed.includes(sender)).forEach(retryRefusedMailbox);
        changed.forEach(applyChange);
        return { added: usersOf(added), removed: usersOf(removed), changed: usersOf(changed) };
      };
    },
    async drain() {
      isDraining = true;
      wallClock.stop();
      await Promise.all([...[...workersByUser.values()].map((each) => each.drain()), ...removals.values()]);
    },
    async close() {
      await Promise.all([
        ...[...senders, ...removals.keys()].map(closeAccountTransport),
        inboundParser?.close(),
      ]);
      await sandbox?.close();
    },
  };
}

function openConfiguredAccount(
  account: AccountConfig,
  inboundParser: InboundParser | null,
  options: DeliveryEngineOptions,
): Promise<AccountTransport> {
  const { config, queue: _queue, store: _store, changes: _changes, ...common } = options;
  return openAccountTransport(account, { ...config.smtp, mailbox: config.mailbox, inboundParser, ...common });
}

function usersOf(senders: readonly AccountTransport[]): string[] {
  return senders.map(({ account }) => account.user);
}

function toRetryPolicy({ retryForMs, onUncertain }: Config, backoffScale: number): RetryPolicy {
  return { retryForMs, onUncertain, backoffScale, random: Math.random };
}
