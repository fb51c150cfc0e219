import type { Caller } from '../auth/caller.ts';
import type { Delivery, DeliveryError } from '../delivery/delivery.ts';
import { AppError } from '../errors.ts';
import { type Address, toMailboxKey } from '../message/address.ts';
import type { Message, Priority } from '../message/message.ts';
import type { DeliveryStore } from '../ports/delivery-store.ts';
import type { Queue } from '../ports/queue.ts';
import type { Transport } from '../ports/transport.ts';
import type { Budget } from '../quota.ts';
import type { Account, AccountState } from './account.ts';

/** How often a caller may have an account probed. */
const VERIFY_EVERY_MS = 60_000;

/** An account, and what it is called on the outside. */
export interface Sender {
  readonly account: Account;
  readonly transport: Pick<Transport, 'verify'>;
  /** The default From. */
  readonly from: Address;
  /** The account's verified "Send mail as" addresses. */
  readonly aliases: readonly string[];
}

export const FROM_POLICIES = ['reject', 'rewrite', 'allow'] as const;
/** What happens to a message whose From no account owns (FROM_POLICY). */
export type FromPolicy = (typeof FROM_POLICIES)[number];

/** A message as it will be sent, and by which account. */
export interface Routed {
  readonly message: Message;
  readonly account: string;
}

/** All accounts, and which of them sends what. */
export interface Accounts {
  /** The From of a message that names none. */
  readonly defaultFrom: Address;
  /**
   * The account that owns the address in From: of several, the one with most quota left that is not paused, else the first. What to do with an
   * address that nobody owns is FROM_POLICY's: Gmail would replace it by the account's own, silently. What a test key sends is judged as any
   * other, and goes to the sandbox.
   *
   * @throws {AppError} `sender_not_allowed`
   */
  route(message: Message, caller: Pick<Caller, 'test'>): Routed;
  /** Another account that may send this delivery, and can now; null if there is none. */
  findFallback(delivery: Delivery): string | null;
  /** How much the account that sends this delivery may still send of its priority. */
  budget(delivery: Pick<Delivery, 'account' | 'test' | 'priority'>): Budget;
  list(): Promise<readonly AccountState[]>;
  /**
   * As far as this instance knows.
   *
   * @throws {AppError} `not_found`
   */
  state(user: string): AccountState;
  /**
   * Probes an account now, unless that was done a minute ago: logins are scarce. If it works again, its mail goes out at once.
   *
   * @throws {AppError} `not_found`, `rate_limited`, and what keeps the server from being reached
   */
  verify(user: string, signal: AbortSignal): Promise<AccountState>;
}

export interface AccountsOptions {
  /** At least one, the first being the default. */
  readonly senders: readonly Sender[];
  /** Where the mail of test keys goes: an account of nobody's. Null while no key is one for tests. */
  readonly sandbox: () => Sender | null;
  readonly fromPolicy: FromPolicy;
  readonly queue: Pick<Queue, 'reschedule'>;
  readonly store: Pick<DeliveryStore, 'unsettled'>;
}

export function createAccounts({ senders, sandbox, fromPolicy, queue, store }: AccountsOptions): Accounts {
  const [first] = senders;
  if (!first) throw new Error('there must be an account');
  const owned = senders.map(
    ({ account, from, aliases }) => new Set([account.user, from.email, ...aliases].map(toMailboxKey)),
  );

  function ownersOf(email: string): Sender[] {
    const key = toMailboxKey(email);
    return senders.filter((_sender, i) => owned[i]?.has(key));
  }

  function senderOf(user: string): Sender {
    const sender = senders.find(({ account }) => toMailboxKey(account.user) === toMailboxKey(user));
    if (!sender) {
      const known = senders.map(({ account }) => account.user).join(', ');
      throw new AppError('not_found', { detail: `There is no such account. There are: ${known}.` });
    }
    return sender;
  }

  /** What waits only because the account was paused need not wait for its time. */
  async function wake(user: string, pausedFor: DeliveryError | undefined): Promise<void> {
    for await (const { id, account, status, error } of store.unsettled()) {
      if (account !== user || status !== 'deferred' || error === null) continue;
      if (error.scope === 'account' || error.code === pausedFor?.code) await queue.reschedule(id, account, 0);
    }
  }

  return {
    defaultFrom: first.from,
    route(message, { test }) {
      const { from } = message.envelope;
      const owners = ownersOf(from.email);
      const ready = owners.filter(({ account }) => !account.isPaused);
      const sender = test ? sandbox() : (mostLeft(ready, message.priority) ?? owners[0] ?? first);
      if (sender === null) throw new Error('a test key is in use, and there is no sandbox');
      const account = sender.account.user;
      if (owners.length > 0 || fromPolicy === 'allow') return { message, account };
      if (fromPolicy === 'rewrite') return { message: rewrite(message, first.from), account };
      throw notAllowed(from.email);
    },
    findFallback(delivery) {
      if (delivery.test) return null;
      const others = ownersOf(delivery.envelope.from.email).filter(
        ({ account }) => account.user !== delivery.account && account.accepts(delivery),
      );
      return mostLeft(others, delivery.priority)?.account.user ?? null;
    },
    budget({ account, test, priority }) {
      const sender = test ? (sandbox() ?? first) : senderOf(account);
      return sender.account.budget(priority);
    },
    list: () => Promise.all(senders.map(({ account }) => account.readState())),
    state: (user) => senderOf(user).account.state(),
    async verify(user, signal) {
      const { account, transport } = senderOf(user);
      const before = await account.readState();
      const waitMs = lockedMs(before) || (await account.requestProbe(VERIFY_EVERY_MS));
      if (waitMs > 0) throw tooSoon(waitMs);
      const fault = await account.probe(() => transport.verify(), signal);
      if (fault && fault.scope !== 'account')
        throw new AppError(fault.error.code, { detail: fault.error.detail });
      if (!fault) await wake(account.user, before.pause?.error);
      return account.state();
    },
  };
}

/** Another login while Gmail counts too many only makes it worse. */
function lockedMs({ pause }: AccountState): number {
  return pause?.error.code === 'login_throttled' ? Math.max(0, pause.until - Date.now()) : 0;
}

function tooSoon(waitMs: number): AppError {
  const retryAfter = Math.ceil(waitMs / 1000);
  return new AppError('rate_limited', {
    detail: `Logins are scarce: this account can be asked again in ${retryAfter} s.`,
    retryAfter,
  });
}

function mostLeft(senders: readonly Sender[], priority: Priority): Sender | undefined {
  const leftTo = ({ account }: Sender) => account.budget(priority).left;
  return senders.reduce<Sender | undefined>(
    (best, sender) => (best && leftTo(best) >= leftTo(sender) ? best : sender),
    undefined,
  );
}

/** The caller's address moves to Reply-To, so that answers still reach it, unless answers are to go elsewhere. */
function rewrite({ envelope, content, ...rest }: Message, from: Address): Message {
  const replyTo = content.replyTo.length > 0 ? content.replyTo : [envelope.from];
  return {
    ...rest,
    envelope: { ...envelope, from: { email: from.email, name: envelope.from.name ?? from.name } },
    content: { ...content, replyTo },
  };
}

function notAllowed(email: string): AppError {
  const detail = `No account owns ${email}: Gmail would replace it by the account's own address.`;
  return new AppError('sender_not_allowed', {
    detail,
    errors: [{ pointer: '/from', code: 'sender_not_allowed', detail }],
  });
}
