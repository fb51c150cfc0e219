import type { Caller } from '../auth/caller.ts';
import type { Delivery, DeliveryError } from '../delivery/delivery.ts';
import { channelOf } from '../delivery/lookup.ts';
import { AppError } from '../errors.ts';
import { type Address, toMailboxKey } from '../message/address.ts';
import type { Message, Priority } from '../message/message.ts';
import type { DeliveryStore } from '../ports/delivery-store.ts';
import type { Queue } from '../ports/queue.ts';
import type { Transport } from '../ports/transport.ts';
import type { Budget } from '../quota.ts';
import { MINUTE } from '../time.ts';
import type { Account } from './account.ts';
import type { AccountStatus } from './account-status.ts';

/** Minimum interval between probes that clients request. */
const VERIFY_INTERVAL_MS = MINUTE;

/** An account with its transport and its addresses. */
export interface Sender {
  readonly account: Account;
  readonly transport: Pick<Transport, 'verify'>;
  /** The default From. */
  readonly from: Address;
  /** Verified "Send mail as" addresses of the account. */
  readonly aliases: readonly string[];
  /** The account owns every address in these domains. */
  readonly domains: readonly string[];
}

export const FROM_POLICIES = ['reject', 'rewrite', 'allow'] as const;
/** What happens to a message whose From no account owns (FROM_POLICY). */
export type FromPolicy = (typeof FROM_POLICIES)[number];

/** A message as it will be sent, and the account that sends it. */
export interface Routed {
  readonly message: Message;
  readonly account: string;
}

/** All accounts. Chooses the account for each message. */
export interface Accounts {
  /** From of messages that name none. */
  readonly defaultFrom: Address;
  /**
   * Chooses the account that owns the address in From. If several do: of those that are not paused,
   * the one with the most quota left; else the first. FROM_POLICY decides about an address that no
   * account owns, since Gmail would silently replace it by the account's own. Messages of test keys
   * follow the same rules, and go to the sandbox.
   *
   * @throws {AppError} `sender_not_allowed`
   */
  route(message: Message, caller: Pick<Caller, 'test'>): Routed;
  /** Returns another account that owns the delivery's From and can send it now, or null. */
  findFallback(delivery: Delivery): string | null;
  /** Quota that is left for the delivery's account and priority. */
  budget(delivery: Pick<Delivery, 'account' | 'test' | 'priority'>): Budget;
  /** The users, in their order. */
  users(): readonly string[];
  /**
   * Addresses that an account, which may be removed since, sends from: its login, its default From and
   * its aliases.
   *
   * @throws {AppError} `not_found`
   */
  addressesOf(user: string): readonly string[];
  list(): Promise<readonly AccountStatus[]>;
  /**
   * Status of an account as far as this instance knows.
   *
   * @throws {AppError} `not_found`
   */
  status(user: string): AccountStatus;
  /**
   * Whether another login of the account would extend Gmail's lock after too many logins, as far as
   * this instance knows.
   */
  isLoginLocked(user: string): boolean;
  /**
   * Probes an account by a login, at most once a minute since Gmail limits logins. If the login
   * succeeds, mail that waits for the account is requeued now.
   *
   * @throws {AppError} `not_found`; `rate_limited`; the fault if no server can be reached
   */
  verify(user: string, signal: AbortSignal): Promise<AccountStatus>;
  /**
   * Replaces the accounts. New messages are no longer sent by one that is removed.
   *
   * @param senders At least one. The first is the default.
   */
  replace(senders: readonly Sender[]): void;
  /** Makes the mail that waits for an account due now, to be checked against its changed limits. */
  requeue(user: string): Promise<void>;
}

export interface AccountsOptions {
  /** At least one. The first is the default. */
  readonly senders: readonly Sender[];
  /** Sends the mail of test keys to a simulator. Null while there are no test keys. */
  readonly sandbox: () => Sender | null;
  readonly fromPolicy: FromPolicy;
  readonly queue: Pick<Queue, 'reschedule'>;
  readonly store: Pick<DeliveryStore, 'unsettled'>;
}

export function createAccounts({ sandbox, fromPolicy, queue, store, ...options }: AccountsOptions): Accounts {
  let { senders, first, users, byUser, owners } = toIndex(options.senders);
  /** Removed accounts, whose last attempts may still end. */
  const removed = new Map<string, Sender>();

  /** The senders that own an address itself, then those that own its domain. */
  function ownersOf(email: string): readonly Sender[] {
    const key = toMailboxKey(email);
    const ofDomain = owners.get(key.slice(key.lastIndexOf('@'))) ?? [];
    const ofAddress = owners.get(key) ?? [];
    return ofDomain.length === 0 ? ofAddress : [...new Set([...ofAddress, ...ofDomain])];
  }

  /** @throws {AppError} `not_found` */
  function senderOf(user: string): Sender {
    const sender = byUser.get(toMailboxKey(user));
    if (!sender) {
      const known = users.join(', ');
      throw new AppError('not_found', { detail: `There is no account ${user}. The accounts are: ${known}.` });
    }
    return sender;
  }

  /** For what concerns mail that an account, which may be removed since, has accepted or attempted. */
  function senderOrRemoved(user: string): Sender {
    return removed.get(toMailboxKey(user)) ?? senderOf(user);
  }

  /** Requeues mail that waits only because the account was paused. */
  async function requeueWaiting(user: string, pausedFor: DeliveryError | undefined): Promise<void> {
    for await (const message of store.unsettled()) {
      const { id, status, error } = message;
      // What is looked up in a mailbox does not wait for the account.
      if (channelOf(message) !== user || status !== 'deferred' || error === null) continue;
      if (error.scope === 'account' || error.code === pausedFor?.code) await queue.reschedule(id, user, 0);
    }
  }

  return {
    get defaultFrom() {
      return first.from;
    },
    route(message, { test }) {
      const { from } = message.envelope;
      const owning = ownersOf(from.email);
      const ready = owning.filter(({ account }) => !account.isPaused);
      const sender = test ? sandbox() : (withMostLeft(ready, message.priority) ?? owning[0] ?? first);
      if (sender === null) throw new Error('a test key is in use without a sandbox');
      const account = sender.account.user;
      if (owning.length > 0 || fromPolicy === 'allow') return { message, account };
      if (fromPolicy === 'rewrite') return { message: rewriteFrom(message, first.from), account };
      throw senderNotAllowed(from.email);
    },
    findFallback(delivery) {
      if (delivery.test) return null;
      const others = ownersOf(delivery.envelope.from.email).filter(
        ({ account }) => account.user !== delivery.account && account.canAdmit(delivery),
      );
      return withMostLeft(others, delivery.priority)?.account.user ?? null;
    },
    budget({ account, test, priority }) {
      const sender = test ? (sandbox() ?? first) : senderOrRemoved(account);
      return sender.account.budget(priority);
    },
    users: () => users,
    addressesOf: (user) => addressesOf(senderOrRemoved(user)),
    list: () => Promise.all(senders.map(({ account }) => account.readStatus())),
    status: (user) => senderOrRemoved(user).account.status(),
    isLoginLocked: (user) =>
      byUser.has(toMailboxKey(user)) && loginLockMs(senderOf(user).account.status()) > 0,
    async verify(user, signal) {
      const { account, transport } = senderOf(user);
      const before = await account.readStatus();
      const waitMs = loginLockMs(before) || (await account.requestProbe(VERIFY_INTERVAL_MS));
      if (waitMs > 0) throw probedRecently(waitMs);
      const fault = await account.probe(() => transport.verify(), signal);
      if (fault && fault.scope !== 'account')
        throw new AppError(fault.error.code, { detail: fault.error.detail });
      if (!fault) await requeueWaiting(account.user, before.pause?.error);
      return account.status();
    },
    replace(next) {
      for (const [key, sender] of byUser) removed.set(key, sender);
      ({ senders, first, users, byUser, owners } = toIndex(next));
      for (const key of byUser.keys()) removed.delete(key);
    },
    requeue: (user) => requeueWaiting(user, undefined),
  };
}

/** The senders by what they are looked up by. */
function toIndex(senders: readonly Sender[]) {
  const [first] = senders;
  if (!first) throw new Error('at least one account is required');
  const byUser = new Map(senders.map((sender) => [toMailboxKey(sender.account.user), sender]));
  const users = senders.map(({ account }) => account.user);
  return { senders, first, users, byUser, owners: toOwners(senders) };
}

function addressesOf({ account, from, aliases }: Sender): string[] {
  return [account.user, from.email, ...aliases];
}

/** The senders of each address and of each `@domain`, in their order, by mailbox key. */
function toOwners(senders: readonly Sender[]): ReadonlyMap<string, readonly Sender[]> {
  const owners = new Map<string, Sender[]>();
  for (const sender of senders) {
    const owned = [...addressesOf(sender), ...sender.domains.map((domain) => `@${domain}`)];
    for (const key of new Set(owned.map(toMailboxKey))) owners.set(key, [...(owners.get(key) ?? []), sender]);
  }
  return owners;
}

/**
 * Remaining pause after too many logins, in ms: another login would only extend Gmail's lock. 0 if
 * there is none.
 */
function loginLockMs({ pause }: AccountStatus): number {
  return pause?.error.code === 'login_throttled' ? Math.max(0, pause.until - Date.now()) : 0;
}

function probedRecently(waitMs: number): AppError {
  const retryAfter = Math.ceil(waitMs / 1000);
  return new AppError('rate_limited', {
    detail: `Gmail limits logins: this account can be verified again in ${retryAfter} s.`,
    retryAfter,
  });
}

/** The sender with the most quota left. */
function withMostLeft(senders: readonly Sender[], priority: Priority): Sender | undefined {
  const leftOf = ({ account }: Sender) => account.budget(priority).left;
  return senders.reduce<Sender | undefined>(
    (best, sender) => (best && leftOf(best) >= leftOf(sender) ? best : sender),
    undefined,
  );
}

/**
 * Replaces From. The former address becomes Reply-To, unless the message has one, so that replies
 * still reach it.
 */
function rewriteFrom({ envelope, content, ...rest }: Message, from: Address): Message {
  const replyTo = content.replyTo.length > 0 ? content.replyTo : [envelope.from];
  return {
    ...rest,
    envelope: { ...envelope, from: { email: from.email, name: envelope.from.name ?? from.name } },
    content: { ...content, replyTo },
  };
}

function senderNotAllowed(email: string): AppError {
  const detail = `No account owns ${email}: Gmail would replace it with the account's own address.`;
  return new AppError('sender_not_allowed', {
    detail,
    errors: [{ pointer: '/from', code: 'sender_not_allowed', detail }],
  });
}
